"""The page in a browser: it opens from a file, asks for nothing, and complains about nothing."""

from __future__ import annotations

from bimt_tf import BIMT, MLP
from bimt_tf.scene.scene import scene_of
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page


def test_it_opens_from_a_file(open_page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page(PageContent("a <b>title</b>", [("task", "t")], scene_of(BIMT(MLP([2, 3, 1]))).as_dict())))
    opened = open_page(path)
    assert opened.page.locator("h1").inner_text() == "a <b>title</b>"
    assert opened.page.locator("svg.plot").count() == 1
