"""Elimination of a run: its rounds into files, measured one by one, and on from where it was stopped."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.modularity import modularity
from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.bimt import BIMT
from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import BUDGETS, Config, EliminationConfig
from bimt_tf.errors import InputError
from bimt_tf.runs.elimination_files import EliminationFiles
from bimt_tf.runs.summary import MOST_EDGES
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.training.eliminate import Elimination, eliminate
from bimt_tf.training.elimination.budget import LOSS_FACTOR
from bimt_tf.training.elimination.rounds import Round, put_
from bimt_tf.training.elimination.task_loss import task_loss

__all__ = [
    "budget_in_words", "budgeted", "copied", "eliminate_in_memory", "eliminate_into", "eliminate_trained", "place",
    "require_a_loss",
]  # fmt: skip


NEAR = 2
"""The point that is shown has at most so many times the weights of the end."""

NO_LOSS = 1e-5
"""A training loss below which no multiple of it is a budget, in nats; float32 computes a divergence to some 1e-7."""


def budgeted(config: Config, settings: EliminationConfig) -> EliminationConfig:
    """``settings``, with the task's own budget where none is given.

    Raises:
        InputError: for what a pretrained model's elimination cannot do, before anything is trained or written.
    """
    task = find_task(config.task)
    for name in ("neurons", "whole_neurons", "stay_near", "short_wires", "press") if task.pretrained else ():
        if getattr(settings, name) not in (None, "no", False):
            raise InputError(f"a pretrained model is eliminated by minibatches, which do not know {name}: leave it out")
    if any(getattr(settings, name) is not None for name in BUDGETS):
        return settings
    return dataclasses.replace(settings, max_loss=task.largest_loss(config.data))


def require_a_loss(trained: Trained, settings: EliminationConfig) -> None:
    """Raise InputError where the budget is a multiple of a divergence that is 0, for the model is what it was."""
    if settings.loss_factor is None or trained.task.largest_loss(trained.config.data) is None:
        return
    loss = trained.evaluate("train")["loss"]
    if loss < NO_LOSS:
        raise InputError(
            f"loss_factor multiplies the training loss, which is {loss:.1g} as long as the model is what it was: give "
            "max_loss, in nats, or weights"
        )


def eliminate_trained(
    trained: Trained,
    settings: EliminationConfig,
    *,
    path: tuple[Round, ...] = (),
    on_round: Callable[[Round], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Elimination:
    """Take weights out of a trained network, in place, on its own training and validation examples.

    Args:
        trained: the network.
        settings: how far to go.
        path: rounds of an elimination that was stopped; it goes on from the last.
        on_round: called with each round that is kept.
        stop: asked between two steps; True ends it at the last round that was kept.

    Raises:
        InputError: where ``bimt_tf.eliminate`` refuses the model or its loss.
    """
    for p in trained.bimt.parameters.values() if trained.task.pretrained else ():
        # a bridge's are views with gaps when opened, none when trained: products of both differ in their last bits
        p.data = p.data.clone(memory_format=torch.contiguous_format)
    return eliminate(
        trained.bimt,
        trained.data.train[:2],
        task_loss(trained.task, trained.config.data),
        max_loss=settings.max_loss,
        loss_factor=settings.loss_factor,
        weights=settings.weights,
        neurons=settings.neurons,
        whole_neurons=settings.whole_neurons,
        stay_near=settings.stay_near,
        short_wires=settings.short_wires,
        press=settings.press,
        validation=None if trained.validation is None else trained.validation[:2],
        examples=settings.fit_examples,
        on_round=on_round,
        stop=stop,
        path=path,
    )


def eliminate_into(
    files: EliminationFiles,
    trained: Trained,
    settings: EliminationConfig,
    *,
    on_row: Callable[[Mapping[str, Any]], None],
    stop: Callable[[], bool],
) -> bool:
    """Eliminate into files, going on with what is there; ``trained`` is left at the point that is shown.

    Args:
        files: where; begun already, with ``settings``.
        trained: the network as it was trained.
        settings: how far to go.
        on_row: called with the line of each round.
        stop: as :func:`eliminate_trained`.

    Returns:
        Whether it came to its end; stopped, it goes on from its last round when it is called again.

    Raises:
        InputError: as :func:`eliminate_trained`; CannotWrite on a full disk.
    """
    before = files.rounds()
    if files.ended:
        point = files.point(files.number_of("shown") or 0)
        put_(trained.bimt, point.weights)
        trained.bimt.load_state_dict(point.layout)
        return True
    scratch = copied(trained)
    if before:
        scratch.bimt.load_state_dict(files.point(len(before) - 1).layout)
    numbers = itertools.count(len(before))

    def on_round(one: Round) -> None:
        number = next(numbers)
        put_(scratch.bimt, one.state)
        if number:
            place(scratch, 1)
        on_row(files.add(number, one, _measured(scratch), scratch.bimt.layout.slots))

    done = eliminate_trained(trained, settings, path=before, on_round=on_round, stop=stop)
    if not done.ended:
        return False
    shown = _shown(files.rows(), settings, done.max_loss)
    point = files.point(shown)
    put_(scratch.bimt, point.weights)
    scratch.bimt.load_state_dict(point.layout)
    place(scratch, trained.config.training.swap_starts)
    one = done.path[shown]._replace(state=point.weights)
    files.add(shown, one, _measured(scratch), scratch.bimt.layout.slots, keep_later=True)
    last = files.rows()[-1]
    files.end(_told(done) | {"shown": shown, "end_weights": last["weights"], "end_test_loss": last.get("test_loss")})
    put_(trained.bimt, point.weights)
    trained.bimt.load_state_dict(scratch.bimt.state_dict())
    return True


def _shown(rows: Sequence[Mapping[str, Any]], settings: EliminationConfig, largest_loss: float) -> int:
    """The round that is shown unless another is asked for: the end, where a number, few neurons or short wires were
    asked for.

    Else the most modular of those within the budget that have at most :data:`NEAR` times the end's weights, and fewer
    than the trained network: the last weights to go often join what was apart.
    """
    end = len(rows) - 1
    counted = settings.weights is not None or settings.neurons is not None
    if counted or settings.whole_neurons != "no" or settings.short_wires:
        return end
    most = NEAR * rows[end]["weights"]
    fewer = [row for row in rows if row["weights"] < rows[0]["weights"]]
    near = [row for row in fewer if row["weights"] <= most and (row["loss"] <= largest_loss or row["round"] == end)]
    found = [row for row in near if row["modularity_shared"] is not None]
    return max(found, key=lambda row: (row["modularity_shared"], row["round"]))["round"] if found else end


def budget_in_words(settings: EliminationConfig) -> str:
    """What an elimination goes down to, for a reader."""
    if settings.weights is not None:
        return f"down to {settings.weights:,} weights"
    if settings.neurons is not None:
        return f"down to {settings.neurons:,} hidden neurons"
    if settings.max_loss is not None:
        return f"up to a training loss of {settings.max_loss:g}"
    return f"up to {settings.loss_factor or LOSS_FACTOR:g} times the training loss"


def copied(trained: Trained) -> Trained:
    """The same network with a model of its own, what is not zero counting as active."""
    old = trained.bimt
    model = copy.deepcopy(trained.model)
    bimt = BIMT(model, old.geometry, old.wiring, old.reduction, old.layout)
    return Trained(
        trained.config,
        model,
        bimt,
        data=trained.data,
        task=trained.task,
        validation=trained.validation,
        eliminated=True,
    )


def place(trained: Trained, starts: int) -> None:
    """Move neurons to where their wires are shortest, if the run's method moves them."""
    training = trained.config.training
    if METHODS[trained.config.method].swaps:
        generator = torch.Generator().manual_seed(trained.config.seed)
        trained.bimt.swap(training.swap_method, training.top_k, starts=starts, generator=generator)


