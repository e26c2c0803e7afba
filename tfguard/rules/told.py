"""Causes that show in what was said (an error text, the death of a process) and that no check of files recognises."""

from __future__ import annotations

from inspect import cleandoc

from tfguard.rules.rule import Rule


def _told(code: str, slug: str, title: str, explanation: str) -> Rule:
    return Rule(code=code, slug=slug, title=title, explanation=cleandoc(explanation), recognise=None)


RULES: tuple[Rule, ...] = (
    _told(
        "TFG418",
        "masked-by-lazy-loader",
        "The true error is hidden by a lazy loader",
        """TensorFlow 2.0 imports its parts when they are first asked for, and swallows what goes wrong there.

        What is left says that a package is none. Importing the inner module by itself shows the error.
        """,
    ),
    _told(
        "TFG507",
        "no-init-function",
        "No init function for this Python",
        """The file is loaded, and has no function PyInit_NAME for the name under which it is imported.

        It was renamed, built for Python 2, or is a plain library that is no Python module.
        """,
    ),
    _told(
        "TFG508",
        "other-cxx-standard",
        "Compiled with another C++ standard",
        """The op was compiled with another -std than TensorFlow was.

        With C++17 absl::string_view is std::string_view, with C++14 a class of its own. Every function that
        takes one has another name then. Ask the installed TensorFlow for its flags.
        """,
    ),
    _told(
        "TFG702",
        "torch-loaded-first",
        "Two packages do not stand each other",
        """Libraries of two packages, torch and TensorFlow mostly, carry the same names, and what is loaded second uses
        some of what was loaded first.

        Memory is then given back by another copy than gave it, or code of another release runs: a crash,
        `free(): invalid pointer`, or a hang. The order of imports decides.
        """,
    ),
    _told(
        "TFG704",
        "proto-registered-twice",
        "A .proto file is registered twice",
        """Two libraries in one process carry the code generated of one .proto file, and share one protobuf.

        protobuf ends the process then: 'File already exists in database'.
        """,
    ),
    _told(
        "TFG751",
        "native-code-crashes",
        "Native code crashes",
        """The process died of a signal in native code, and no loader refused anything.

        The usual reason is an op, or a library, that was built by another compiler, against another release, or
        for another layout of C++ types than what it is loaded with: it loads, and crashes when it is used.
        `python -m tfguard --probe` loads it in a child and names the library in which that dies.
        """,
    ),
    _told(
        "TFG752",
        "emulator-crash",
        "Ended by the emulator",
        """The program runs under QEMU, which computes something wrongly or does not know a system call, and has ended.

        An image for the machine's own processor needs no emulator.
        """,
    ),
    _told(
        "TFG753",
        "no-kernel-for-device",
        "An op has no kernel for the device",
        """The op is registered, and this build has no code of it for that device or type.

        A build for the CPU has no GPU kernels; some ops have kernels for some types only.
        """,
    ),
    _told(
        "TFG754",
        "op-not-registered",
        "An op is not registered",
        """A graph names an op that no loaded library has.

        Ops of other packages are there only after these are imported; ops of newer releases are never there.
        """,
    ),
    _told(
        "TFG755",
        "instruction-not-known",
        "An instruction that the processor does not have",
        """The process died of an instruction of an extension which this processor does not have (AVX-512, AMX ...).

        The library was built for a newer processor, and does not ask before it uses what that has.
        """,
    ),
    _told(
        "TFG757",
        "aborted",
        "Ended by native code",
        """Native code called abort: a check of its own failed.

        What it said stands above the shell's 'Aborted', or in the log.
        """,
    ),
    _told(
        "TFG759",
        "load-hangs",
        "The load does not come to an end",
        """The import or load goes on for ever: a constructor waits for a lock, a device or another process.

        `python -m tfguard --probe` tells where it stands.
        """,
    ),
    _told(
        "TFG760",
        "out-of-memory",
        "Out of memory",
        """The process, its container or the machine has no memory left.

        TensorFlow's libraries take more than a gigabyte of addresses and some hundred megabytes of memory
        before any work is done.
        """,
    ),
    _told(
        "TFG851",
        "dll-missing",
        "A needed DLL is missing",
        """Windows found no DLL of a name that the module needs (error 126); it does not say which.

        For TensorFlow that is mostly the Visual C++ runtime (msvcp140_1.dll since 2.1). Extension modules do
        not look on PATH since Python 3.8: folders are added by os.add_dll_directory().
        """,
    ),
    _told(
        "TFG852",
        "dll-initialisation-failed",
        "A start-up routine of a DLL failed",
        """Every DLL was found, and the code that runs first in one of them gave up (error 1114).

        A Visual C++ runtime older than the build needs, often an old msvcp140.dll that another package has
        loaded before, or a processor that lacks AVX.
        """,
    ),
    _told(
        "TFG853",
        "pe-of-other-machine",
        "A DLL for another word size or processor",
        """The file is no program for this process (error 193): 32 bits and 64 bits do not mix.

        Windows' text has %1 in every language.
        """,
    ),
    _told(
        "TFG854",
        "dll-of-other-version",
        "A DLL of another version is found first",
        """A function that the module needs is not in the DLL that was found (error 127).

        A DLL of that name that is loaded already is used whatever its version.
        """,
    ),
    _told(
        "TFG855",
        "op-for-linux",
        "An op library for Linux",
        """A .so is an ELF file, which Windows cannot load.

        TensorFlow on Windows says 'not found' whatever the reason, also of a file that exists.
        """,
    ),
    _told(
        "TFG856",
        "blocked-by-windows-policy",
        "A policy of this Windows forbids it",
        """Application control, a group policy or an antivirus program refuses the file.

        Windows says so with error 577, 1260 or 4551.
        """,
    ),
    _told(
        "TFG857",
        "path-too-long",
        "A path longer than Windows takes",
        """The path has more than 259 characters, and long paths are not enabled.

        Environments of the Store's Python lie in long paths; TensorFlow's own are long as well.
        """,
    ),
    _told(
        "TFG905",
        "harmless-line",
        "A line that is harmless",
        """The text holds lines that look like errors and are none.

        TensorFlow tells on every start which instructions it was not compiled to use, that TensorRT or libhdfs
        are not there, and that plugins register themselves twice. None of these ends anything.
        """,
    ),
    _told(
        "TFG906",
        "not-recognised",
        "No message that is known",
        """The text holds no message of a loader, of Python or of TensorFlow that tfguard knows.

        The lines that matter stand above the end of a traceback, often before 'During handling of the above
        exception'.
        """,
    ),
)
