"""What commands print: JSON that every program reads, tables that keep their columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from bimt_tf.cli.console.reports import print_comparison, print_json, print_rows, print_run, print_summary


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


def test_a_summary_says_how_many_pairs_tie_and_what_the_inputs_tell(capsys, tmp_path):
    summary = {
        "test_loss": 1e-3, "active_weights": 5, "total_weights": 9, "modularity_shared": None,
        "modularity_unrolled": None, "wiring_length": 0.1, "seconds": 2.0, "severed": False, "notes": [],
        "best_pair": [3, 17], "best_pair_r2": 0.99999,
    }  # fmt: skip
    print_summary(tmp_path, summary)  # of version 0.2, which did not say
    assert "pair" not in capsys.readouterr().out
    probe = {
        "target": "w", "where": "h, token 1", "score": "R2", "linear": 0.997, "inputs_linear": 0.93,
        "inputs_nonlinear": 1.0, "tied_pairs": 8,
    }  # fmt: skip
    print_summary(tmp_path, {**summary, "probe": probe})
    out = " ".join(capsys.readouterr().out.split())
    assert "w at h, token 1 R2 0.9970 linear, the inputs alone 0.9300" in out
    assert "neurons 3 and 17: 1.0000 nonlinear, one of 8 pairs that tie; the inputs alone 1.0000" in out
    print_summary(tmp_path, {**summary, "best_pair": None, "best_pair_r2": None, "probe": probe})
    assert "pair" not in capsys.readouterr().out


def test_edges_name_neurons_by_their_hooks(capsys):
    """As `bimt ablate --hook` takes them: a value as its weights write it, and as its head mixes it."""
    from bimt_tf.analysis.edge_effects import EdgeEffect, EdgeEffects
    from bimt_tf.cli.console.causal_report import print_edges

    hooks = {"Res2": "blocks.0.hook_resid_post", "blocks.1.v": "blocks.1.attn.hook_z"}
    ends = [
        (("Res2", 6), ("blocks.1.v", 10), 0),
        (("blocks.1.v", 10), ("output", 0), 0),
        (("input", 3), ("Res2", 1), 1),
    ]
    edges = [EdgeEffect("w", (0, 0), source, target, copy, 0.5, 1.0, None) for source, target, copy in ends]
    print_edges(EdgeEffects(edges, 0.1, 10, 0), "w", 3, hooks)
    out = capsys.readouterr().out
    for name in ("blocks.0.hook_resid_post[6]", "blocks.1.attn.hook_v[10]", "blocks.1.attn.hook_z[10]", "output[0]"):
        assert name in out
    assert "input[3] at token 1" in out


def test_a_run_that_cannot_be_read_leaves_the_others_their_columns(capsys):
    row = {"path": "runs/a-run-of-a-long-name", "task": "in-context", "state": "finished", "loss": 0.5}
    print_rows([row, {**row, "state": "cannot be read: " + 60 * "a damaged file "}], "none")
    assert "runs/a-run-of-a-long-name  in-context  finished" in capsys.readouterr().out
