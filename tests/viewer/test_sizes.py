"""How large pages and their parts are: a run's page under 6 MB, large networks thinned, scripts in short files."""

from __future__ import annotations

from importlib.resources import files

import pytest

from bimt_tf import BIMT, RegressionTransformer
from bimt_tf.scene.scene import scene_of
from bimt_tf.scene.wires import MOST_WIRES
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page
from bimt_tf.viewer.scripts import d3, script

MOST = 6_000_000  # bytes of a page
LONGEST = 300  # lines of a script or a sheet
OWN = 300_000  # bytes of all our own scripts

ASSETS = files("bimt_tf.viewer").joinpath("assets")


def test_a_run_s_page_is_small(real_page):
    assert 240_000 < real_page.stat().st_size < MOST


def test_a_large_network_s_page_is_bounded():
    """A million weights, none of them zero: the strongest wires stand for all."""
    model = RegressionTransformer(d_in=8, d_out=8, d_model=128, n_layers=5, n_heads=4, n_ctx=16)
    scene = scene_of(BIMT(model)).as_dict()
    assert scene["active"] > 900_000
    assert sum(len(wires["weights"]) for wires in scene["wires"]) <= MOST_WIRES
    assert len(page(PageContent("large", [], scene)).encode()) < MOST / 3


@pytest.mark.parametrize("kind", ["js", "css"])
def test_scripts_and_sheets_are_short(kind):
    lines = {one.name: len(one.read_text(encoding="utf-8").splitlines()) for one in ASSETS.joinpath(kind).iterdir()}
    assert {name: n for name, n in lines.items() if n > LONGEST} == {}


def test_our_own_scripts_are_about_as_large_as_the_library_at_most():
    assert 200_000 < len(d3()) < 300_000
    assert len(script()) < OWN
