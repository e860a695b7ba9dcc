"""``bimt eliminate DIR``: the simplest circuit that a trained network holds."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, Directory, NoFigures
from bimt_tf.config.fields import sentences
from bimt_tf.config.settings import EliminationConfig

__all__ = ["eliminate"]

_SENTENCES = sentences(EliminationConfig)


def _help(field: str) -> Parameter:
    return Parameter(help=_SENTENCES[field])


def eliminate(
    directory: Directory,
    /,
    *,
    max_loss: Annotated[float | None, _help("max_loss")] = None,
    loss_factor: Annotated[float | None, _help("loss_factor")] = None,
    weights: Annotated[int | None, _help("weights")] = None,
    neurons: Annotated[int | None, _help("neurons")] = None,
    whole_neurons: Annotated[Literal["no", "first", "last"], _help("whole_neurons")] = "no",
    stay_near: Annotated[bool, _help("stay_near")] = False,
    short_wires: Annotated[bool, _help("short_wires")] = False,
    press: Annotated[bool, _help("press")] = False,
    fit_examples: Annotated[int, _help("fit_examples")] = EliminationConfig.fit_examples,
    overwrite: Annotated[
        bool, Parameter(negative=(), show_default=False, help="replace the elimination that is there")
    ] = False,
    no_figures: NoFigures = False,
    device: Annotated[str | None, Parameter(help="where to compute: cpu, cuda, cuda:1 [the run's]")] = None,
    json: AsJson = False,
) -> None:
    """Take weights out of the trained network in DIRECTORY, refitting the others, as far as a budget allows.

    Give at most one of --max-loss, --loss-factor, --weights and --neurons; --loss-factor 1.05 is used if none is given.
    The trained weights stay; every point of the path is kept and opened by --at on other commands.
    """
    from bimt_tf.cli.console.reports import print_json, print_summary
    from bimt_tf.cli.console.run_watch import watcher
    from bimt_tf.runs.execute import eliminate_run

    settings = EliminationConfig(
        max_loss, loss_factor, weights, neurons, whole_neurons, stay_near, short_wires, press, fit_examples
    )
    with watcher() as shown:
        summary = eliminate_run(
            directory, settings, overwrite=overwrite, device=device, watcher=shown, draw=not no_figures
        )
    if json:
        print_json(summary)
    else:
        print_summary(directory, summary)
