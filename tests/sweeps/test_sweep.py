import contextlib
import csv
import importlib.util
import math
import os
import signal

import numpy as np
import pytest
import yaml

from bimt_tf.analysis.pareto_front import pareto_front
from bimt_tf.cli.main import main
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.figures.pareto import ParetoPoint, pareto_figure
from bimt_tf.runs.lock import lock
from bimt_tf.sweeps import result_files
from bimt_tf.sweeps.axes import Axis, Sweep, parse_axis, parse_seeds
from bimt_tf.sweeps.lambda_search import Target, Tried, average, judge, next_factor, parse_target, scaled
from bimt_tf.sweeps.result_files import write_table
from bimt_tf.sweeps.sweep import run_sweep

TINY = ["--samples", "60", "--hidden", "5", "--steps", "30", "--compile", "no", "--log-every", "10"]


def bimt(*arguments):
    """Exit code of ``bimt`` run in this process."""
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def table(out, name="table.csv"):
    with (out / name).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A small finished sweep, and the command that made it."""
    out = tmp_path_factory.mktemp("sweeps") / "moon"
    words = ["sweep", "two-moon", *TINY, "--set", "lr=1e-3,1e38", "--methods", "l1,bimt", "--seeds", "3"]
    words += ["--set", "geometry.width=2", "--out", out]
    assert bimt(*words) == 0
    return out, words


def test_a_sweep_leaves_what_the_docs_say(swept):
    out, _ = swept
    names = {path.name for path in out.iterdir()}
    parquet = {"table.parquet"} if importlib.util.find_spec("pyarrow") else set()
    assert names == {"sweep.yaml", ".lock", "runs", "table.csv", "pareto.png", "pareto.pdf"} | parquet
    rows = table(out)
    assert len(rows) == 4 and {row["method"] for row in rows} == {"l1", "bimt"}
    assert {(row["lr"], row["width"]) for row in rows} == {("0.001", "2.0"), ("1e+38", "2.0")}
    good, bad = ([row for row in rows if (row["lr"] == "0.001") == fine] for fine in (True, False))
    assert all(float(row["test_loss"]) > 0 and not row["error"] and row["steps"] == "30" for row in good)
    assert all(row["test_loss"] == "" and "training loss is" in row["error"] for row in bad)  # failed, yet in the table
    said = yaml.safe_load((out / "sweep.yaml").read_text())
    assert said == {
        "task": "two-moon", "preset": "best", "methods": ["l1", "bimt"], "seeds": [3],
        "options": {"data.samples": 60, "model.hidden": [5], "training.steps": 30, "training.log_every": 10,
                    "training.compile": "no"},
        "set": {"training.lr": [0.001, 1e38], "geometry.width": [2.0]},
    }  # fmt: skip
    assert (out / "runs" / "bimt-lr0.001-width2.0-seed3" / "summary.json").exists()
    if parquet:
        import pyarrow.parquet

        read = pyarrow.parquet.read_table(out / "table.parquet").to_pylist()
        assert [row["run"] for row in read] == [row["run"] for row in rows]
        assert [row["test_loss"] for row in read if row["test_loss"]] == [float(row["test_loss"]) for row in good]


def test_the_same_command_does_no_run_again_and_says_where_things_are(swept, capsys):
    out, words = swept
    summaries = sorted(out.glob("runs/*/summary.json"))
    times = [path.stat().st_mtime_ns for path in summaries]
    assert bimt(*words) == 0
    shown = capsys.readouterr()
    assert times == [path.stat().st_mtime_ns for path in summaries] and len(times) == 2
    assert "2 of them done already" in shown.err
    assert "2 of 4 runs ended" in shown.out and shown.out.count("failed: ") == 2
    assert shown.out.splitlines()[-1] == f"table: {out / 'table.csv'}, plot: {out / 'pareto.png'}"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--set", "lr=1"], "training.lr is swept twice"),
        (["--set", "steps=10,20"], "training.steps is both swept and given"),
        (["--set", "lrr=1"], "did you mean 'lr'"),
        (["--set", "training.widht=1"], "unknown config field of two-moon 'training.widht'"),
        (["--set", "lr"], "FIELD=VALUES such as lr=1e-3,2e-3"),
        (["--set", "cut=x"], "training.cut must be a valid number, found 'x'"),
        (["--set", "top_k=1.5"], "training.top_k must be a valid integer, found '1.5'"),
        (["--set", "top_k=3,3"], "lists 3 twice"),
        (["--set", "fixed=input;input,output"], "another sweep: set.training.fixed is None there, [['input'], "),
        (["--set", "penalty=proximall"], "did you mean 'proximal'"),
        (["--set", "cut=-1"], "cut must be at least 0"),
        (["--methods", "bmit"], "unknown method 'bmit'"),
        (["--methods", ","], "--methods has an empty item"),
        (["--seeds", "3-1"], "ends before it begins"),
        (["--seeds", "a"], "such as 0-4"),
        (["--seeds", "0-2"], "another sweep: seeds is [3] there, [0, 1, 2] here"),
        (["--preset", "papr"], "did you mean 'paper'"),
        (["--workers", "-1"], "workers must be at least 0"),
        (["--backend", "rya"], "did you mean 'ray'"),
        (["--lam-for", "weights=3"], "unknown target of --lam-for 'weights'"),
        (["--lam-for", "active=few"], "such as active=300"),
        (["--lam-for", "active=-3"], "above 0"),
        (["--lam-for", "active=3", "--methods", "vanilla,l1"], "method 'vanilla' of two-moon has none"),
        (["--lam-for", "active=3"], "another sweep: lam_for is None there"),
        (["--config", "x"], "Unknown option: --config"),
    ],
)
def test_mistakes_get_one_line_and_code_2(swept, more, expected, capsys):
    out, words = swept
    before = sorted(out.rglob("*"))
    assert bimt(*words, *more) == 2
    captured = capsys.readouterr()
    assert expected in captured.err.splitlines()[-1] and captured.out == ""
    assert sorted(out.rglob("*")) == before


def test_directories_that_hold_something_else(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    assert bimt("sweep", "two-moon", *TINY, "--out", tmp_path) == 2
    assert "holds 'notes.txt' and no sweep.yaml" in capsys.readouterr().err
    assert bimt("sweep", "two-moon", *TINY, "--out", tmp_path / "notes.txt") == 2
    assert "is a file" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sweep.yaml").write_text("task: [")
    assert bimt("sweep", "two-moon", *TINY, "--out", tmp_path / "broken") == 2
    assert "is not YAML" in capsys.readouterr().err


def test_without_the_packages(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert bimt("sweep", "two-moon", *TINY, "--out", tmp_path / "a", "--backend", "ray") == 2
    assert "pip install 'bimt_tf[ray]'" in capsys.readouterr().err
    monkeypatch.setattr(result_files, "has_parquet", lambda: False)
    assert bimt("sweep", "two-moon", *TINY, "--out", tmp_path / "b", "--parquet") == 2
    assert "pip install 'bimt_tf[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "a").exists() and not (tmp_path / "b").exists()
    assert write_table(tmp_path / "t.csv", [{"a": 1}, {"b": "x"}]) == [tmp_path / "t.csv"]
    assert (tmp_path / "t.csv").read_text().split() == ["a,b", "1,", ",x"]


@contextlib.contextmanager
def full_disk(size):
    """No file of this process may grow beyond ``size`` bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("size", "named"), [(100, "table.csv"), (20_000, "pareto.png")])
