"""What commands print: JSON that every program reads, tables that keep their columns."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

from bimt_tf.analysis.probe import Control, NeuronProbe, PairProbe, PopulationProbe, ProbeResult
from bimt_tf.cli.console.reports import print_comparison, print_json, print_probe, print_rows, print_run


class Row(NamedTuple):
    path: Path
    loss: float


class Side(NamedTuple):
    name: str
    values: tuple


class Sides(NamedTuple):
    paths: tuple
    states: tuple
    settings: tuple
    numbers: tuple


def test_json_has_no_nan(capsys):
    print_json({"rows": [Row(Path("a"), float("nan"))], "all": (1, True, None, float("inf"), "λ")})
    out = capsys.readouterr().out
    assert json.loads(out) == {"rows": [{"path": "a", "loss": None}], "all": [1, True, None, None, "λ"]}


def test_a_row_a_run(capsys):
    print_rows([{"path": "runs/" + "long-" * 20, "steps": 40_000, "loss": None, "done": True}], "none")
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["path", "steps", "loss", "done"]
    assert row.split() == ["runs/" + "long-" * 20, "40,000", "-", "yes"]
    print_rows([], "no run under x")
    assert capsys.readouterr().out == "no run under x\n"


def test_markup_in_names_is_text(capsys):
    print_run(
        {"path": "[red]x[/red]"},
        {"notes": [], "versions": {"torch": "2"}, "pair": [3, 4], "severed": False, "best_pair": None},
    )
    out = capsys.readouterr().out
    assert (
        "[red]x[/red]" in out
        and "torch 2" in out
        and "3; 4" in out
        and "no" in out
        and "notes" not in out
        and "best" not in out
    )


def test_settings_come_before_numbers(capsys):
    print_comparison(
        Sides(("a", "b"), ("finished", "finished"), (Side("lr", (1e-3, 2e-3)),), (Side("loss", (1, None)),))
    )
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [line[0] for line in lines] == ["a", "state", "lr", "loss"]
    assert lines[2:] == [["lr", "0.001", "0.002"], ["loss", "1", "-"]]


def test_a_probe_is_printed_with_its_control_and_its_token_if_there_is_one(capsys):
    control = Control(None, PopulationProbe(-0.25, -0.125))
    found = ProbeResult("hook", None, [0, 1], [0, 1], [NeuronProbe(0, 0.5, 0.75)], [PairProbe(0, 1, 0.5, 1.0)],
                        PopulationProbe(0.5, 1.0), control, 80, 20, False)  # fmt: skip
    print_probe(found, "w")
    out = capsys.readouterr().out
    assert "token" not in out
    (line,) = [line for line in out.splitlines() if "shuffled" in line]
    assert re.findall(r"-?\d\.\d+", line) == ["-0.2500", "-0.1250"]
    print_probe(found._replace(position=2), "w")
    assert "token 2" in capsys.readouterr().out
