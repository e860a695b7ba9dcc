"""The detail panels in a browser: their numbers are the run's, and choices reach every panel that shows them."""

from __future__ import annotations

import re

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.page.content import page_of
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    sizes = {"data": {"samples": 200}, "model": {"d_model": 8, "n_layers": 1, "n_heads": 2}}
    training = {"steps": 40, "batch_size": 16, "log_every": 10, "eliminate": False, "finish": 0.4, "compile": "no"}
    path = tmp_path_factory.mktemp("panels") / "run"
    train_run(make("in-context", overrides={**sizes, "training": training}), path, draw=False)
    return load_run(path)


@pytest.fixture(scope="module")
def content(run):
    return page_of(run)


@pytest.fixture(scope="module")
def path(content, tmp_path_factory):
    file = tmp_path_factory.mktemp("pages") / "report.html"
    file.write_text(page(content))
    return file


@pytest.fixture(scope="module")
def without_live(content, tmp_path_factory):
    """The page of a model that is not evaluated in the page: its attention is that of stored examples."""
    file = tmp_path_factory.mktemp("pages") / "report.html"
    file.write_text(page(content._replace(live=None)))
    return file


def numbers(region):
    """The whole numbers behind a table's cells, row by row."""
    read = "rows => rows.map((row) => [...row.querySelectorAll('.number')].map((cell) => Number(cell.title)))"
    return region.locator("tbody tr").evaluate_all(read)


def choose(panel, label, value):
    panel.locator(".choice", has=panel.page.get_by_text(label, exact=True)).locator("select").select_option(
        value, timeout=8_000
    )


def hooked(run, hook, n):
    seen = {}
    run.model.run_with_hooks(
        run.examples(n=n).inputs, fwd_hooks=[(hook, lambda t, hook: seen.update(t=t.flatten(2).detach().clone()))]
    )
    return seen["t"]


def test_a_chosen_neuron_shows_what_its_hook_shows(run, content, open_page, path):
    panel = open_page(path).page.locator("#neuron")
    choose(panel, "neuron", "blocks.0.v:z:3")
    choose(panel, "at", "1")
    choose(panel, "against", "x1")
    panel.locator("summary").click()
    found = torch.tensor(numbers(panel.get_by_role("region", name=re.compile("on 40 examples"))))
    examples = run.examples()
    assert torch.equal(found[:, 1], hooked(run, "blocks.0.attn.hook_z", 40)[:, 1, 3])
    assert torch.equal(found[:, 2], examples.quantities["x1"]) and torch.equal(found[:, 3], examples.targets[:, -1])
    assert panel.locator("svg.chart path.point").count() == 40
    squared = float(torch.corrcoef(found[:, 1:3].T.double())[0, 1] ** 2)
    said = panel.locator("svg.chart").get_attribute("aria-label")
    assert float(re.search(r"explains \(R²\) ([\d.e-]+)", said)[1]) == pytest.approx(squared, rel=1e-3)
    assert 0 < float(re.search(r"shuffled at most ([\d.e-]+)", said)[1]) < 1
    assert panel.locator("h3").first.inner_text() == "blocks.0.attn.hook_z[3]"
    assert "block 0 O (z)" in panel.locator("dl").inner_text()


def test_its_weights_are_the_models(run, open_page, path):
    opened = open_page(path)
    panel = opened.page.locator("#neuron")
    choose(panel, "neuron", "blocks.0.mlp:5")
    found = numbers(panel.get_by_role("region", name=re.compile(r"^Weights of blocks\.0\.mlp\.hook_post\[5\]")))
    block = run.model.blocks[0].mlp
    wanted = torch.cat([block.W_in[:, 5], block.W_out[5]]).detach()
    wanted = wanted[wanted.abs() > run.threshold]
    assert [row[0] for row in found] == pytest.approx(sorted(wanted.tolist(), key=lambda w: -abs(w)))
    panel.get_by_role("button", name="blocks.0.hook_resid_mid[").first.click()
    assert panel.locator("h3").first.inner_text().startswith("blocks.0.hook_resid_mid[")
    assert opened.page.evaluate("document.activeElement.tagName") == "H3"  # the focus is not lost


def test_extreme_examples_are_extreme(run, open_page, path):
    panel = open_page(path).page.locator("#neuron")
    choose(panel, "neuron", "Res2:4")
    found = numbers(panel.get_by_role("region", name=re.compile("largest and smallest")))
    values = hooked(run, "blocks.0.hook_resid_post", 40)[:, 2, 4].sort(descending=True).values
    assert torch.equal(torch.tensor([row[0] for row in found]), torch.cat([values[:5], values[-5:]]))


def test_two_neurons_span_a_plane(run, open_page, without_live):
    opened = open_page(without_live)
    panel = opened.page.locator("#plane")
    choose(panel, "across", "Res2:4")
    choose(panel, "up", "Res2:1")
    assert opened.page.locator("#neuron h3").first.inner_text() == "blocks.0.hook_resid_post[1]"
    panel.locator("summary").click()
    found = torch.tensor(numbers(panel.get_by_role("region", name=re.compile("on 40 examples"))))
    assert torch.equal(found[:, 1:3], hooked(run, "blocks.0.hook_resid_post", 40)[:, 2, [4, 1]])
    assert torch.equal(found[:, 3], run.examples().quantities["w"])
    assert panel.locator("svg.bar rect").count() == 40
    assert len(set(panel.locator("path.point").evaluate_all("points => points.map((point) => point.style.fill)"))) > 20
    panel.locator("path[data-example='7']").dispatch_event("click")
    assert panel.locator("path.chosen").get_attribute("data-example") == "7"
    assert opened.page.locator("#attention input").input_value() == "7"
    assert opened.page.locator("#neuron input").input_value() == "7"


