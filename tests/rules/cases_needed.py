"""Cases of the rules about a needed library: missing, elsewhere, of another version, and too old in what it defines."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace

from tests.loader.scene import Scene
from tests.rules.stage import Question, RuleCase
from tests.support.elf_writer import Export, Import, Library, write
from tests.support.packages import RAISES, SUFFIX, native

_PLAIN = write(Library(soname="libpart.so.1", exports=(Export(name="part"),)))

LayOut = Callable[[Scene], Question]


def _op(scene: Scene, *needed: str, **fields: object) -> str:
    return scene.library("op.so", soname="op.so", needed=needed, **fields)


def _needs(name: str) -> LayOut:
    return lambda scene: Question(target=_op(scene, name))


def _gone(scene: Scene) -> Question:
    """A library of a distribution that its RECORD lists was deleted."""
    record = "fancy/_core.so,sha256=abc,123\nfancy.libs/libpart-0a1b2c.so.1,sha256=def,456\n"
    scene.write("site-packages/fancy-1.2.3.dist-info/RECORD", record.encode())
    return Question(
        target=scene.library(
            "site-packages/fancy/_core.so", needed=("libpart-0a1b2c.so.1",), runpath="$ORIGIN/../fancy.libs"
        )
    )


def _built_against_stub(scene: Scene, name: str, *, elsewhere: tuple[tuple[str, str], ...] = ()) -> Question:
    """An op linked to a stub of a library that is then gone; other files lie elsewhere."""
    stub = scene.compile(f"stub/{name}", "int part(void) { return 1; }", f"-Wl,-soname,{name}")
    op = scene.compile("op.so", "int part(void); int f(void) { return part(); }", "-Wl,--no-as-needed", stub)
    for place, soname in elsewhere:
        scene.library(place, soname=soname)
    (scene.root / "stub" / name).unlink()
    return Question(target=op, path=(f"{scene.root}/site-packages",))


def _beside(scene: Scene) -> Question:
    scene.write("libpart.so.1", _PLAIN)
    return Question(target=_op(scene, "libpart.so.1"))


def _beside_with_path(scene: Scene) -> Question:
    """As before, with a RUNPATH and an LD_LIBRARY_PATH that must be kept."""
    scene.write("parts/libpart.so.1", _PLAIN)
    scene.write("libpart.so.1", _PLAIN)
    op = _op(scene, "libpart.so.1", runpath=f"{scene.root}/here")
    return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/there"})


def _beside_in_secure_mode(scene: Scene) -> Question:
    scene.write("lib/libpart.so.1", _PLAIN)
    environment = {"LD_LIBRARY_PATH": f"{scene.root}/lib"}
    return Question(target=_op(scene, "libpart.so.1"), environment=environment, host={"secure": True})


def _in_conda(scene: Scene) -> Question:
    scene.write("conda/lib/libpart.so.1", _PLAIN)
    return Question(target=_op(scene, "libpart.so.1"), environment={"CONDA_PREFIX": f"{scene.root}/conda"})


def _in_tensorflow(scene: Scene) -> Question:
    """An op that is opened before TensorFlow is imported."""
    name = "libtensorflow_framework.so.2"
    return _built_against_stub(scene, name, elsewhere=((f"site-packages/tensorflow/{name}", name),))


def _too_late(scene: Scene) -> Question:
    scene.write("lib/libpart.so.1", _PLAIN)
    return Question(target=_op(scene, "libpart.so.1"), late=f"{scene.root}/lib")


def _other_major(scene: Scene) -> Question:
    scene.library("libpart.so.3", soname="libpart.so.3")
    return Question(target=_op(scene, "libpart.so.1"))


def _cuda_of_other_major(scene: Scene) -> Question:
    place = "site-packages/nvidia/cuda_runtime/lib/libcudart.so.13"
    return _built_against_stub(scene, "libcudart.so.12", elsewhere=((place, "libcudart.so.13"),))


def _cuda_in_site_packages(scene: Scene) -> Question:
    place = "site-packages/nvidia/cuda_runtime/lib/libcudart.so.12"
    return _built_against_stub(scene, "libcudart.so.12", elsewhere=((place, "libcudart.so.12"),))


def _stub_of_the_driver(scene: Scene) -> Question:
    """The toolkit's stub lies where such things are looked for: no remedy may lead to it."""
    stubs = "cuda/lib64/stubs"
    question = _built_against_stub(scene, "libcuda.so.1", elsewhere=((f"{stubs}/libcuda.so.1", "libcuda.so.1"),))
    return replace(question, late=f"{scene.root}/{stubs}")