def test_a_full_disk_is_one_line_and_leaves_no_half_of_a_file(swept, size, named, capsys):
    out, words = swept
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with full_disk(size):
        assert bimt(*words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines()[-1] == f"bimt: cannot write {out / named}: File too large"
    assert {path for path in out.iterdir() if path.is_file()} == before.keys()
    assert all(path.read_bytes() == before[path] for path in before if path.suffix != ".parquet")
    assert bimt(*words) == 0  # once there is room


def test_a_sweep_is_made_by_one_process_at_a_time(swept, capsys):
    out, words = swept
    with lock(out):
        assert bimt(*words) == 2
    assert "in use by another bimt process" in capsys.readouterr().err.splitlines()[-1]


def test_an_interrupted_sweep_goes_on(tmp_path, capsys):
    out = tmp_path / "out"
    sweep = Sweep("two-moon", options={"data": {"samples": 60}, "training": {"steps": 30}}, seeds=(0, 1))

    class Interrupting:
        def start(self, jobs, progress): ...
        def tick(self, progress): ...
        def retry(self, job, error): ...
        def ended(self, outcome, seconds, progress):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Exception, match="the same command goes on") as stopped:
        run_sweep(sweep, out, workers=1, watcher=Interrupting())
    assert stopped.value.signum == signal.SIGTERM
    first = out / "runs" / "bimt-seed0" / "summary.json"
    written = first.stat().st_mtime_ns
    result = run_sweep(sweep, out, workers=1)
    assert [o.error for o in result.outcomes] == [None, None] and first.stat().st_mtime_ns == written


