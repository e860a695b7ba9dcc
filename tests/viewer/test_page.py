"""The page as text: its policy, its scripts, and what cannot get out of its data."""

from __future__ import annotations

import json
import re

import pytest

from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page
from bimt_tf.viewer.scripts import script

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028"


def test_hostile_text_stays_in_the_data():
    text = page(PageContent(HOSTILE, [("task", HOSTILE)], {"rows": [HOSTILE]}))
    assert "<img" not in text
    data = re.search(r'id="content">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(data)["title"] == HOSTILE


def test_numbers_that_json_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="Out of range float"):
        page(PageContent("t", [], {"x": float("nan")}))


def test_the_policy_allows_no_request_and_no_eval():
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page(PageContent("t", [], {})))[1]
    assert policy.startswith("default-src &#x27;none&#x27;")
    assert "unsafe" not in policy and "http" not in policy


def test_modules_are_joined_once_and_in_order():
    joined = script()
    assert not re.search(r"^(import|export) ", joined, re.MULTILINE)
    assert joined.index("function createStore") < joined.index("createStore();")
    assert joined.count("function createStore") == 1
