"""The frontier: its settings, the rule that chooses among them, and the two commands."""

from __future__ import annotations

import csv
import json

import pytest

from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.cli.main import main
from bimt_tf.config.methods import METHODS
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.paper import frontier_settings as settings
from bimt_tf.paper.exhibit import RunKey
from bimt_tf.paper.frontier_points import Typical, points_of, typical
from bimt_tf.paper.frontier_search import choose, read_choices
from bimt_tf.paper.frontier_settings import (
    FRONTIER_METHODS,
    FRONTIER_ROWS,
    SEARCH_SEEDS,
    frontier_row,
    job_of,
    settings_of,
)
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.load import load_run


def bimt(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def configs(where, method, tmp_path, **options):
    keys = [RunKey(where.row.name, method, 100, setting.name) for setting in settings_of(where, method)]
    given = {"eliminate": True, "quick": False, **options}
    return [job_of(where, key, tmp_path, **given).config for key in keys]


@pytest.mark.parametrize("where", FRONTIER_ROWS, ids=lambda where: where.row.name)
def test_every_method_has_four_settings_and_equal_terms(where, tmp_path):
    assert set(FRONTIER_METHODS) <= set(METHODS)
    assert not set(SEARCH_SEEDS) & set(where.seeds)
    for method in FRONTIER_METHODS:
        found = configs(where, method, tmp_path)
        assert len({repr(config) for config in found}) == 4
        for config in found:
            assert config.method == method and config.training.steps == where.steps
            assert config.elimination.max_loss == where.budget and config.elimination.loss_factor is None
            assert config.training.validation_share == where.validation_share
            assert config.training.eliminate
            assert config.data == found[0].data and config.geometry == found[0].geometry


def test_settings_change_what_their_names_say(tmp_path):
    where = frontier_row("in-context")
    base = make("in-context").training
    rates = [(config.training.lr, config.training.weight_decay) for config in configs(where, "vanilla", tmp_path)]
    assert rates == [(base.lr, 0), (base.lr / 2, 0), (base.lr, 0.03), (base.lr, 0.3)]
    assert [config.training.density for config in configs(where, "topk", tmp_path)] == [0.06, 0.03, 0.015, 0.008]
    assert [config.training.lam[-1][1] / base.lam[-1][1] for config in configs(where, "bimt", tmp_path)] == [
        0.25, 0.5, 1, 2,
    ]  # fmt: skip
    one = configs(where, "l1", tmp_path)[3]  # A = 2 and y_star = 0.5: a mean length of 2/3 + 1/2 is paid
    assert one.training.lam[-1][1] * 0.5 == pytest.approx(base.lam[-1][1] * (2 / 3 + 0.5))
    quick = configs(where, "topk", tmp_path, quick=True)[0]
    assert quick.training.steps == where.steps // 20
    plain = job_of(where, RunKey("in-context", "topk", 0, "density 0.03"), tmp_path, eliminate=False, quick=False)
    assert not plain.config.training.eliminate and plain.path.name == "topk-density-0.03-seed0-as-trained"
    with pytest.raises(InputError, match="no setting 'density 7'"):
        job_of(where, RunKey("in-context", "topk", 0, "density 7"), tmp_path, eliminate=True, quick=False)


@pytest.mark.parametrize("name", ["modular-addition", "s4"])
def test_pruned_networks_have_rates_and_decays_of_their_own(name, tmp_path):
    where, base = frontier_row(name), make(name).training
    for method, wanted in (("magnitude", where.magnitude), ("topk", where.topk)):
        names = [setting.name for setting in settings_of(where, method)]
        for one, name, config in zip(wanted, names, configs(where, method, tmp_path), strict=True):
            training = config.training
            assert training.density == one.density and f"density {one.density:g}" in name
            assert training.weight_decay == one.decay and f"decay {one.decay:g}" in name
            assert training.lr == (one.rate or base.lr) and (f"rate {one.rate}" in name) == (one.rate is not None)
            assert (training.finish, training.finish_lr) == (base.finish, base.finish_lr)


def one(loss, weights):
    return Typical(loss, loss, weights, 0.5, 1.0)


def test_the_rule_takes_the_fewest_weights_that_have_learned_the_task():
    tried = {"a": one(1e-6, 90), "b": one(1e-4, 10), "c": one(9e-6, 40), "d": one(8e-6, 40)}
    assert choose(tried, 1e-5) == "d"
    assert choose(tried, 1e-3) == "b"
    near = {"a": one(4e-6, 1000), "b": one(1e-6, 1009), "c": one(1e-9, 1011)}  # a hundredth is no difference
    assert choose(near, 1e-5) == "b" and choose(near, 3e-6) == "c"
    assert choose(tried, 1e-9) == "a"
    assert choose({}, 1e-9) is None


def test_points_are_of_both_networks_and_means_are_geometric():
    trained = {"test_loss": 1e-4, "active_weights": 100, "modularity_shared": 0.4}
    both = {"test_loss": 1e-6, "active_weights": 25, "modularity_shared": None, "seconds": 10.0, "trained": trained,
            "elimination": {"seconds": 5.0}}  # fmt: skip
    points = points_of(both)
    assert points["trained"] == (1e-4, 100, 0.4, 10.0, None) and points["eliminated"] == (1e-6, 25, None, 15.0, None)
    assert points_of({**trained, "seconds": 3.0, "test_accuracy": 0.9}) == {"trained": (1e-4, 100, 0.4, 3.0, 0.9)}
    found = typical(list(points.values()))
    assert found.loss == pytest.approx(1e-5) and found.worst == 1e-4 and found.weights == pytest.approx(50)
    assert found.modularity is None and found.seconds == 12.5
    assert typical([points["trained"]._replace(loss=0.0)]).loss > 0


def test_choices_that_are_missing_or_damaged_are_said(tmp_path):
    with pytest.raises(InputError, match="frontier-search --tasks s4"):
        read_choices(tmp_path, "s4")
    file = tmp_path / "frontier-search-s4.json"
    for content in ("{", "[]", "{}", json.dumps({"chosen": {"bimt": {"polished": "x"}}})):
        file.write_text(content)
        with pytest.raises(InputError, match="damaged"):
            read_choices(tmp_path, "s4")


@pytest.fixture
def short(monkeypatch):
    """symbolic-b alone, in a few steps and with a budget that stops nothing."""
    rows = [each._replace(steps=60, budget=0.5) for each in FRONTIER_ROWS if each.row.name == "symbolic-b"]
    monkeypatch.setattr(settings, "FRONTIER_ROWS", tuple(rows))


def wiring_of_point(path, number):
    """Show this round of a run's elimination from now on; its wiring length after one more placement."""
    files = RunDirectory.open(path).elimination
    files.end({**files.result, "shown": number})
    run = load_run(path)
    run.bimt.swap(starts=8)
    return wiring_length(run.bimt).mean


def test_the_report_takes_what_the_search_chose(short, tmp_path, capsys):
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs", "--workers", "1"]
    words = ["--tasks", "symbolic-b", "--methods", "topk", *places]
    assert bimt("reproduce", "frontier", *words) == 2
    assert "frontier-search --tasks symbolic-b" in capsys.readouterr().err and not (tmp_path / "docs").exists()
    assert bimt("reproduce", "frontier-search", "--seeds", "100", *words) == 0
    search = tmp_path / "docs" / "frontier-search-symbolic-b.csv"
    with search.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8 and {line["network"] for line in lines} == {"trained", "eliminated"}
    chosen = read_choices(tmp_path / "docs", "symbolic-b")["topk"]
    assert chosen == {line["network"]: line["setting"] for line in lines if line["chosen"] == "yes"}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("summary.json")}
    assert len(before) == 4
    assert bimt("reproduce", "frontier", "--seeds", "102", *words) == 0
    new = {path.parent.name for path in (tmp_path / "runs").rglob("summary.json")} - {p.parent.name for p in before}
    name = f"topk-{chosen['eliminated'].replace(' ', '-')}-seed102"
    assert name in new and len(new) == len(set(chosen.values()))
    with (tmp_path / "docs" / "frontier-seeds.csv").open() as file:
        trained, eliminated = csv.DictReader(file)
    assert (trained["network"], eliminated["network"]) == ("trained", "eliminated")
    summary = json.loads((tmp_path / "runs" / "frontier" / "symbolic-b" / name / "summary.json").read_text())
    assert float(eliminated["loss"]) == pytest.approx(summary["test_loss"], rel=1e-4)
    assert int(eliminated["weights"]) == summary["active_weights"]
    if len(new) == 1:
        assert float(trained["loss"]) == pytest.approx(summary["trained"]["test_loss"], rel=1e-4)
    assert float(eliminated["wiring length"]) <= summary["wiring_length"] + 1e-9
    wiring = wiring_of_point(tmp_path / "runs" / "frontier" / "symbolic-b" / name, 1)  # another point is shown now
    assert bimt("reproduce", "frontier", "--seeds", "102", "--no-train", *words) == 0
    with (tmp_path / "docs" / "frontier-seeds.csv").open() as file:
        assert float(list(csv.DictReader(file))[1]["wiring length"]) == pytest.approx(wiring, rel=1e-4)
    assert wiring != pytest.approx(float(eliminated["wiring length"]), rel=1e-4)
    assert {"frontier.md", "frontier.csv", "frontier.png", "frontier.pdf"} <= {
        path.name for path in (tmp_path / "docs").iterdir()
    }
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert bimt("reproduce", "frontier-search", "--no-train", *words) == 2
    assert read_choices(tmp_path / "docs", "symbolic-b")["topk"] == chosen