def _measured(trained: Trained) -> dict[str, Any]:
    """What a round's line says beside what the search knows; measured on the held-out examples."""
    return {
        **{f"test_{name}": value for name, value in trained.evaluate("test").items()},
        "modularity_shared": _modularity(trained),
        "wiring_length": wiring_length(trained.bimt).mean,
    }


def _modularity(trained: Trained) -> float | None:
    few = trained.nonzero_weights <= MOST_EDGES
    return modularity(connection_graph(trained.bimt, residual="shared")) if few else None


def _told(done: Elimination) -> dict[str, Any]:
    """What there is to say at the end; what does not apply is left out."""
    told = {"rounds": len(done.path) - 1, "seconds": done.path[-1].seconds, "examples": done.examples, "of": done.of}
    found = {"largest_loss": done.max_loss if math.isfinite(done.max_loss) else None, "severed": done.severed}
    return told | {name: value for name, value in (found | {"notes": done.notes}).items() if value}


def eliminate_in_memory(
    trained: Trained, settings: EliminationConfig, on_round: Callable[[Round], None] = lambda one: None
) -> tuple[Elimination, int]:
    """Eliminate a network in place, without files; gives the outcome and the round that the network then is of.

    Args:
        trained: the network; it is left at the point that is shown, neurons placed.
        settings: how far to go.
        on_round: called with each round that is kept.
    """
    scratch, rows = copied(trained), list[dict[str, Any]]()

    def measure(one: Round) -> None:
        put_(scratch.bimt, one.state)
        q = _modularity(scratch) if one.state else None
        rows.append({"round": len(rows), "weights": one.weights, "loss": one.loss, "modularity_shared": q})
        on_round(one)

    settings = budgeted(trained.config, settings)
    require_a_loss(trained, settings)
    done = eliminate_trained(trained, settings, on_round=measure)
    shown = _shown(rows, settings, done.max_loss)
    if not done.path[shown].state:  # of large networks the last round alone is kept
        shown = len(done.path) - 1
    put_(trained.bimt, done.path[shown].state)
    place(trained, trained.config.training.swap_starts)
    trained.eliminated = True
    return done, shown
