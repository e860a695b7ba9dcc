"""The direction of imports (docs: the rooms and the way through them), and what importing bimt_tf loads."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bimt_tf

ROOT = Path(bimt_tf.__file__).parent

# Room -> rooms it may import, stated once; a room is a module or a folder of bimt_tf, and may import itself.
CORE = {"errors", "wiring", "geometry", "layout", "cost", "assignment", "swap", "adapters", "bimt"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "wiring": {"errors"},
    "geometry": {"errors", "wiring"},
    "layout": {"errors", "wiring"},
    "cost": {"errors", "wiring", "geometry", "layout"},
    "assignment": set(),
    "swap": {"errors", "wiring", "geometry", "layout", "cost", "assignment"},
    "models": {"errors"},
    "tasks": {"errors", "models"},  # a task builds the paper's model of it
    "adapters": {"errors", "wiring"},
    "bimt": CORE - {"bimt"},
    "train": CORE | {"tasks", "models"},
    "analysis": CORE | {"tasks", "models"},
    "figures": {"errors", "wiring", "analysis"},
    "viewer": {"errors", "wiring", "analysis"},
    "experiments": CORE | {"tasks", "models", "train", "analysis", "figures", "viewer"},
    "console": {"errors"},
    "cli_options": {"errors", "experiments", "tasks", "train"},
    "cli_sweep": {"errors", "experiments", "console", "cli_options"},
    "cli_finetune": {"experiments", "console", "cli_options", "train"},
    "cli_reproduce": {"experiments", "console"},
    "cli": {
        "errors",
        "experiments",
        "tasks",
        "train",
        "console",
        "cli_options",
        "cli_finetune",
        "cli_reproduce",
        "cli_sweep",
    },
}
CLI_OF_TRAIN = {
    "bimt_tf.train.config",
    "bimt_tf.train.rundir",
}  # of train, the command line reads settings and runs only
TYPES_ARE_FREE = {"cli", "cli_options", "cli_sweep", "console"}  # the shell may name the types of what it is handed

FILES = sorted(ROOT.rglob("*.py"))


def module_of(path: Path) -> str:
    parts = ["bimt_tf", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def resolve(name: str) -> str:
    """The longest prefix of a dotted name that is a module of the package."""
    parts = name.split(".")
    while len(parts) > 1:
        place = ROOT.joinpath(*parts[1:])
        if place.with_suffix(".py").exists() or place.is_dir():
            break
        parts.pop()
    return ".".join(parts)


def nodes(tree: ast.AST, types: bool) -> Iterator[ast.AST]:
    """All nodes of a tree, without the bodies of ``if TYPE_CHECKING`` unless ``types``."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if types or not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield from nodes(child, types)


def imports(source: str, module: str, is_package: bool) -> set[str]:
    """Modules of the package that a file imports, at its top or inside functions."""
    found = set()
    for node in nodes(ast.parse(source), types=room(module) not in TYPES_ARE_FREE):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    found.discard("bimt_tf.__version__")
    return {resolve(name) for name in found if name.split(".")[0] == "bimt_tf"}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def violations(module: str, imported: set[str]) -> list[str]:
    """Sentences for the imports of a module that its room does not allow."""
    own = room(module)
    found = []
    for name in sorted(imported):
        other = room(name)
        if other == "":  # the top serves users; inside, it would reach any room but the command line
            if own != "experiments":
                found.append(f"{module} imports from the top of bimt_tf")
        elif other == own:
            continue
        elif other not in ALLOWED[own]:
            found.append(f"{module} imports {name}")
        elif own.startswith("cli") and other == "train" and name not in CLI_OF_TRAIN:
            found.append(f"{module} imports {name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=[module_of(p) for p in FILES])
def test_imports_run_one_way(path):
    module = module_of(path)
    if module in ("bimt_tf", "bimt_tf.__main__"):
        return
    assert room(module) in ALLOWED, f"{module} is a room that the table ALLOWED does not know"
    assert violations(module, imports(path.read_text(), module, path.name == "__init__.py")) == []


def test_the_table_has_no_cycle():
    seen: set[str] = set()
    while rest := [name for name in ALLOWED if name not in seen]:
        free = [name for name in rest if ALLOWED[name] <= seen]
        assert free, f"a cycle among {rest}"
        seen.update(free)


@pytest.mark.parametrize(
    ("module", "source", "says"),
    [
        ("bimt_tf.wiring", "from bimt_tf.swap import search", "bimt_tf.swap"),
        ("bimt_tf.wiring", "from .swap import search", "bimt_tf.swap"),
        ("bimt_tf.wiring", "from . import swap", "bimt_tf.swap"),
        ("bimt_tf.wiring", "import bimt_tf.swap as s", "bimt_tf.swap"),
        ("bimt_tf.wiring", "def f():\n    from bimt_tf import swap", "bimt_tf.swap"),
        ("bimt_tf.models.mlp", "from ..wiring import Wiring", "bimt_tf.wiring"),
        ("bimt_tf.analysis.graph", "from bimt_tf.train import loop", "bimt_tf.train"),
        ("bimt_tf.figures.circuit", "from bimt_tf.bimt import BIMT", "bimt_tf.bimt"),
        ("bimt_tf.layout", "from bimt_tf import BIMT", "the top of bimt_tf"),
        ("bimt_tf.cli", "from bimt_tf.train.schedule import x", "bimt_tf.train"),
        ("bimt_tf.wiring", "if TYPE_CHECKING:\n    from bimt_tf.layout import Layout", "bimt_tf.layout"),
        ("bimt_tf.cli", "if True:\n    from bimt_tf.analysis import x", "bimt_tf.analysis"),
    ],
)
def test_the_check_sees_a_wrong_import(module, source, says):
    (found,) = violations(module, imports(source, module, is_package=False))
    assert says in found


def test_the_check_lets_right_imports_pass():
    right = {
        "bimt_tf.cli": "from bimt_tf import __version__\nif TYPE_CHECKING:\n    from bimt_tf.train.trainer import X",
        "bimt_tf.layout": "import torch\nfrom bimt_tf.wiring import Wiring\nfrom .errors import InputError",
        "bimt_tf.models.mlp": "from bimt_tf.models.parts import HookedModel\nfrom .parts import whole",
    }
    for module, source in right.items():
        assert violations(module, imports(source, module, is_package=False)) == []


HEAVY = ("torch", "transformer_lens", "matplotlib", "sklearn", "scipy", "networkx")


@pytest.mark.parametrize("module", ["bimt_tf", "bimt_tf.cli"])
def test_importing_the_top_loads_nothing_heavy(module):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not there yet")
    code = f"import sys, {module}; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [] and done.stderr == ""


def test_every_name_of_the_top_is_found():
    for name, home in bimt_tf._HOMES.items():
        if ROOT.joinpath(*f"{home}.py".split(".")[:-1]).with_suffix(".py").exists() or home == "adapters":
            assert getattr(bimt_tf, name).__name__ == name
    assert set(dir(bimt_tf)) == set(bimt_tf.__all__)


def test_an_unknown_name_of_the_top():
    with pytest.raises(AttributeError, match="no attribute 'Bimt'.*BIMT"):
        bimt_tf.Bimt  # noqa: B018
