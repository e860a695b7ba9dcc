"""Figures 7, A2, A3, A4, A7 and Appendix E from the command line with --quick: every file is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bimt_tf.cli.main import main
from bimt_tf.paper import trial_runs

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.mark.parametrize(
    ("name", "seeds", "files"),
    [
        ("fig7", "0", {"fig7.png", "fig7-map.png", "fig7-carriers.png", "fig7-table.csv"}),
        ("figA2", "0-1", {"figA2.png", "figA2-table.csv"}),
        ("figA3", "0-1", {"figA3.png", "figA3-table.csv"}),
        ("figA4", "0", {"figA4.png", "figA4-table.csv"}),
        ("figA7", "0", {"figA7.png", "figA7-in-context.png", "figA7-table.csv"}),
        ("appE", "0", {"appE-table.csv"}),
    ],
)
def test_what_a_quick_trial_writes(name, seeds, files, tmp_path, monkeypatch, capsys):
    """From the command line to the files, on small networks that are hardly trained."""
    made = trial_runs.config_of
    monkeypatch.setattr(trial_runs, "config_of", lambda *given: short(made(*given)))
    words = ["reproduce", name, "--quick", "--seeds", seeds, "--out", str(tmp_path / "runs")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--docs", str(tmp_path / "docs")])
    assert ended.value.code == 0, capsys.readouterr()
    assert files <= {path.name for path in (tmp_path / "docs").iterdir()}
    assert "QUICK" in (tmp_path / "docs" / f"{name}-table.md").read_text()


def short(config):
    """The same run in 30 steps, of a narrow transformer."""
    training = replace(config.training, steps=30)
    if not config.task.startswith("in-context"):
        return replace(config, training=training)
    model, data = replace(config.model, d_model=8), replace(config.data, samples=400)
    return replace(config, training=training, model=model, data=data)
