"""The numbers of one point of a run's elimination, or of the network as it was trained. No torch at import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bimt_tf.runs.directory import RunDirectory

__all__ = ["numbers_of_row", "summary_at"]

HEADS = ("task", "preset", "method", "seed", "steps", "total_weights")
OF_A_POINT = ("modularity_shared", "wiring_length")


def summary_at(directory: RunDirectory, number: int | None) -> dict[str, Any]:
    """summary.json, which tells of the point that is shown; for another point those numbers that are known of it.

    Args:
        directory: of the run.
        number: the round of its elimination; None for the network as it was trained.

    Raises:
        InputError: if a file is damaged.
    """
    summary, files = directory.summary, directory.elimination
    if number == files.number_of("shown") and (number is not None or "trained" not in summary):
        return summary
    heads = {name: summary[name] for name in HEADS if name in summary}
    return {**heads, **(summary.get("trained", {}) if number is None else numbers_of_row(files.rows()[number]))}


def numbers_of_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a line of rounds.jsonl, by the names that summary.json has for them."""
    measured = {name: value for name, value in row.items() if name.startswith("test_") or name in OF_A_POINT}
    return {**measured, "active_weights": row["weights"], "fitted_loss": row["loss"]}