def test_the_setting_chosen_as_trained_is_eliminated_where_the_search_eliminates_nothing(short, monkeypatch, tmp_path):
    rows = [each._replace(search_eliminates=False) for each in settings.FRONTIER_ROWS]
    monkeypatch.setattr(settings, "FRONTIER_ROWS", tuple(rows))
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs", "--workers", "1"]
    words = ["--tasks", "symbolic-b", "--methods", "topk", *places]
    assert bimt("reproduce", "frontier-search", "--seeds", "100", *words) == 0
    names = {path.parent.name for path in (tmp_path / "runs").rglob("summary.json")}
    assert len(names) == 4 and all(name.endswith("-as-trained") for name in names)
    chosen = read_choices(tmp_path / "docs", "symbolic-b")["topk"]
    assert set(chosen) == {"trained", "eliminated"} and len(set(chosen.values())) == 1
    # what is there as trained alone is shown, though nothing was eliminated yet
    assert bimt("reproduce", "frontier", "--seeds", "103", "--no-eliminate", *words) == 0
    assert bimt("reproduce", "frontier", "--seeds", "103", "--no-train", *words) == 0
    with (tmp_path / "docs" / "frontier-seeds.csv").open() as opened:
        assert [line["network"] for line in csv.DictReader(opened)] == ["trained"]
    assert "the setting chosen is also the one" in (tmp_path / "docs" / "frontier-search-symbolic-b.md").read_text()
    assert bimt("reproduce", "frontier", "--seeds", "102", *words) == 0
    with (tmp_path / "docs" / "frontier-seeds.csv").open() as opened:
        lines = list(csv.DictReader(opened))
    assert [line["network"] for line in lines] == ["trained", "eliminated"]
    assert {line["setting"] for line in lines} == set(chosen.values())


