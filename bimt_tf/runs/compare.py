"""Runs side by side: the settings in which they differ, then their numbers; and their networks in one figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.elimination_files import At
from bimt_tf.runs.point_summary import summary_at
from bimt_tf.runs.state import state_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Compared", "Comparison", "compare_runs"]

SETTINGS = ("task", "preset", "method", "seed", "steps")  # of summary.json, which the config says too


class Compared(NamedTuple):
    """One setting or number, and its value in each run; None where a run does not have it."""

    name: str
    values: tuple[Any, ...]


class Comparison(NamedTuple):
    """``settings`` that differ, and all ``numbers``, of the runs in ``paths``; ``states`` as ``load_run`` says them.

    ``at``: the point of their eliminations that was compared.
    """

    paths: tuple[str, ...]
    states: tuple[str, ...]
    settings: tuple[Compared, ...]
    numbers: tuple[Compared, ...]
    at: At = "shown"

    def as_dict(self) -> dict[str, Any]:
        """The comparison as dicts, lists and numbers, ready for JSON."""
        return {
            "paths": list(self.paths),
            "states": list(self.states),
            "at": self.at,
            "settings": {one.name: list(one.values) for one in self.settings},
            "numbers": {one.name: list(one.values) for one in self.numbers},
        }

    def figure(self, device: str = "cpu") -> Figure:
        """The networks side by side, in the order of the paths.

        Args:
            device: where the models are put, as ``load_run`` takes it.

        Raises:
            InputError: for a device that is not there, or runs whose networks are not of one shape.
        """
        from bimt_tf.figures.comparison import Panel, comparison_figure
        from bimt_tf.runs.load import load_run
        from bimt_tf.scene.scene import scene_of

        runs = [load_run(path, device, at=self.at) for path in self.paths]
        panels = []
        for run in runs:
            loss = run.summary.get("test_loss")
            note = f"{run.active_weights:,} weights" + ("" if loss is None else f" · loss {loss:.1e}")
            panels.append(Panel(run.path.name, note, scene_of(run.bimt, run.threshold)))
        labels = [run.task.labels(run.config.data) for run in runs]
        return comparison_figure(panels, labels=labels[0] if all(each == labels[0] for each in labels) else None)


def compare_runs(paths: Sequence[str | Path], at: At = "shown") -> Comparison:
    """Compare two runs or more by their files; no model is built.

    Args:
        paths: run directories.
        at: point of their eliminations, as ``load_run`` takes it.

    Raises:
        InputError: for fewer than two paths, one that is no run, a damaged file, or a run without that point.
    """
    if len(paths) < 2:
        raise InputError(f"a comparison takes two run directories or more, found {len(paths)}")
    directories = [RunDirectory.open(Path(path)) for path in paths]
    configs = [each.config for each in directories]
    settings = _side_by_side([_flat(config) for config in configs])
    numbers = _side_by_side([_numbers(summary_at(each, each.elimination.number_of(at))) for each in directories])
    return Comparison(
        tuple(str(each.path) for each in directories),
        tuple(state_of(each.path, c.training.steps).text for each, c in zip(directories, configs, strict=True)),
        tuple(one for one in settings if any(value != one.values[0] for value in one.values)),
        tuple(one for one in numbers if any(value is not None for value in one.values)),
        at,
    )


def _flat(config: Config) -> dict[str, Any]:
    """Dotted name -> value of every setting."""
    flat: dict[str, Any] = {}
    for name, value in dataclasses.asdict(config).items():
        flat |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _numbers(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in summary.items()
        if name not in SETTINGS and (value is None or isinstance(value, (bool, int, float)))
    }


def _side_by_side(tables: Sequence[Mapping[str, Any]]) -> tuple[Compared, ...]:
    names = list(dict.fromkeys(name for table in tables for name in table))
    return tuple(Compared(name, tuple(table.get(name) for table in tables)) for name in names)
