"""No name that a run may hold becomes script in its page, and the page's policy stops what would."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from bimt_tf.runs.answers import how_made, keep
from bimt_tf.runs.load import load_run
from bimt_tf.runs.page.content import page_of
from bimt_tf.runs.page_file import PAGE
from bimt_tf.viewer.page import page
from bimt_tf.viewer.scripts import script

HOSTILE = (
    '"><img src=x onerror=__pwned=1>', "</script><script>__pwned=1</script>", "<svg onload=__pwned=1>",
    "'-(__pwned=1)-'", "\u2028__pwned=1//", "${__pwned=1}", "javascript:__pwned=1", "<!--<script>__pwned=1",
)  # fmt: skip

TASK = """
from dataclasses import dataclass

import torch

from bimt_tf.models.mlp import MLP
from bimt_tf.tasks.kinds import MLPOptions, Regression, split

HOSTILE = {hostile!r}


@dataclass(frozen=True)
class Options:
    samples: int = 200
    '''examples'''
    note: str = HOSTILE[0]
    '''said in the config'''


@dataclass(frozen=True)
class Hostile(Regression):
    def data(self, options, seed, dtype):
        x = torch.rand(options.samples, len(HOSTILE), generator=torch.Generator().manual_seed(seed))
        return split(x, x.sum(1, keepdim=True), {{name: x[:, i] for i, name in enumerate(HOSTILE)}}, 0.5, dtype)

    def model(self, model, options, seed, dtype):
        return MLP([len(HOSTILE), *model.hidden, 1], model.act_fn, seed, dtype=dtype)

    def labels(self, options):
        return {{"input": list(HOSTILE), "output": [HOSTILE[1]]}}


TASK = Hostile("hostile", HOSTILE[1], {{"best": {{}}}}, Options, MLPOptions)
"""


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory, trained_run):
    """A run whose directory, task, labels, quantities, settings and kept answers would all like to be script."""
    folder = tmp_path_factory.mktemp("hostile") / "\"><img src=x onerror=alert(1)> '\u2028& %22 #"
    folder.mkdir()
    (folder / "my_task.py").write_text(TASK.format(hostile=HOSTILE), encoding="utf-8")
    path = trained_run(folder / HOSTILE[0], f"{folder}/my_task.py:TASK", steps=60, model={"hidden": [5]})
    run = load_run(path)
    report = run.modules(draws=0, n=50)
    keep(run, "modules", "modules", {"names": list(HOSTILE)}, how_made(run, part=HOSTILE[0]), report.as_dict())
    run.report(path / PAGE)
    return path


def test_no_name_becomes_script(open_page, hostile_run, use_everything):
    opened = open_page(hostile_run / PAGE)
    assert "my_task.py" in opened.page.locator("h1").inner_text()
    use_everything(opened, opened.page)
    assert opened.page.evaluate("typeof window.__pwned") == "undefined"
    assert opened.page.evaluate("document.querySelectorAll('img, iframe, object, embed, base').length") == 0
    assert opened.page.evaluate("document.scripts.length") == 3
    assert opened.page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((e) => [...e.attributes]).filter((a) => /^on/.test(a.name)).length"
    ) == 0  # fmt: skip
    assert opened.page.evaluate("[...document.links].filter((a) => a.protocol === 'javascript:').length") == 0


def test_no_name_becomes_script_in_a_notebook(open_page, hostile_run, tmp_path):
    notebook = tmp_path / "notebook.html"
    shown = load_run(hostile_run).show()._repr_html_()
    notebook.write_text(f"<!doctype html><meta charset=utf-8><title>notebook</title>{shown}")
    opened = open_page(notebook)
    frame = opened.page.frames[1]
    assert "my_task.py" in frame.locator("h1").inner_text()
    assert [one.evaluate("typeof window.__pwned") for one in opened.page.frames] == ["undefined"] * 2
    assert opened.page.locator("img").count() == frame.locator("img").count() == 0


def test_the_policy_stops_script_style_and_requests_that_are_not_the_page_s(open_page, symbolic_run):
    opened = open_page(symbolic_run / PAGE)
    opened.page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.__pwned = 1";
          const image = document.createElement("img");
          image.src = "https://example.org/x.png";
          const marked = document.createElement("p");
          marked.innerHTML = "<b style='color: red' onclick='window.__pwned = 1'>x</b>";
          document.body.append(script, image, marked);
          marked.firstChild.click();
          window.refused = [];
          const inThePage = () => {
            try { new Function("window.__pwned = 1")(); } catch (error) { window.refused.push(error.name); }
            return fetch("https://example.org/").catch(() => window.refused.push("fetch"));
          };
          return new Promise((done) => setTimeout(() => inThePage().then(done)));  // evaluate() itself may do all
        }"""
    )
    assert opened.page.evaluate("window.refused") == ["EvalError", "fetch"]
    assert opened.page.evaluate("typeof window.__pwned") == "undefined"
    assert opened.page.evaluate("getComputedStyle(document.querySelector('p b')).color") != "rgb(255, 0, 0)"
    complained, opened.wrong[:] = list(opened.wrong), []
    blocked = [one for one in complained if "Content Security Policy" in one]
    assert len(blocked) >= 5  # script, style, handler, image, fetch
    assert {one for one in complained if one not in blocked} <= {"https://example.org/x.png", "https://example.org/"}


FORBIDDEN = (
    r"\.innerHTML", r"\.outerHTML", "insertAdjacentHTML", r"document\.write", r"\beval\(", r"new Function", r"\.html\(",
    "DOMParser", "createContextualFragment", r"\bfetch\(", "XMLHttpRequest", "WebSocket", "EventSource", "sendBeacon",
    r"\bimport\(", r"setAttribute\(\"(style|on)", r"srcdoc", r"https?://(?!www\.w3\.org/)",
)  # fmt: skip


def test_the_scripts_make_no_html_of_text_and_ask_for_nothing():
    code = re.sub(r"/\*.*?\*/|(?m:^\s*//.*$)", "", script(), flags=re.DOTALL)
    assert [word for word in FORBIDDEN if re.search(word, code)] == []


def test_the_styles_ask_for_nothing():
    sheets = files("bimt_tf.viewer").joinpath("assets", "css").iterdir()
    assert not re.search(r"url\(|@import|</", "".join(sheet.read_text(encoding="utf-8") for sheet in sheets))


def test_the_page_of_a_run_holds_no_markup_but_its_own(hostile_run):
    text = page(page_of(load_run(hostile_run)))
    outside = re.sub(r'(<script type="application/json" id="content">).*?</script>', "", text, flags=re.DOTALL)
    assert "__pwned" not in outside.replace("__pwned=1&gt;", "").split("<style>")[0].split("<title>")[0]
    assert len(re.findall(r"<script\b", text.split("</head>")[1].replace(script(), ""))) == 3