def test_axes_and_seeds_are_read():
    assert parse_axis("symbolic-a", "lr=1e-3,2e-3") == Axis("training", "lr", (1e-3, 2e-3))
    assert parse_axis("symbolic-a", "geometry.width=0,1") == Axis("geometry", "width", (0.0, 1.0))
    assert parse_axis("symbolic-a", "hidden=20,20;10,10") == Axis("model", "hidden", ((20, 20), (10, 10)))
    assert parse_axis("symbolic-a", "hidden=20,20") == Axis("model", "hidden", ((20, 20),))
    assert parse_axis("symbolic-a", "lam=0.001,0.003") == Axis("training", "lam", (0.001, 0.003))
    schedules = parse_axis("symbolic-a", "lam=0:0.001,0.5:0.01;0.003").values
    assert schedules == ("0:0.001,0.5:0.01", 0.003)
    assert parse_axis("in-context", "shapes=output=ring;input=grid,output=ring").values[1] == {
        "input": "grid",
        "output": "ring",
    }
    assert parse_axis("in-context", "swap-method=greedy,assignment").values == ("greedy", "assignment")
    assert parse_seeds("0-2,7,1") == (0, 1, 2, 7)
    sweep = Sweep("symbolic-a", axes=(Axis("training", "lr", (1e-3, 2e-3)),), methods=("l1", "bimt"))
    assert [(cell.method, cell.point) for cell in sweep.cells] == [
        ("l1", (1e-3,)), ("bimt", (1e-3,)), ("l1", (2e-3,)), ("bimt", (2e-3,)),
    ]  # fmt: skip


def search(target, measure):
    """Run a search on a function of the factor."""
    tried = []
    while (factor := next_factor(target, tried)) is not None:
        assert factor not in [one.factor for one in tried]
        tried.append(Tried(factor, measure(factor)))
    return judge(target, tried), tried


def test_the_search_finds_a_factor_on_either_side():
    target = Target("active", 300.0, 0.1, 10)
    for at_one in (30.0, 290.0, 300.0, 9_000.0):
        found, tried = search(target, lambda factor, at_one=at_one: at_one / factor)
        assert found.reached and abs(found.value / 300 - 1) <= 0.1 and len(tried) <= 8
    found, _ = search(Target("loss", 1e-4, 0.1, 10), lambda factor: 3e-6 * factor**1.5)
    assert found.reached and found.factor == pytest.approx((1e-4 / 3e-6) ** (2 / 3), rel=0.1)


def test_the_search_says_what_it_could_not_do():
    target = Target("active", 300.0, 0.1, 10)
    found, tried = search(target, lambda factor: 500.0)
    assert (
        not found.reached and "could not be bracketed between lambda x 1 and x 1024" in found.text and len(tried) == 6
    )
    found, _ = search(target, lambda factor: 0.0)
    assert "between lambda x 0.0009766 and x 1" in found.text
    found, tried = search(target, lambda factor: 900.0 if factor < 3 else 20.0)  # a cliff
    assert not found.reached and len(tried) <= 10 and found.value == 900.0
    assert "factors came within 10%" in found.text
    found, _ = search(target, lambda factor: None)
    assert found.factor is None and "the runs failed" in found.text
    found, _ = search(target, lambda factor: 900.0 if factor < 3 else None)
    assert "the runs at lambda x 4 failed" in found.text and found.factor == 1.0
    noisy = iter([900, 200, 350, 260, 500, 310, 305, 305, 305, 305, 305])
    found, tried = search(Target("active", 300.0, 0.001, 6), lambda factor: float(next(noisy)))
    assert len(tried) == 6 and found.value == 310.0  # the best of what was tried, not the last


