"""For the page: where quantities can be read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.probe_results import TIE
from bimt_tf.errors import InputError
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.kept import command, is_shown, of_this_network, readable

__all__ = ["probes_part"]

MOST_NEURONS = 20  # of one probe's table


def probes_part(run: OpenedRun) -> dict[str, Any] | None:
    """Kept probe maps, and the read-outs that were kept or made at the end of the run; None for a task without probes.

    Keys: ``maps``: target, regressor, score, cells; ``readouts``: target, hook, position, score, and the population's
    linear and nonlinear score beside those of inputs, stage before, untrained network and shuffled target, then of
    the best pair (``rows``), and of single ``neurons``; ``compared``: whether baselines were measured, else ``command``
    measures them. ``command``: what makes a map.
    """
    kept = of_this_network(run, "probes")
    maps = readable((one["result"] for one in kept if one["question"] == "probe-map"), _map)
    tables = [table for one in kept if one["question"] == "probe" for table in _listed(one["result"])]
    readouts = readable(tables, lambda table: _readout(run, table))
    readouts = readouts or readable(_own(run), lambda table: _readout(run, table))
    wanted = [probe.target for probe in run.task.probes(run.config.data)]
    if not (maps or readouts or wanted):
        return None
    again = command("probe-map", {"target": wanted[0] if wanted else None}, run)
    return {"maps": maps, "readouts": readouts, "command": again}


def _own(run: OpenedRun) -> list[dict[str, Any]]:
    """The run's own probes, which are of the point that it shows; early ones do not name their target."""
    try:
        found = run.probes if is_shown(run) else []
    except InputError:
        return []
    named = {(one.hook, one.position): one.target for one in run.task.probes(run.config.data)}
    told = readable(found, lambda one: {"target": named.get((one["hook"], one["position"]), ""), **one})
    return [plain(one) for one in told]


def _listed(result: Any) -> list[dict[str, Any]]:
    return result if isinstance(result, list) else [result]


def _map(found: Mapping[str, Any]) -> dict[str, Any]:
    cells = [
        {
            "hook": cell["hook"], "head": cell["head"], "position": cell["position"], "neurons": cell["varying"],
            **{name: _value(cell[name]) for name in ("read_out", "inputs", "before", "untrained")},
            **{name: _interval(cell[name]) for name in ("gain_inputs", "gain_before")},
            "shuffled": cell["shuffled"],
        }
        for cell in found["cells"]
    ]  # fmt: skip
    return {"target": found["target"], "regressor": found["regressor"], "score": _score(found), "cells": cells}


def _score(found: Mapping[str, Any]) -> str:
    return "held-out Brier skill" if found.get("kind") == "classes" else "held-out R2"


def _readout(run: OpenedRun, table: Mapping[str, Any]) -> dict[str, Any]:
    """One probe, in today's form or that of earlier versions (scores as plain numbers, no baselines)."""
    compared = {name: (table.get(name) or {}).get("read_out") for name in ("inputs", "stage_before", "untrained")}
    rows = [["all neurons that vary", *_both(table.get("population"))]]
    words = {"inputs": "the inputs that reach it", "stage_before": "the stage before", "untrained": "untrained network"}
    rows += [[words[name], *_both(found)] for name, found in compared.items() if found]
    control = table.get("control") or {}
    rows += [[f"{name}, target shuffled", *_both(control[name])] for name in ("population",) if control.get(name)]
    ranked = sorted(table.get("neurons") or [], key=lambda one: -(_value(one["nonlinear"]) or 0.0))
    neurons = [[one["neuron"], *_both(one)] for one in ranked[:MOST_NEURONS]]
    pairs = table.get("pairs") or []
    best = [[f"neurons {pairs[0]['first']} and {pairs[0]['second']}{_ties(pairs)}", *_both(pairs[0])]] if pairs else []
    if best and control.get("pair"):
        best.append(["any pair, target shuffled", *_both(control["pair"])])
    return {
        "target": table.get("target", ""), "hook": table["hook"], "position": table.get("position"),
        "score": _score(table), "rows": [*rows, *best], "neurons": neurons, "compared": any(compared.values()),
        "command": command("probe", {name: table.get(name) for name in ("hook", "position", "target")}, run),
    }  # fmt: skip


def _ties(pairs: list[Mapping[str, Any]]) -> str:
    """How many pairs tie with the best one: in its interval, or less than TIE below it."""
    best = pairs[0]["nonlinear"]
    value, low = _value(best), best.get("low") if isinstance(best, Mapping) else None
    if value is None:
        return ""
    least = min(value - TIE, value if low is None else low)
    count = sum((_value(pair["nonlinear"]) or -1.0) >= least for pair in pairs)
    return f" (one of {count} pairs that tie)" if count > 1 else ""


def _both(found: Mapping[str, Any] | None) -> list[float | None]:
    return [_value((found or {}).get(name)) for name in ("linear", "nonlinear")]


def _value(score: Any) -> float | None:
    """A score's value, from today's form or as a plain number."""
    found = score.get("value") if isinstance(score, Mapping) else score
    return float(found) if isinstance(found, (int, float)) and math.isfinite(found) else None


def _interval(score: Any) -> list[float | None]:
    """A gain and its interval."""
    return [_value(score), *(_value(score.get(name)) for name in ("low", "high"))] if score else [None, None, None]
