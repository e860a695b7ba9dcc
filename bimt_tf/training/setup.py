"""What a run needs before its first step: task, data, model, wiring, penalty, optimizer and batches from a config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from bimt_tf.adapters.families import wire
from bimt_tf.bimt import BIMT
from bimt_tf.config.settings import Config
from bimt_tf.core.geometry import Geometry, Shape
from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data, Split, Task
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.tasks.validation import set_aside
from bimt_tf.training.batches import Batches, Drawn
from bimt_tf.training.checkpoint import Checkpoint, restore_
from bimt_tf.training.device import data_on, dtype_of, find_device, model_on
from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.init_noise import perturb_
from bimt_tf.training.memory import require_memory_for_data, require_memory_for_model
from bimt_tf.training.penalty import penalty_of
from bimt_tf.training.schedule import decay_at, final_width, lr_at
from bimt_tf.training.state import State
from bimt_tf.training.trainer import Trainer

__all__ = ["Start", "assemble", "bimt_of", "require_batch", "set_up", "state_of"]


class Start(NamedTuple):
    """What a new run begins from in the place of fresh weights: another run's, and its layout (BIMT.state_dict's)."""

    weights: Mapping[str, Tensor]
    layout: Mapping[str, Tensor]


def set_up(
    config: Config,
    checkpoint: Checkpoint | None = None,
    *,
    task: Task | None = None,
    start: Start | None = None,
) -> Trainer:
    """The trainer of a run.

    Args:
        config: what to train.
        checkpoint: where to go on; from the start unless given.
        task: what is learned, if ``config.task`` is not the name of a known task.
        start: weights and layout of another run of the same model to begin from, at step 0 with a new optimizer.

    Raises:
        InputError: for a device, a task or a population that is not there, a checkpoint or a start of another model, a
            batch larger than the training examples, or a run that does not fit into memory.
    """
    training = config.training
    task = task if task is not None else find_task(config.task)
    device, dtype = find_device(training.device), dtype_of(config)
    require_memory_for_data(config, task)
    data, validation = set_aside(task.data(config.data, config.seed, dtype), training.validation_share)
    require_batch(training.batch_size, len(data.train.inputs))
    require_memory_for_model(config, task, data)
    model = model_on(task.model(config.model, config.data, config.seed, dtype), device)
    batches = Drawn(data_on(data.train, device), training.batch_size, config.seed)
    return assemble(config, task, data, bimt_of(model, config), batches, checkpoint, start, validation)


def bimt_of(model: nn.Module, config: Config) -> BIMT:
    """The BIMT of a model that ``wire`` knows, as the config places and charges it at the end of the run."""
    where, training = config.geometry, config.training
    geometry = Geometry(final_width(config), where.layer_gap, where.norm, cast(Mapping[str, Shape], where.shapes))
    wiring = wire(model, training.fixed).distance_free(where.distance_free)
    return BIMT(model, geometry, wiring, training.reduction)


def assemble(
    config: Config,
    task: Task,
    data: Split,
    bimt: BIMT,
    batches: Batches,
    checkpoint: Checkpoint | None = None,
    start: Start | None = None,
    validation: Data | None = None,
) -> Trainer:
    """The trainer of a BIMT that is there already; ``bimt.model`` is trained in place on its device.

    Raises:
        InputError: for a checkpoint or a start of another model, or a model that has no parameter to train.
    """
    state = state_of(config, bimt, batches, lambda outputs, targets: task.loss(config.data, outputs, targets))
    flat = state.flat
    if start is not None:
        flat.load_(start.weights, "the run to begin from")
        bimt.load_state_dict(start.layout)
    if checkpoint is not None:
        restore_(state, checkpoint)
    else:
        perturb_(bimt.model, config.training.init_noise, config.training.init_noise_seed)
    state.penalty.follow(state.step)
    held_out = data_on(data.test, flat.vector.device)
    seconds = checkpoint.seconds if checkpoint is not None else 0.0
    return Trainer(state, task, data, held_out, seconds, validation)


def state_of(config: Config, bimt: BIMT, batches: Batches, loss: Callable[[Tensor, Tensor], Tensor]) -> State:
    """A run's state at step 0: parameters as one vector, penalty and optimizer; ``loss`` takes outputs and targets."""
    training, flat = config.training, FlatParameters(bimt.model)
    return State(
        config=config,
        model=bimt.model,
        bimt=bimt,
        flat=flat,
        penalty=penalty_of(bimt, flat, config),
        optimizer=torch.optim.AdamW(
            [flat.vector], lr_at(config, 0), training.betas, weight_decay=decay_at(config, 0), fused=True
        ),
        batches=batches,
        loss=loss,
    )


def require_batch(size: int, examples: int) -> None:
    """Raise InputError if a batch would hold more examples than there are to train on."""
    if size > examples:
        raise InputError(
            f"batch_size {size} is larger than the {examples} training examples: give at most that, or 0 for all"
        )
