"""What comes behind a run's last step: an elimination, if there is to be one; then measuring, figures and the page."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from bimt_tf.errors import InputError
from bimt_tf.models.modes import evaluating
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.draw import draw as draw_figure
from bimt_tf.runs.draw import figures_of
from bimt_tf.runs.eliminate import budget_in_words, budgeted, eliminate_into, require_a_loss
from bimt_tf.runs.export_model import PLAIN, save_plain
from bimt_tf.runs.figure_files import image_of
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page_file import PAGE, write_page
from bimt_tf.runs.state import state_of
from bimt_tf.runs.stopping import Interrupted, caught_signals, raised_signals
from bimt_tf.runs.summary import Measured, before_elimination, measure
from bimt_tf.runs.trained import Trained
from bimt_tf.runs.watcher import Watcher

__all__ = ["conclude", "measuring", "require_no_signal"]


def conclude(
    run: RunDirectory, trained: Trained, seconds: float, watcher: Watcher, draw: bool, page: bool
) -> dict[str, Any]:
    """Eliminate a trained network if it is asked for, measure it, draw it, and write what was found, and its page.

    Args:
        run: its directory, which holds its weights; an elimination that has begun there goes on.
        trained: the network as it was trained; its weights are those of the elimination's end afterwards.
        seconds: what training took.
        watcher: shows what goes on.
        draw: whether to draw figures.
        page: whether to write report.html.

    Returns:
        The content of summary.json, whose being there says that all else is, but for the page.

    Raises:
        Interrupted: on SIGINT or SIGTERM.
    """
    before: dict[str, Any] = {}
    files = run.elimination
    if files.begun or trained.config.training.eliminate:
        with measuring(run):
            before = {"trained": before_elimination(trained)}
        _eliminate(run, trained, watcher)
        settings = {name: value for name, value in dataclasses.asdict(files.settings).items() if value is not None}
        before["elimination"] = settings | files.result
        trained.eliminated = True
    with measuring(run):
        watcher.stage("measuring and drawing" if draw else "measuring")
        measured = _measure(run, trained, seconds, before, draw)
    if page:
        with raised_signals(f"{run.path} is measured, but its page is not made; 'bimt report {run.path}' makes it"):
            if notes := _page(run, trained):
                measured.summary["notes"] += notes
                run.write_summary(*measured)
    return measured.summary


def _measure(run: RunDirectory, trained: Trained, seconds: float, before: Mapping[str, Any], draw: bool) -> Measured:
    if trained.task.pretrained:
        save_plain(trained, run.path / PLAIN, replace=True)
    measured = measure(trained, seconds)
    summary = measured.summary
    summary |= before
    summary["notes"] += summary.get("elimination", {}).pop("notes", [])
    records, rows = run.records(), run.elimination.rows()
    for name in figures_of(trained, summary) if draw else ():
        if name == "curves" and not records:  # metrics.jsonl was removed
            continue
        figure = draw_figure(trained, name, records=rows if name == "elimination" else records, summary=summary)
        for suffix in ("png", "pdf"):
            run.write_figure(f"{name}.{suffix}", image_of(figure, suffix))
    run.write_summary(*measured)
    return measured


def _page(run: RunDirectory, trained: Trained) -> list[str]:
    """Write the run's page; gives a note that says why it could not be made, if so."""
    config, shown = trained.config, run.elimination.number_of("shown")
    state = state_of(run.path, config.training.steps)
    with evaluating(trained.model):
        opened = OpenedRun(
            run, state, config, trained.model, trained.bimt, held_out=trained.data, task=trained.task,
            round_number=shown,
        )  # fmt: skip
        try:
            write_page(opened, run.path / PAGE)
        except Interrupted:
            raise
        except Exception as error:  # of whatever kind: the run is whole without its page, and is not lost for it
            said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            return [f"the page was not made: {said}; 'bimt report {run.path}' makes it"]
    return []


def _eliminate(run: RunDirectory, trained: Trained, watcher: Watcher) -> None:
    """Eliminate to the end, from the last round that is there; a signal ends it after its step."""
    files = run.elimination
    if not files.begun:
        asked = budgeted(trained.config, trained.config.elimination)
        require_a_loss(trained, asked)
        files.begin(asked)
    settings = files.settings
    watcher.eliminating(budget_in_words(settings))
    with caught_signals() as caught:
        ended = eliminate_into(files, trained, settings, on_row=watcher.round, stop=lambda: bool(caught))
    if not ended:
        text = f"stopped after round {len(files.rows()) - 1} of the elimination; 'bimt resume {run.path}' goes on"
        raise Interrupted(caught[0], text)


@contextmanager
def measuring(run: RunDirectory) -> Iterator[None]:
    """While a trained network is measured: a signal ends it at once."""
    with raised_signals(_not_measured(run)):
        yield


def require_no_signal(run: RunDirectory, caught: Sequence[int]) -> None:
    """Raise Interrupted if a signal came with the last step."""
    if caught:
        raise Interrupted(caught[0], _not_measured(run))


def _not_measured(run: RunDirectory) -> str:
    return f"{run.path} is trained, but not measured; 'bimt resume {run.path}' measures and draws it"