def test_networks_as_trained_alone(short, tmp_path, capsys):
    places = ["--out", tmp_path / "runs", "--docs", tmp_path / "docs", "--workers", "1"]
    words = ["--tasks", "symbolic-b", "--methods", "topk", *places]
    assert bimt("reproduce", "frontier-search", "--seeds", "100", "--no-eliminate", *words) == 0
    names = {path.parent.name for path in (tmp_path / "runs").rglob("summary.json")}
    assert len(names) == 4 and all(name.endswith("-as-trained") for name in names)
    chosen = read_choices(tmp_path / "docs", "symbolic-b")["topk"]
    assert set(chosen) == {"trained"}
    file = tmp_path / "docs" / "frontier-search-symbolic-b.json"
    kept = json.loads(file.read_text())
    kept["chosen"]["topk"]["eliminated"] = "density 0.3"  # of a search before this one
    file.write_text(json.dumps(kept))
    assert bimt("reproduce", "frontier-search", "--seeds", "100", "--no-eliminate", *words) == 0
    assert read_choices(tmp_path / "docs", "symbolic-b")["topk"] == {**chosen, "eliminated": "density 0.3"}
    assert bimt("reproduce", "frontier", "--seeds", "102", "--no-eliminate", *words) == 0
    with (tmp_path / "docs" / "frontier-seeds.csv").open() as opened:
        assert [line["network"] for line in csv.DictReader(opened)] == ["trained"]
    capsys.readouterr()
    assert bimt("reproduce", "table1", "--no-eliminate", *places) == 2
    assert "only frontier-search and frontier can be made of networks as trained alone" in capsys.readouterr().err
    assert bimt("reproduce", "all", "--no-eliminate") == 2
    assert "--no-eliminate is of one target" in capsys.readouterr().err