def _tensorflow(scene: Scene, version: str = "2.99.0") -> str:
    """A folder of packages with a TensorFlow in it that has no native modules."""
    scene.write("site-packages/tensorflow/__init__.py", b"")
    scene.write(f"site-packages/tensorflow-{version}.dist-info/RECORD", b"tensorflow/__init__.py,,\n")
    return f"{scene.root}/site-packages"


def _op_needs(name: str, *, installed: bool = True) -> LayOut:
    def lay_out(scene: Scene) -> Question:
        path = (_tensorflow(scene),) if installed else ()
        return Question(target=_op(scene, name), door="op", path=path)

    return lay_out


def _module_gone(scene: Scene) -> Question:
    """The TensorFlow of a release whose modules are known, and one of them is there for another processor only."""
    site = _tensorflow(scene, "2.21.0")
    name = "_pywrap_cpu_feature_guard.cpython-39-aarch64-linux-gnu.so"
    scene.write(f"site-packages/tensorflow/python/platform/{name}", b"")
    return Question(target="tensorflow", door="import", path=(site,))


def _failing_package(scene: Scene) -> Question:
    module = native(scene.compiler, "fancy", body=RAISES)
    scene.write(f"site-packages/fancy{SUFFIX}", module.read_bytes())
    return Question(target="fancy", door="guarded", path=(f"{scene.root}/site-packages",))


def _tripping(scene: Scene) -> Question:
    """A host that nobody could have gathered: what looks into its environment trips."""
    return Question(target=_op(scene, "libpart.so.1"), host={"environment": {"LD_LIBRARY_PATH": 7}})


# --- versions


def _wants(file: str, *versions: str) -> tuple[Import, ...]:
    return tuple(Import(name=f"s{number}", file=file, version=one) for number, one in enumerate(versions))


def _defines(*versions: str) -> tuple[Export, ...]:
    return tuple(Export(name=f"s{number}", version=one) for number, one in enumerate(versions))


def _glibc(version: str) -> LayOut:
    return lambda scene: Question(
        target=_op(scene, "libc.so.6", imports=(Import(name="puts", file="libc.so.6", version=version),))
    )


def _glibc_and_more(scene: Scene) -> Question:
    """Two libraries too old: the number in the message is that of the one named."""
    scene.library("lib/libstdc++.so.6", soname="libstdc++.so.6", exports=_defines("GLIBCXX_3.4.19"))
    imports = (
        Import(name="puts", file="libc.so.6", version="GLIBC_2.99"),
        Import(name="s0", file="libstdc++.so.6", version="GLIBCXX_3.4.30"),
    )
    op = _op(scene, "libc.so.6", "libstdc++.so.6", imports=imports)
    return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/lib"})


def _cxx(*versions: str) -> LayOut:
    """An op that needs a newer libstdc++ than the only one there is, which LD_LIBRARY_PATH leads to."""

    def lay_out(scene: Scene) -> Question:
        family = versions[0].partition("_")[0]
        old = "GLIBCXX_3.4.25" if family == "GLIBCXX" else "CXXABI_1.3.11"
        scene.library("lib/libstdc++.so.6", soname="libstdc++.so.6", exports=_defines(old))
        op = _op(scene, "libstdc++.so.6", imports=_wants("libstdc++.so.6", *versions))
        return Question(target=op, environment={"LD_LIBRARY_PATH": f"{scene.root}/lib"})

    return lay_out


def _newer_in_conda(scene: Scene) -> Question:
    """The copy found by a run path is too old, the conda environment has a newer one."""
    scene.library("conda/lib/libcxx9.so.6", soname="libcxx9.so.6", exports=_defines("GLIBCXX_3.4.99"))
    scene.library("lib/libcxx9.so.6", soname="libcxx9.so.6", exports=_defines("GLIBCXX_3.4.19"))
    op = _op(scene, "libcxx9.so.6", runpath=f"{scene.root}/lib", imports=_wants("libcxx9.so.6", "GLIBCXX_3.4.99"))
    return Question(target=op, environment={"CONDA_PREFIX": f"{scene.root}/conda"})


