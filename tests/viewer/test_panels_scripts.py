"""The page's own scripts as they lie on disk: their size, and what the policy of the page forbids."""

from __future__ import annotations

import re
from importlib.resources import files

SCRIPTS = {
    path.name: path.read_text(encoding="utf-8")
    for path in files("bimt_tf.viewer").joinpath("assets").joinpath("js").iterdir()
}


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
