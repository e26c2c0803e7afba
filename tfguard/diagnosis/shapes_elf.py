"""Messages about ELF files: glibc's and musl's loaders, and the emulators' and kernel's."""

from __future__ import annotations

from tfguard.diagnosis import translated, translated_libc
from tfguard.diagnosis.shape import Shape, shape

# Loaders write `: errno text` behind the message; retyped lines may have lost the colon or the object before it.
_ERRNO = r"(?:\s?[:,.]\s?(?P<errno>[A-Z][A-Za-z/ ]{3,40}[a-z]))?"
_SO = r"(?P<object>[^\s'\"(]{1,500}\.so[\w.-]{0,40})"


def _glibc(kind: str, marks: str | tuple[str, ...], pattern: str, *, versions: str = "all") -> Shape:
    return shape(kind, marks, pattern, versions=versions, before=True, traced=True)


def _translated(kind: str, fragments: tuple[str, ...]) -> Shape:
    pattern = rf"(?:{translated.any_of(fragments)})(?:\s?:\s?(?P<errno>.{{3,80}}))?"
    return shape(kind, fragments, pattern, versions="translated", before=True, claims=True)


GLIBC: tuple[Shape, ...] = (
    shape(
        "preload",
        "ld_preload",
        r"object '(?P<object>[^'\n]{1,500})' from LD_PRELOAD cannot be preloaded ?(?:\((?P<detail>[^)]{0,300})\))?",
        claims=True,
        weight=1,
    ),
    shape(
        "ld-so-assertion",
        ("inconsistency detected by ld.so", "dl-"),
        r"(?:Inconsistency detected by ld\.so: ?)?(?P<detail>(?:\.\./[\w./-]{0,60})?dl-[\w./-]{1,60}: ?\d+:"
        r" ?(?P<symbol>\w{1,60}): .{0,300})",
    ),
    _glibc(
        "cannot-open",
        "shared object",
        r"(?:can ?not|can'?t|could ?not|couldn't|unable to|failed to) (?:open (?:the )?shared object(?: file|(?! file))"
        r"|(?:import|load|find) (?:the )?shared object file)(?!:? ['\"]?(?:/[\w/.+-]{0,200})?lib[\w+-]{1,60}\.so)"
        + _ERRNO,
    ),
    shape(
        "cannot-open",
        translated_libc.CANNOT_OPEN,
        rf"(?:{translated.any_of(translated_libc.CANNOT_OPEN)})(?:\s?:\s?(?P<errno>.{{3,80}}))?",
        before=True,
    ),
    _glibc("too-short", "too short", r"file (?:is )?too short"),
    _glibc("too-short", "past end of file", r"ELF load command past end of file", versions="of Red Hat's systems"),
    _translated("too-short", translated_libc.TOO_SHORT),
    shape(
        "too-short",
        "file truncated",
        r"(?:file not recogni[sz]ed: )?File truncated",
        loader="ld",
        before=True,
    ),
    _translated("unreadable", translated_libc.UNREADABLE),
    _glibc("unreadable", "cannot read file data", r"cannot read file data" + _ERRNO),
    _translated("os-abi", translated_libc.OS_ABI),
    _translated("bad-header", translated_libc.BAD_HEADER),
    _glibc("bad-header", ("elf header", "elf-header"), r"invalid ELF[- ]header"),
    shape(
        "bad-header",
        "wrong magic bytes",
        r"(?P<object>/[^\s:]{1,400}) is not an ELF file - it has the wrong magic bytes",
        loader="ldconfig",
    ),
    shape(
        "bad-header",
        ("elf",),
        rf"{_SO}\s?:\s?(?=[^:]{{3,60}}$)(?=[^:]*\bELF\b)(?=.*[^\x00-\x7f])(?!.*(?:OS ABI|ELFCLASS))",
        versions="translated",
        foreign=True,
        lead=700,
    ),
    _glibc("wrong-class", "elfclass", r"wrong (?:ELF[- ])?class:? ?(?P<elf_class>ELFCLASS\w{2,4})"),
    shape(
        "wrong-class",
        "elfclass",
        rf"{_SO}\s?:[^:]{{3,60}}:? ?(?P<elf_class>ELFCLASS\d\d)",
        versions="translated",
        lead=700,
    ),
    _glibc("wrong-data", "data encoding not", r"ELF file data encoding not (?P<need>little|big)-endian"),
    _glibc("bad-ident", "version ident does not match", r"ELF file version ident does not match current one"),
    _glibc("bad-ident", "file version does not match", r"ELF file version does not match current one"),
    _glibc("os-abi", "os abi invalid", r"ELF file OS ABI invalid"),
    _glibc("os-abi", "abi version invalid", r"ELF file ABI version invalid"),
    _glibc("bad-ident", "nonzero padding", r"nonzero padding in e_ident"),
    _glibc("internal-error", ".so", r"(?<=: )internal error(?=[*'\"\])]{0,3}$)"),
    _glibc("not-dynamic", "et_dyn", r"(?:only |(?<=: )[^:\n]{1,30})?ET_DYN[^\n]{1,30}ET_EXEC"),
    _glibc("damaged", "phentsize", r"ELF file's phentsize not the expected size"),
    _glibc("resources", "cannot stat shared object", r"cannot stat shared object" + _ERRNO),
    _glibc("resources", "shared object descriptor", r"cannot create shared object descriptor" + _ERRNO),
    _glibc("resources", "for program header", r"cannot allocate memory for program header" + _ERRNO),
    _glibc("resources", "cannot close file descriptor", r"cannot close file descriptor" + _ERRNO),
    _glibc("resources", "note segment", r"cannot process note segment" + _ERRNO, versions="up to 2.31"),
    _glibc("alignment", "page-aligned", r"ELF load command address/offset not page-aligned", versions="2.35 and later"),
    _glibc("alignment", "page-aligned", r"ELF load command alignment not page-aligned", versions="up to 2.34"),
    _glibc(
        "alignment", "properly aligned", r"ELF load command address/offset not properly aligned", versions="up to 2.34"
    ),
    _glibc("damaged", "no loadable segments", r"object file has no loadable segments"),
    _translated("executable", translated_libc.PROGRAM),
    _glibc("executable", "cannot dynamically load", r"cannot dynamically load (?:position-independent )?executable"),
    _translated("no-dynamic", translated_libc.NO_DYNAMIC),
    _glibc("no-dynamic", "no dynamic section", r"object file has no dynamic section"),
    _glibc(
        "cannot-map",
        "map segment",
        r"(?:(?:failed|unable) to|could ?n[o']t|can ?n[o']t) map segment from (?:an? |the )?shared object(?: file)?"
        + _ERRNO,
    ),
    _translated("cannot-map", translated_libc.CANNOT_MAP),
    _glibc("cannot-map", "change memory protections", r"cannot change memory protections" + _ERRNO),
    _glibc("cannot-map", "map zero-fill pages", r"cannot map zero-fill pages" + _ERRNO),
    _glibc("no-dlopen", "be dlopen", r"shared object cannot be dlopen\(\)ed"),
    shape(
        "exec-stack",
        translated_libc.EXECUTABLE_STACK,
        rf"(?:{translated.any_of(translated_libc.EXECUTABLE_STACK)})[^:\n]{{0,60}}(?::\s?(?P<errno>.{{2,60}}))?",
        before=True,
    ),
    _glibc("exec-stack", "executable stack", r"cannot enable executable stack(?: as shared object requires)?" + _ERRNO),
    _glibc("isa-level", "isa level", r"CPU ISA level is lower than required", versions="2.33 and later"),
    _glibc("relr", "dt_relr", r"DT_RELR without GLIBC_ABI_DT_RELR dependency", versions="2.36 and later"),
    _glibc("hardening", "support enabled", r"rebuild shared object with (?P<detail>IBT|SHSTK) support enabled"),
    _glibc("hardening", "bti protection", r"failed to turn on (?P<detail>BTI) protection"),
    _glibc("hardening", "gcs compatible", r"not (?P<detail>GCS) compatible"),
    _translated("text-relocation", translated_libc.TEXT_RELOCATION),
    _glibc("text-relocation", "segment writable", r"cannot make segment writable for relocation" + _ERRNO),
    _glibc("text-relocation", "segment prot", r"cannot restore segment prot after reloc" + _ERRNO),
    _glibc(
        "text-relocation",
        "additional memory protection",
        r"cannot apply additional memory protection(?: after relocation)?" + _ERRNO,
    ),
    _glibc(
        "version",
        ("not found", "not be found"),
        r"version ['\"]?(?P<version>[A-Za-z][\w.]{1,100})['\"]? (?:not found|was not found|could not be found)"
        r"(?: ?\(required by (?P<requirer>[^)\n]{1,500}))?",
    ),
    shape(
        "version",
        ("link time reference",),
        r"symbol (?P<symbol>[\w@.$]{1,800}),? version (?P<version>[\w.]{1,100}) not defined in file"
        r" (?P<object>\S{1,300})"
        r" with link time reference(?: ?\((?P<requirer>[^)\n]{1,300})\))?",
        lead=1300,
    ),
    shape(
        "version",
        ("glibc_", "glibcxx_", "cxxabi_"),
        rf"{_SO}\s?: [^:]{{0,80}}['\" ](?P<version>(?:GLIBC|GLIBCXX|CXXABI)_[\w.]+)['\""
        rf" ](?:[^(\n]{{0,80}}\([^/\n]{{0,60}}"
        r"(?P<requirer>/[^)\n]{1,500}))?",
        versions="translated",
        foreign=True,
        lead=700,
    ),
    shape(
        "version",
        ("glibc_", "glibcxx_", "cxxabi_"),
        r"['\" ](?P<version>(?:GLIBC|GLIBCXX|CXXABI)_\d[\w.]+)['\"]?[ :,]{1,3}(?:version )?(?:was |is )?(?:not found"
        r"|missing|needed|required)",
        before=True,
    ),
    _glibc(
        "symbol",
        "undefined symbol",
        r"undefined symbol(?: ?[:=]? ?['\"<]?(?P<symbol>"
        r"(?!(?:errors?|issues?|problems?|messages?|when|while|after|with)\b)[A-Za-z_$][\w$.@]{0,2000}))?"
        r"(?:,? ?version (?P<version>[\w.+-]{1,100}))?",
    ),
    shape(
        "symbol",
        "_z",
        rf"{_SO}\s?:\s?[^:]{{3,80}}:?\s(?P<symbol>_Z[\w$.]{{2,2000}})(?:$|[\s'\"\]),])",
        versions="translated",
        foreign=True,
        lead=700,
    ),
    shape("symbol", "_cffi_pypyinit", r"function (?P<symbol>_cffi_pypyinit_\w{0,80})", loader="pypy"),
    _glibc("relocation", "unexpected", r"unexpected (?:PLT )?reloc type (?P<detail>0x[0-9a-f]+)"),
    _glibc(
        "static-tls",
        ("static tls", "thread-local data: abort"),
        r"can ?not allocate memory in static TLS block|cannot load any more object with static TLS"
        r"|cannot allocate memory for thread-local data: ABORT",
    ),
    _translated("static-tls", translated_libc.STATIC_TLS),
    shape(
        "static-tls", "tls", rf"{_SO}\s?:\s?(?=[^:]{{3,80}}$)(?=[^:]*\bTLS\b)(?=.*[^\x00-\x7f])", versions="translated"
    ),
    _glibc("tokens", "dst not allowed", r"DST not allowed in SUID/SGID programs"),
    _glibc("tokens", "token substitution", r"empty dynamic string token substitution"),
    _glibc("mode", "mode for dlopen", r"invalid mode for dlopen\(\)" + _ERRNO),
    _glibc(
        "mode", "namespace", r"(?:invalid target namespace in|no more namespaces available for) dlmopen\(\)" + _ERRNO
    ),
)