def _old_copy(scene: Scene) -> str:
    """Two copies of a library; gives the folder of the older one. The newer lies beside the op."""
    scene.library("old/libpart.so.1", soname="libpart.so.1", exports=_defines("PART_1.0"))
    scene.library("libpart.so.1", soname="libpart.so.1", exports=_defines("PART_1.0", "PART_2.0"))
    return f"{scene.root}/old"


def _old_on_path(scene: Scene) -> Question:
    folder = _old_copy(scene)
    op = _op(scene, "libpart.so.1", runpath="$ORIGIN", imports=_wants("libpart.so.1", "PART_1.0", "PART_2.0"))
    return Question(target=op, environment={"LD_LIBRARY_PATH": f"{folder}:{scene.root}/other"})


def _old_already_loaded(scene: Scene) -> Question:
    folder = _old_copy(scene)
    op = _op(scene, "libpart.so.1", runpath="$ORIGIN", imports=_wants("libpart.so.1", "PART_1.0", "PART_2.0"))
    return Question(target=op, before=(f"{folder}/libpart.so.1",))


def _other_release(scene: Scene) -> Question:
    scene.library("lib/libpart.so.1", soname="libpart.so.1", exports=_defines("PART_1.0"))
    op = _op(scene, "libpart.so.1", runpath=f"{scene.root}/lib", imports=_wants("libpart.so.1", "PART_1.0", "PART_2.0"))
    return Question(target=op)


def _version_of_no_one(scene: Scene) -> Question:
    return Question(target=_op(scene, imports=_wants("libpart.so.1", "PART_1.0")))


def _without_mark(scene: Scene) -> Question:
    op = _op(scene, "libc.so.6", relr=True, needs=(("libc.so.6", "GLIBC_2.2.5"),))
    refuses = tuple(map(int, platform.libc_ver()[1].split(".")[:2])) >= (2, 36)
    return Question(target=op, host={} if refuses else {"features": ["dt-relr"]})


CASES = (
    RuleCase("TFG201", _needs("libnowhere.so.1")),
    RuleCase("TFG201-of-the-system", _needs("librdmacm.so.1"), only_where="apt-get"),
    RuleCase("TFG201-gone", _gone),
    RuleCase("TFG201-opened", lambda scene: Question(target="libnowhere.so.1"), compared=False),
    RuleCase("TFG202", _beside),
    RuleCase("TFG202-paths-kept", _beside_with_path),
    RuleCase("TFG202-secure-mode", _beside_in_secure_mode),
    RuleCase("TFG202-conda", _in_conda),
    RuleCase("TFG202-cuda", _cuda_in_site_packages),
    RuleCase("TFG202-import-first", _in_tensorflow),
    RuleCase("TFG203", _too_late),
    RuleCase("TFG204", _other_major),
    RuleCase("TFG205", lambda scene: _built_against_stub(scene, "libnccl.so.2")),
    RuleCase("TFG653-needed", lambda scene: _built_against_stub(scene, "libcuda.so.1")),
    RuleCase("TFG653-stub", _stub_of_the_driver, compared=False),
    RuleCase("TFG205-other-major", _cuda_of_other_major, compared=False),
    RuleCase("TFG206", _op_needs("libtensorflow_framework.so.1")),
    RuleCase("TFG206-build-path", _op_needs("/build/tensorflow/libtensorflow_framework.so.2")),
    RuleCase("TFG206-not-installed", _op_needs("libtensorflow_framework.so.2", installed=False)),
    RuleCase("TFG207", _needs("libc.musl-x86_64.so.1")),
    RuleCase("TFG208", _module_gone),
    RuleCase("TFG209", _needs("/build/parts/libpart.so")),
    RuleCase("TFG301", _glibc("GLIBC_2.99")),
    RuleCase("TFG301-of-two", _glibc_and_more),
    RuleCase("TFG302", _cxx("GLIBCXX_3.4.98", "GLIBCXX_3.4.30")),
    RuleCase("TFG303", _cxx("CXXABI_1.3.98")),
    RuleCase("TFG304", _old_on_path),
    RuleCase("TFG304-already-loaded", _old_already_loaded),
    RuleCase("TFG304-run-path", _newer_in_conda),
    RuleCase("TFG305", _other_release),
    RuleCase("TFG305-of-glibc", _glibc("GLIBC_2.1.99"), compared=False),
    RuleCase("TFG306", _version_of_no_one),
    RuleCase("TFG307", _without_mark),
    RuleCase("TFG901", _failing_package),
    RuleCase("TFG904", _tripping, warning=True),
)