def test_averages_and_factors():
    target = parse_target("loss=1e-4", 0.1, 10)
    assert average(target, [{"test_loss": 1e-2}, {"test_loss": 1e-4}, {"test_loss": math.nan}]) == pytest.approx(1e-3)
    assert average(parse_target("active=3", 0.1, 10), [{"active_weights": 1}, {"active_weights": 4}]) == 2.5
    assert average(target, []) is None
    config = make("two-moon")
    assert [lam for _, lam in scaled(config, 2.0).training.lam] == [2 * lam for _, lam in config.training.lam]
    assert scaled(config, 2.0).training.lr == config.training.lr
    with pytest.raises(InputError, match="needs a penalty"):
        scaled(make("two-moon", overrides={"training": {"lam": 0.0}}), 2.0)


def test_a_target_is_searched_with_ordinary_runs(tmp_path, capsys):
    words = ["sweep", "two-moon", *TINY, "--hidden", "8", "--lr", "0.02", "--lam", "0.05", "--finish-lr", "0.001"]
    words += ["--lam-for", "active=25", "--tries", "3", "--seeds", "0-1", "--out", tmp_path / "out"]
    assert bimt(*words) == 0
    first = capsys.readouterr().out
    rows = table(tmp_path / "out")
    factors = {row["run"].split("_x")[1].split("-seed")[0] for row in rows}
    assert 1 <= len(factors) <= 3 and len(rows) == 2 * len(factors)
    (found,) = table(tmp_path / "out", "lam_for.csv")
    means = {f: sum(float(r["active_weights"]) for r in rows if f"_x{f}-" in r["run"]) / 2 for f in factors}
    assert float(found["value"]) == min(means.values(), key=lambda mean: abs(math.log(mean / 25)))
    assert found["text"] in first
    assert bimt(*words) == 0
    assert capsys.readouterr().out == first  # nothing was run again, and the search took the same way


def test_the_front_of_points():
    x, y = np.array([1, 2, 2, 3, 4, 1, 5]), np.array([9, 5, 4, 4, 1, 9, 2])
    assert pareto_front(x, y).tolist() == [0, 2, 4]
    assert pareto_front(np.array([3.0]), np.array([1.0])).tolist() == [0]


def test_the_figure_of_a_sweep():
    points = [
        ParetoPoint("l1", 100, 1e-3, 0.3),
        ParetoPoint("bimt", 50, 2e-3, 0.6),
        ParetoPoint("bimt", 80, 5e-3, 0.5),  # on neither front
        ParetoPoint("bimt", 900, math.inf, 0.5),
    ]
    figure = pareto_figure(points, title="a sweep")
    left, right = figure.axes[:2]
    (front,) = (line for line in left.lines if line.get_gid() == "front")
    assert front.get_xdata().tolist() == [50, 100] and front.get_ydata().tolist() == [2e-3, 1e-3]
    assert front.get_drawstyle() == "steps-post"
    (front,) = (line for line in right.lines if line.get_gid() == "front")
    assert front.get_xdata().tolist() == [0.6, 0.3]
    for axes, xs in ((left, [[100], [50, 80]]), (right, [[0.3], [0.6, 0.5]])):
        found = [dots.get_offsets()[:, 0].tolist() for dots in axes.collections]
        assert found == xs  # a collection, and a marker, for each method
        assert [dots.get_array().tolist() for dots in axes.collections] == [[0.3], [0.6, 0.5]]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["l1", "bimt", "Pareto front"]
    assert right.get_title(loc="left") == "1 run without a finite loss left out"
    low, high = left.get_xlim()
    assert low == 0 and high > 101  # the mark at the edge is seen whole
    figure.draw_without_rendering()
    none_left = pareto_figure([ParetoPoint("bimt", 0, 1.0, 0.0)])
    none_left.draw_without_rendering()  # no weight and one value of Q have a place as well
    with pytest.raises(InputError, match="found none among 1"):
        pareto_figure([ParetoPoint("bimt", 5, math.nan, 0.1)])
