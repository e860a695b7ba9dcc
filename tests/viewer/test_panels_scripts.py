"""The page's own scripts as they lie on disk: what their joining relies on, and their size."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files

SCRIPTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in files("bimt_tf.viewer").joinpath("assets").joinpath("js").iterdir()
}
TOP = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
MORE = re.compile(r"^(?:export )?const (\w+ = [^;(\n]*, \w+ = [^;\n]*)", re.MULTILINE)


def test_no_name_stands_at_the_top_of_two_scripts():
    names = [name for source in SCRIPTS.values() for name in TOP.findall(source)]
    for source in SCRIPTS.values():
        names += [name for line in MORE.findall(source) for name in re.findall(r", (\w+) =", line)]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_scripts_and_their_functions_are_short():
    for name, source in SCRIPTS.items():
        assert source.count("\n") <= 300, name
        for function in re.findall(r"^(?:export )?(?:async )?function .*?^}", source, re.MULTILINE | re.DOTALL):
            assert function.count("\n") < 60, (name, function.splitlines()[0])


def test_scripts_hold_nothing_that_the_policy_forbids():
    for name, source in SCRIPTS.items():
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function|https?://(?!www\.w3\.org)", source
        )
        assert found is None, (name, found)