MUSL: tuple[Shape, ...] = (
    shape(
        "musl-library",
        "error loading shared library",
        r"Error loading shared library:? ['\"]?(?P<library>[^\s:'\"]{0,500})['\"]?"
        r"(?:: (?P<errno>[A-Z][A-Za-z/ ]{3,40}))?"
        r"(?: ?\(needed by (?P<requirer>[^)\n]{1,500}))?",
        loader="musl",
        claims=True,
    ),
    shape(
        "musl-symbol",
        "symbol not found",
        r"(?P<symbol>[A-Za-z_][\w$.@]{0,800}): symbol not found",
        loader="musl",
        claims=True,
        before=True,
        lead=810,
    ),
    shape(
        "musl-relocation",
        "unsupported relocation",
        r"Error relocating (?P<object>[^\s:]{1,500}): unsupported relocation type (?P<detail>\d+)",
        loader="musl",
        lead=1400,
    ),
    shape(
        "musl-tls",
        "initial-exec tls",
        r"Error relocating (?P<object>[^\s:]{1,500}): (?P<symbol>\S{1,800}): initial-exec TLS resolves to dynamic"
        r" definition in (?P<library>\S{1,500})",
        loader="musl",
        lead=1400,
    ),
    shape(
        "musl-relro",
        "relro protection failed",
        r"Error relocating (?P<object>[^\s:]{1,500}): RELRO protection failed: (?P<errno>[A-Z][A-Za-z/ ]{3,40})",
        loader="musl",
        lead=1400,
    ),
    shape(
        "musl-noload",
        "is not already loaded",
        r"Library (?P<object>\S{1,500}) is not already loaded",
        loader="musl",
        lead=1400,
    ),
    shape("musl-static", "dynamic loading not supported", r"Dynamic loading not supported", loader="musl"),
    shape("musl-exiting", "program is exiting", r"Cannot dlopen while program is exiting", loader="musl"),
)

