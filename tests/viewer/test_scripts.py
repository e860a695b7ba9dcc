"""The page's scripts: their order, names that stay inside their module, and d3 without importing its package."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.resources import files

import pytest

from bimt_tf.viewer import scripts
from bimt_tf.viewer.scripts import IMPORT, d3, script

SOURCES = {
    path.name.removesuffix(".js"): path.read_text(encoding="utf-8")
    for path in files("bimt_tf.viewer").joinpath("assets").joinpath("js").iterdir()
}


def test_every_module_stands_behind_those_that_it_imports_and_once():
    joined = script()
    for name, source in SOURCES.items():
        assert joined.count(f"const module_{name} = ") == 1, f"{name}.js is imported by nothing"
        own = joined.index(f"const module_{name} = ")
        for found in IMPORT.finditer(source):
            assert joined.index(f"const module_{found[3]} = ") < own


def test_what_is_imported_is_exported_there():
    for name, source in SOURCES.items():
        assert len(IMPORT.findall(source)) == len(re.findall(r"^import ", source, re.MULTILINE)), name
        for found in IMPORT.finditer(source):
            for wanted in (found[1] or "").split(","):
                word = wanted.strip().split(" as ")[0]
                assert re.search(
                    rf"^export (?:async )?(?:const|class|function\*?) {word}\b", SOURCES[found[3]], re.M
                ), word


def test_no_module_declares_a_name_twice():
    """Names of different modules do not meet: each is a function. Inside one the browser would refuse the page."""
    for name, source in SOURCES.items():
        own = re.findall(r"^(?:export )?(?:async )?(?:const|let|class|function\*?) (\w+)", source, re.MULTILINE)
        own += [
            word.strip().split(" as ")[-1] for found in IMPORT.finditer(source) for word in (found[1] or "").split(",")
        ]
        assert len(own) == len(set(own)), name


def test_the_same_name_in_two_modules_is_two_things(tmp_path, monkeypatch, browser):
    js = tmp_path / "assets" / "js"
    js.mkdir(parents=True)
    js.joinpath("a.js").write_text("const same = 1;\nexport const a = same;\n")
    js.joinpath("b.js").write_text(
        'import { a as first } from "./a.js";\nconst same = 10;\nexport function b() {\n  return first + same;\n}\n'
    )
    js.joinpath("main.js").write_text('import { b } from "./b.js";\nwindow.found = b();\n')
    monkeypatch.setattr(scripts, "files", lambda _: tmp_path)
    page = browser.new_page()
    assert page.evaluate(f"() => {{ {script.__wrapped__()} return window.found; }}") == 11
    page.close()


def test_a_circle_of_modules_is_refused(tmp_path, monkeypatch):
    js = tmp_path / "assets" / "js"
    js.mkdir(parents=True)
    js.joinpath("main.js").write_text('import { a } from "./a.js";\n')
    js.joinpath("a.js").write_text('import { x } from "./main.js";\n')
    monkeypatch.setattr(scripts, "files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="main -> a -> main"):
        script.__wrapped__()


def test_d3_is_found_without_importing_the_package_that_holds_it():
    code = (
        "import sys; from bimt_tf.viewer.scripts import d3; "
        "assert 'd3js.org' in d3(); assert 'mpld3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(d3()) > 200_000
