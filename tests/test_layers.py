"""Holds every import statement of the library to the order of the layers: imports go up the page only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "tfguard"

# From facts to doors; a module may import its own layer and those above it in this list.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("image",),
    ("macho_image",),
    ("mangling.*", "plain"),
    ("binary.*", "hosts.root", "hosts.loader_file", "hosts.loader_family"),
    ("hosts.mac", "hosts.foreign", "hosts.host", "evidence.gpu_stack", "installed.sys_path", "installed.installation"),
    ("installed.imports", "installed.mac_packages", "hosts.named", "hosts.linux_system", "installed.wheel_name"),
    ("hosts.processor", "hosts.memory", "hosts.limits"),
    ("hosts.live", "hosts.live_mac", "installed.*"),
    ("loader.*",),
    ("hosts.*",),
    ("case", "finding"),
    ("evidence.*",),
    ("rules.*", "evidence.investigate", "evidence.investigate_mac"),
    ("report", "errors", "telling.*", "commands.usage", "commands.output"),
    ("checks.*",),
    ("diagnosis.*",),
    ("diagnosis.on_this_machine", "diagnosis.issue"),
    ("diagnosis.post_mortem",),
    ("probing.child", "probing.instruction"),
    ("probing.*",),
    ("guard", "failed_load"),
    ("commands.*",),
    ("__main__", "__init__", "probing.inside"),
)

# What may be imported before the checks: TensorFlow nowhere, the libraries only inside the function that needs them.
HEAVY = ("elftools", "macholib", "packaging", "itanium_demangler", "tensorflow", "numpy")


def modules() -> list[str]:
    found = []
    for path in sorted(LIBRARY.rglob("*.py")):
        name = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
        found.append(name)
    return found


def layer_of(module: str) -> int:
    """The layer that names the module itself, or else the one that has the rest of its folder."""
    folder = f"{module.rpartition('.')[0] or module}.*"
    for wanted in (module, folder, f"{module}.*"):
        for number, names in enumerate(LAYERS):
            if wanted in names:
                return number
    raise AssertionError(f"{module} is in no layer: add it to LAYERS and to docs/design.md")


def imports_of(module: str) -> list[tuple[str, bool]]:
    """(imported module, whether at the top level) for each import statement that runs."""
    path = LIBRARY / f"{module.replace('.', '/')}.py"
    tree = ast.parse(path.read_text())
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, *, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue  # never runs
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                found.append((child.module, top))
                if child.module.startswith("tfguard"):
                    deeper = [f"{child.module}.{alias.name}" for alias in child.names]
                    found.extend((one, top) for one in deeper if one.removeprefix("tfguard.") in modules())
            visit(child, top=top and not isinstance(child, ast.FunctionDef | ast.ClassDef))

    visit(tree, top=True)
    return found


@pytest.mark.parametrize("module", modules())
def test_imports_go_up(module: str) -> None:
    """A module imports only its own layer and those above."""
    own = layer_of(module)
    # A report draws and raises itself on demand: str(), to_dict() and raise_for_errors() import inside.
    for name, top in imports_of(module):
        if not name.startswith("tfguard.") or not top:
            continue
        assert layer_of(name.removeprefix("tfguard.")) <= own, f"{module} imports {name}"


@pytest.mark.parametrize("module", modules())
def test_foreign_libraries_are_imported_inside_functions(module: str) -> None:
    """`import tfguard` and a check that finds nothing load none of the dependencies."""
    for name, top in imports_of(module):
        if name.split(".", maxsplit=1)[0] in HEAVY:
            assert not top, f"{module} imports {name} at its top level"


@pytest.mark.parametrize("module", [one for one in modules() if one.split(".")[0] == "rules"])
def test_rules_read_no_files(module: str) -> None:
    """A rule judges, it never reads: no reader is imported, and nothing is opened."""
    for name, _ in imports_of(module):
        assert not name.startswith(("tfguard.binary", "tfguard.installed.installation")), f"{module} imports {name}"
    tree = ast.parse((LIBRARY / f"{module.replace('.', '/')}.py").read_text())
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"open", "os.open", "os.stat", "os.listdir", "os.scandir", "look_at"}


def test_public_names() -> None:
    """Every public name leads somewhere, and `import tfguard` alone imports nothing behind them."""
    import subprocess
    import sys

    code = "import sys, tfguard; print(sorted(name for name in sys.modules if name.startswith('tfguard.')))"
    alone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    import tfguard

    assert alone.stdout.strip() == "[]"
    assert all(getattr(tfguard, name) is not None for name in tfguard.__all__)
    assert set(tfguard.__all__) == set(tfguard._HOMES)
