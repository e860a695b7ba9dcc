"""The rooms of bimt_tf and the way through them: imports run downwards, without a circle, and loading is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

import bimt_tf

ROOT = Path(bimt_tf.__file__).parent

ORDER = (
    ("errors",),
    ("core",),
    ("models", "adapters"),
    ("bimt", "tasks"),
    ("config",),
    ("analysis",),
    ("scene",),
    ("training",),
    ("figures", "viewer"),
    ("runs",),
    ("pool",),
    ("sweeps",),
    ("paper",),
    ("cli",),
)
"""The rooms from the bottom to the top, stated once (docs/house.md): a room imports rooms of lower rows only, and
itself; rooms of one row do not import each other."""

ROW = {room: row for row, rooms in enumerate(ORDER) for room in rooms}
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


def imports(source: str, module: str, is_package: bool, *, types: bool = True) -> set[str]:
    """Modules of the package that a file imports, at its top or inside functions."""
    found = set()
    for node in nodes(ast.parse(source), types):
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
    """Sentences for the imports of a module that the order does not allow."""
    own, found = room(module), []
    for name in sorted(imported):
        other = room(name)
        if other == "":
            found.append(f"{module} imports from the top of bimt_tf, which serves users and would reach any room")
        elif other not in ROW:
            found.append(f"{module} imports {name}, a room that ORDER does not know")
        elif other != own and ROW[other] >= ROW[own]:
            found.append(f"{module} imports {name}")
    return found


@pytest.mark.parametrize("path", FILES, ids=[module_of(p) for p in FILES])
def test_imports_run_downwards(path):
    module = module_of(path)
    if module in ("bimt_tf", "bimt_tf.__main__"):
        return
    assert room(module) in ROW, f"{module} is a room that ORDER does not know"
    assert violations(module, imports(path.read_text(), module, path.name == "__init__.py")) == []


def test_no_file_imports_itself_in_a_circle():
    """Not even inside a room, types included: a circle of files is one file in several places."""
    graph = nx.DiGraph()
    for path in FILES:
        module = module_of(path)
        if module != "bimt_tf":
            graph.add_edges_from(
                (module, name)
                for name in imports(path.read_text(), module, path.name == "__init__.py")
                if name != "bimt_tf"
            )
    assert [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1] == []


def test_every_room_is_in_the_order():
    rooms = {path.name if path.is_dir() else path.stem for path in ROOT.iterdir()}
    assert rooms - {"__init__", "__main__", "__pycache__", "py"} <= ROW.keys()


@pytest.mark.parametrize(
    ("module", "source", "says"),
    [
        ("bimt_tf.core.wiring", "from bimt_tf.adapters.mlp import wiring", "bimt_tf.adapters"),
        ("bimt_tf.core.wiring", "from ..training import flat", "bimt_tf.training"),
        ("bimt_tf.core.wiring", "import bimt_tf.bimt as b", "bimt_tf.bimt"),
        ("bimt_tf.core.wiring", "def f():\n    from bimt_tf import bimt", "bimt_tf.bimt"),
        ("bimt_tf.models.mlp", "from bimt_tf.adapters import mlp", "bimt_tf.adapters"),
        ("bimt_tf.analysis.graph", "from bimt_tf.training import trainer", "bimt_tf.training"),
        ("bimt_tf.figures.network", "from bimt_tf.runs.load import load_run", "bimt_tf.runs"),
        ("bimt_tf.core.layout", "from bimt_tf import BIMT", "the top of bimt_tf"),
        ("bimt_tf.core.layout", "if TYPE_CHECKING:\n    from bimt_tf.bimt import BIMT", "bimt_tf.bimt"),
        ("bimt_tf.pool.pool", "from bimt_tf.sweeps.axes import Sweep", "bimt_tf.sweeps"),
    ],
)
def test_the_check_sees_a_wrong_import(module, source, says):
    (found,) = violations(module, imports(source, module, is_package=False))
    assert says in found


def test_the_check_lets_right_imports_pass():
    right = {
        "bimt_tf.cli.main": "from bimt_tf import __version__\nfrom bimt_tf.runs.load import load_run",
        "bimt_tf.core.layout": "import torch\nfrom bimt_tf.core.wiring import Wiring\nfrom ..errors import InputError",
        "bimt_tf.models.mlp": "from bimt_tf.models.layers import HookedModel\nfrom .layers import whole",
    }
    for module, source in right.items():
        assert violations(module, imports(source, module, is_package=False)) == []


HEAVY = ("torch", "transformer_lens", "matplotlib", "sklearn", "scipy", "networkx")


@pytest.mark.parametrize("module", ["bimt_tf", "bimt_tf.cli.main", "bimt_tf.config.settings", "bimt_tf.tasks"])
def test_importing_the_top_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [] and done.stderr == ""


def test_every_name_of_the_top_is_found():
    for name in bimt_tf._HOMES:
        assert getattr(bimt_tf, name).__name__ == name
    assert set(dir(bimt_tf)) == set(bimt_tf.__all__)


def test_an_unknown_name_of_the_top():
    with pytest.raises(AttributeError, match="no attribute 'Bimt'.*BIMT"):
        bimt_tf.Bimt  # noqa: B018
