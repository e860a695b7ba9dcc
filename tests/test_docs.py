"""The documents agree with the code: links, names, code blocks, the picture of the house, the site and the version."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import bimt_tf

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
NAMED = [page.relative_to(ROOT).as_posix() for page in PAGES]


def script(name: str):
    """A module of docs/scripts/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def missing_files(text: str) -> list[str]:
    """The files and folders of the repository that a text mentions and that do not exist."""
    found = re.findall(r"(?<![\w/.])((?:bimt_tf|tests|benchmarks|examples|docs)/[\w/.-]*)", text)
    return sorted({path for path in found if not (ROOT / path.rstrip(".")).exists()})


def missing_names(text: str) -> list[str]:
    """The dotted names of the package that a text mentions and that cannot be imported."""
    return sorted(name for name in set(re.findall(r"(?<![\w/])bimt_tf(?:\.\w+)+", text)) if not is_there(name))


def is_there(name: str) -> bool:
    """Whether a dotted name is a module of the package, or a name in one, or an attribute of such a name."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:cut])
        if place.is_dir() or place.with_suffix(".py").exists():
            break
    found = importlib.import_module(".".join(parts[:cut]))
    for part in parts[cut:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def blocks(text: str) -> list[str]:
    """The Python code blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def broken_links(page: Path, text: str) -> list[str]:
    """The relative links and pictures of a page that lead nowhere."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [t.split("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]
    return [target for target in local if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=NAMED)
def test_a_page_mentions_only_what_exists(page):
    text = page.read_text()
    assert missing_files(text) == []
    assert missing_names(text) == []
    assert broken_links(page, text) == []


@pytest.mark.parametrize("page", PAGES, ids=NAMED)
def test_the_imports_of_code_blocks_work(page):
    for block in blocks(page.read_text()):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bimt_tf":
                lost = [a.name for a in node.names if not is_there(f"{node.module}.{a.name}")]
                assert lost == [], f"{node.module} has no {lost}"


def test_the_checks_see_what_is_wrong():
    assert missing_files("see `bimt_tf/core/nothing.py`, bimt_tf/core/ and tests/test_docs.py.") == [
        "bimt_tf/core/nothing.py"
    ]
    assert missing_names("`bimt_tf.core.geometry.Geometry` and bimt_tf.core.geometry.Geometri, bimt_tf.nothing") == [
        "bimt_tf.core.geometry.Geometri",
        "bimt_tf.nothing",
    ]
    assert broken_links(DOCS / "index.md", "[a](nothing.md) [b](concepts.md#words) [c](https://x.org)") == [
        "nothing.md"
    ]


def test_the_picture_of_the_house_is_up_to_date():
    house = script("house")
    assert json.loads(house.DATA.read_text()) == house.imports(), "run: python docs/scripts/house.py"
    assert house.PICTURE.stat().st_size < 300_000


def test_in_the_picture_arrows_point_down_and_pass_beside_the_boxes():
    house = script("house")
    levels, edges = house.rows(), house.drawn(house.imports())
    places = house.arrange(levels, edges)
    assert sorted(places) == sorted(room for level in levels for room in level)
    assert all(start[1] > end[1] for start, end in house.arrows(places, edges).values())
    assert house.faults(places, edges)[0] == 0


def test_every_room_has_a_paragraph_and_a_page():
    house = script("house")
    rooms = {room for level in house.rows() for room in level}
    assert rooms <= set(house.purposes()), (
        "docs/house.md describes every room under a heading '## room: what it is for'"
    )
    assert all(len(line) <= 34 for line in house.purposes().values()), "the line must fit into the room's box"
    for room in rooms:
        page = DOCS / "api" / f"{room}.md"
        assert page.exists() and f"::: bimt_tf.{room}\n" in page.read_text(), f"write {page} as its neighbours are"


def test_every_public_name_stands_on_the_librarys_page():
    named = set(re.findall(r"^\| \[?`(\w+)`", (DOCS / "api" / "index.md").read_text(), re.MULTILINE))
    assert named == set(bimt_tf.__all__)


class Loads(HTMLParser):
    """What a page loads by itself: scripts, styles, pictures, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "link", "img", "iframe", "source", "object"):
            self.found += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset")]


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs", reason="the site's tools come with the dev extra")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))
    for page in pages:
        parser = Loads()
        parser.feed(page.read_text())
        assert parser.found and not [url for url in parser.found if re.match(r"(https?:)?//", url)], page
    styles = "".join(path.read_text() for path in tmp_path.rglob("*.css"))
    assert not re.findall(r"url\(\s*['\"]?https?:[^)]*|@import[^;]*https?:[^;]*", styles)


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    released = re.search(r"^## (\d\S*) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == released[1] == bimt_tf.__version__
    assert str(citation["date-released"]) == released[2]


def test_the_hooks_before_a_commit_run_what_ci_runs():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"  # nothing is downloaded
    ci = (ROOT / ".ci" / "run").read_text().replace('"$bin/', "").replace('" ', " ")
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        if not hook["entry"].startswith("python -m pytest "):  # a part of the whole suite, which CI runs
            assert hook["entry"] in ci
