"""Figure A5: the runs it is made of, and what it writes."""

from __future__ import annotations

import csv

import pytest

from bimt_tf.cli.main import main
from bimt_tf.errors import InputError
from bimt_tf.figures.noise import NoisePoint, NoiseSeries, noise_figure
from bimt_tf.paper import figure_a5
from bimt_tf.paper.plan import jobs_of, plan


def test_runs_differ_in_the_noise_alone(tmp_path):
    jobs = jobs_of(plan("figA5"), tmp_path, tmp_path)
    by = {key.setting: job.config for key, job in jobs.items()}
    assert len(by) == 1 + 7 * 3 + 3 and len({job.path for job in jobs.values()}) == len(by)
    first = by["no-noise"]
    noisy = by["0.001-2"]
    assert (noisy.training.init_noise, noisy.training.init_noise_seed, noisy.seed) == (1e-3, 2, first.seed)
    assert noisy.data == first.data and by["other-seed-0"].seed == first.seed + 1
    assert by["other-seed-0"].training.init_noise == 0


def test_what_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figure_a5, "NOISES", (1e-6, 1.0))
    monkeypatch.setattr(figure_a5, "STEPS", 4_000)
    words = ["reproduce", "figA5", "--quick", "--out", str(tmp_path / "runs"), "--docs", str(tmp_path / "docs")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0 and "4 networks" in capsys.readouterr().out
    with (tmp_path / "docs" / "figA5.csv").open() as file:
        rows = {row["noise"]: row for row in csv.DictReader(file)}
    assert float(rows["0"]["alike"]) == 1.0 and rows.keys() == {"0", "1e-06", "1", "other seed"}
    assert float(rows["1e-06"]["alike"]) > 0.99 and float(rows["1e-06"]["edges shared"]) > 0.9
    assert float(rows["other seed"]["alike"]) < 0.9
    assert "QUICK" in (tmp_path / "docs" / "figA5-table.md").read_text()
    assert (tmp_path / "docs" / "figA5.png").stat().st_size > 10_000


def test_the_figure_needs_noise():
    with pytest.raises(InputError, match="at least one network"):
        noise_figure([NoiseSeries("seed 0", [NoisePoint(0.0, 1, 1, 0)])])
    figure = noise_figure([NoiseSeries("seed 0", [NoisePoint(1e-3, 0.9, 0.8, 0.3), NoisePoint(None, 0.5, 0.2, 0.1)])])
    assert len(figure.axes) == 2
