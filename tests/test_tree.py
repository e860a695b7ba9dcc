"""The tree itself: git knows every file of the package, files and functions are short, imports are declared."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent


def git(*words: str, given: str = "") -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, input=given, capture_output=True, text=True, check=False)
    if "not a git repository" in done.stderr:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    return done.stdout.split("\0")[:-1]


def test_git_ignores_no_file_of_the_package():
    """A pattern such as ``runs/`` in .gitignore would swallow bimt_tf/runs."""
    ignored = git("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "bimt_tf", "tests", "docs")
    assert [path for path in ignored if not path.endswith(".pyc") and "cache" not in path] == []


@pytest.mark.parametrize("room", ["runs", "sweeps", "pool", "config", "core"])
def test_git_would_track_a_new_file_of_a_room(room):
    paths = f"bimt_tf/{room}/new_file.py\0runs/some-run/config.yaml\0"
    assert git("check-ignore", "-z", "--no-index", "--stdin", given=paths) == ["runs/some-run/config.yaml"]


PACKAGE = ROOT / "bimt_tf"
FILES = sorted(PACKAGE.rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, MEDIAN = 300, 60, 130  # lines


def statements(path: Path) -> list[ast.stmt]:
    return ast.parse(path.read_text(encoding="utf-8")).body


def long_functions(path: Path) -> list[str]:
    """The functions of a file that take more lines than they may, the docstring among them."""
    functions = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.FunctionDef)]
    lengths = {f"{path.name}: {f.name}": f.end_lineno - f.lineno + 1 for f in functions}
    return [f"{name} has {lines} lines" for name, lines in lengths.items() if lines > LONGEST_FUNCTION]


def test_files_are_short():
    lines = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert [f"{name} has {n} lines" for name, n in lines.items() if n > LONGEST_FILE] == []
    assert statistics.median(lines.values()) < MEDIAN


def test_functions_are_short():
    assert [said for path in FILES for said in long_functions(path)] == []


def test_a_long_function_is_seen(tmp_path):
    path = tmp_path / "long.py"
    path.write_text("class A:\n    def f(self):\n" + "        pass\n" * LONGEST_FUNCTION)
    assert long_functions(path) == ["long.py: f has 61 lines"]


def test_the_init_of_a_room_is_a_docstring():
    """One import path for a thing: the room's file that defines it. The top is the public door."""
    for path in FILES:
        if path.name == "__init__.py" and path.parent != PACKAGE:
            (docstring,) = statements(path)
            assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant), path


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.name not in ("__init__.py", "__main__.py")],
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_a_file_says_what_it_offers(path):
    """``__all__`` names things of this file, each once."""
    body = statements(path)
    (names,) = [ast.literal_eval(s.value) for s in body if isinstance(s, ast.Assign) and "__all__" in targets(s)]
    assert len(set(names)) == len(names)
    here = {n for s in body for n in targets(s)} | {
        alias.asname or alias.name for s in body if isinstance(s, ast.ImportFrom) for alias in s.names
    }
    assert set(names) <= here, set(names) - here


def targets(statement: ast.stmt) -> list[str]:
    """The names that a statement defines."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    found = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [n.id for target in found if target is not None for n in ast.walk(target) if isinstance(n, ast.Name)]


DISTRIBUTIONS = {
    "PIL": "pillow", "docstring_parser": "docstring-parser", "mpl_toolkits": "matplotlib", "ruamel": "ruamel.yaml",
    "sklearn": "scikit-learn", "transformer_lens": "transformer-lens",
}  # fmt: skip
"""Package that is imported -> the distribution that has it, where the two have different names."""

BY_NAME = {"mpld3", "tensorboard", "wandb"}
"""Distributions that are loaded by a name in a string (runs/loggers.py, viewer/scripts.py)."""


def test_what_is_imported_is_declared_and_nothing_else():
    declared = project()["dependencies"]
    extras = [line for name, lines in project()["optional-dependencies"].items() if name != "dev" for line in lines]
    assert distributions(imported()) | BY_NAME == {re.split(r"[<>=!~\[; ]", line)[0] for line in (*declared, *extras)}


def test_the_extras_are_what_is_imported_inside_functions_alone():
    """What is needed for the usual jobs is installed with the package; an extra is for one job that asks for it."""
    extras = {
        re.split(r"[<>=]", line)[0]
        for name, lines in project()["optional-dependencies"].items()
        if name != "dev"
        for line in lines
    }
    assert not distributions(imported(at_the_top=True)) & extras


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def distributions(packages: set[str]) -> set[str]:
    return {DISTRIBUTIONS.get(package, package) for package in packages}


def imported(*, at_the_top: bool = False) -> set[str]:
    """The top packages, not Python's own, that the files of bimt_tf import."""
    found = set()
    for path in FILES:
        for node in statements(path) if at_the_top else ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"bimt_tf", "__future__"}