def test_attention_stands_on_a_page_once(open_page, path):
    headings = open_page(path).page.get_by_role("heading", name="Attention", exact=True)
    assert headings.count() == 1 and headings.locator("xpath=ancestor::section").get_attribute("id") == "live"


def test_attention_grids_hold_the_patterns(run, open_page, without_live):
    panel = open_page(without_live).page.locator("#attention")
    pattern = hooked_pattern(run)
    for example in (0, 1):
        found = panel.locator("tbody td").all_inner_texts()
        wanted = [
            f"{p:.3f}" if k <= q else ""
            for head in pattern[example]
            for q, row in enumerate(head)
            for k, p in enumerate(row)
        ]
        assert found == wanted
        panel.get_by_role("button", name="Next example").click()
    panel.locator("input").fill("999")
    panel.locator("input").press("Enter")
    assert panel.locator("input").input_value() == "2"


def hooked_pattern(run):
    seen = {}
    hook = ("blocks.0.attn.hook_pattern", lambda t, hook: seen.update(t=t.clone()))
    run.model.run_with_hooks(run.examples().inputs, fwd_hooks=[hook])
    return seen["t"].tolist()


def test_a_module_is_chosen_and_let_go(content, open_page, path):
    panel = open_page(path).page.locator("#modules")
    rows = panel.get_by_role("region", name=re.compile("Knocked out"))
    without = [one["without"]["loss"] for one in content.modules["effects"]["modules"]]
    assert [row[-2] for row in numbers(rows)] == without
    buttons = panel.get_by_role("button").all()
    buttons[1].click()
    assert [one.get_attribute("aria-pressed") for one in buttons] == [
        "true" if i == 1 else "false" for i in range(len(buttons))
    ]
    buttons[1].click()
    assert {one.get_attribute("aria-pressed") for one in buttons} == {"false"}


def test_knock_outs_are_those_of_ablate(run, content, open_page, path):
    panel = open_page(path).page.locator("#causes")
    neurons, wires = panel.get_by_role("region").all()[:2]
    found = [row[0] for row in numbers(neurons)]
    every = sorted((e for one in content.causes["neurons"].values() for e in one["effects"]), reverse=True)
    assert found == every[:200]
    assert [row[1] for row in numbers(wires)] == [one["effect"] for one in content.causes["wires"][:200]]
    where = {row["name"]: row["hook"] or row["stage"] for row in content.scene["rows"]}
    named = {
        f"{where[row]}[{i}]": e
        for row, one in content.causes["neurons"].items()
        for i, e in zip(*one.values(), strict=True)
    }
    assert named[neurons.locator("button").first.inner_text()] == every[0]


def test_curves_are_read_at_every_step(run, open_page, path):
    opened = open_page(path)
    chart = opened.page.locator("#curves figure").first
    chart.locator("input").press("Home")
    first = run.metrics[0]
    assert chart.locator("output").inner_text().startswith(f"step {first['step']}: training loss {first['loss']:.4g}")
    svg = chart.locator("svg.chart")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    opened.page.mouse.move(box["x"] + box["width"] * 0.97, box["y"] + box["height"] / 2)
    assert chart.locator("output").inner_text().startswith("step 40: ")
    opened.page.locator("#curves summary").first.click()
    found = numbers(opened.page.locator("#curves details").first)
    assert [row[1] for row in found] == [record["loss"] for record in run.metrics]


def test_the_run_can_be_made_and_opened_again(run, content, open_page, path):
    panel = open_page(path).page.locator("#run")
    assert panel.locator("pre").first.inner_text() == content.run["commands"][0][1]
    panel.get_by_text("Its configuration").click()
    config = panel.locator("details pre").last.inner_text()
    assert config.strip() == content.run["config"].strip()
    panel.get_by_role("button", name="Copy train it again").click()
    panel.get_by_text(re.compile("^(copied|selected: copy it with the keyboard)$")).first.wait_for()


def hostile(value):
    """All words of a part made hostile, in lists and values; keys, which the page reads, and rows stay."""
    if isinstance(value, dict):
        keep = ("values", "patterns", "hook", "row", "name", "population", "stage", "of")
        return {key: entry if key in keep else hostile(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [hostile(entry) for entry in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_words_stay_text(content, open_page, tmp_path):
    words = {name: hostile(getattr(content, name)) for name in ("attention", "modules", "causes", "probes", "run")}
    activity = dict(content.activity, said=[HOSTILE], quantity=HOSTILE, target=HOSTILE)
    activity["quantities"] = [dict(activity["quantities"][0], name=HOSTILE)]
    scene = dict(content.scene, rows=[dict(row, label=HOSTILE) for row in content.scene["rows"]])
    file = tmp_path / "hostile.html"
    file.write_text(page(PageContent(HOSTILE, [(HOSTILE, HOSTILE)], scene, activity=activity, **words)))
    opened = open_page(file)
    choose(opened.page.locator("#plane"), "across", "Res2:4")
    choose(opened.page.locator("#plane"), "up", "Res2:1")
    assert opened.page.locator("img").count() == 0
    for panel in ("neuron", "plane", "attention", "modules", "causes", "probes", "run"):
        assert HOSTILE in opened.page.locator(f"#{panel}").text_content()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
def test_no_serious_fault_for_those_who_read_otherwise(open_page, path, theme, width):
    from axe_playwright_python.sync_playwright import Axe

    opened = open_page(path, theme=theme, width=width)
    choose(opened.page.locator("#plane"), "across", "Res2:4")
    choose(opened.page.locator("#plane"), "up", "Res2:1")
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(opened.page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    told = [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in serious]
    assert told == []