OTHERS: tuple[Shape, ...] = (
    shape(
        "no-loader-for-machine",
        ("could not open '/lib", 'could not open "/lib', "could not open /lib"),
        r"(?P<detail>qemu[\w-]*|[\w-]{2,20}-binfmt-P): Could not open"
        r" ['\"]?(?P<object>/lib[\w/.+-]{1,100}ld-[\w.+-]{1,60})",
        loader="qemu",
    ),
    shape(
        "no-loader-for-machine",
        "rosetta error",
        r"rosetta error: failed to open elf at (?P<object>\S{1,300})",
        loader="rosetta",
    ),
    shape(
        "no-loader-here",
        ("/ld-linux", "/ld-musl", "bad elf interpreter"),
        r"(?P<object>/lib(?:64|32|x32)?/ld-(?:linux|musl)[\w.-]{1,40}): (?:bad ELF interpreter: )?(?:No such file"
        r"|not found|cannot open)",
        loader="kernel",
        weight=1,
    ),
    shape(
        "exec-format",
        "exec format error",
        r"(?:cannot execute binary file: )?exec format error",
        before=True,
        loader="kernel",
        weight=1,
    ),
    shape(
        "exec-format",
        "cannot execute binary file",
        r"cannot execute binary file",
        before=True,
        loader="kernel",
        weight=1,
    ),
    shape(
        "linker-script",
        ("file format not recogni", "treating as linker script"),
        r"file format not recogni[sz]ed(?:; treating as linker script)?",
        loader="ld",
        before=True,
    ),
    shape(
        "missing-words",
        "open shared object file",
        r"(?:can ?n[o']t|could ?n[o']t|unable to|failed to) open shared object file:? ['\"]?"
        r"(?P<object>[\w/.+-]{0,200}lib[\w+-]{1,60}\.so[\w.]{0,20}\w)",
        loader="somebody",
        weight=0,
    ),
    shape(
        "missing-words",
        ("missing", "not find", "can't find", "unable to find"),
        r"(?:due to (?:a )?missing|missing|cannot find|can't find|could not find|unable to find|not find) (?:the"
        r" )?(?:file |library |shared library )?"
        r"['\"]?(?P<object>[\w/.+-]{0,200}lib[\w+-]{1,60}\.so[\w.]{0,20})",
        loader="somebody",
        weight=1,
    ),
    shape(
        "missing-words",
        ("not found", "no such file", "missing"),
        r"(?P<object>[\w/.+-]{0,200}\blib[\w+-]{1,60}\.so[\w.]{0,20})['\"]?(?: =>)?:? (?:is )?(?:not found|missing"
        r"|no such file or directory)",
        loader="somebody",
        weight=1,
    ),
    shape(
        "symbol",
        "symbol lookup error",
        r"symbol lookup error: ?(?P<object>[^\s:]{1,500}): ?(?:undefined symbol:"
        r" ?)?(?P<symbol>[A-Za-z_][\w$.@]{0,2000})?",
        weight=1,
    ),
)
SHAPES = (*GLIBC[:2], *MUSL, *GLIBC[2:], *OTHERS)
