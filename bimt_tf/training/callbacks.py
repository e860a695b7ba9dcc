"""BIMT in the training of PyTorch Lightning and of transformers: callbacks that attach to the optimizer they make.

Both keep the step and the layout in the framework's own checkpoints, so that a resumed training goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.training.attached import Attached, LoopSettings

if TYPE_CHECKING:
    from lightning.pytorch import Callback

__all__ = ["BIMTTrainerCallback", "lightning_callback"]


class BIMTTrainerCallback(TrainerCallback, ExportableState):
    """For ``transformers.Trainer``: the same as :func:`bimt_tf.attach` on the optimizer that the Trainer makes.

    Args:
        bimt: the model that the Trainer is given, wired.
        steps: how many optimizer steps there will be; the Trainer's own number unless given.
        settings: the fields of :class:`LoopSettings`.

    Raises:
        InputError: for a value out of range.
        TypeError: for a setting that is not there.
    """

    def __init__(self, bimt: BIMT, *, steps: int | None = None, **settings: Any) -> None:
        self._bimt, self._steps, self._settings = bimt, steps, LoopSettings(**settings)
        self.attached: Attached | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Attach to the Trainer's optimizer; a resumed training has its layout back."""
        optimizer = kwargs["optimizer"]
        while hasattr(optimizer, "optimizer"):  # what accelerate wraps around it
            optimizer = optimizer.optimizer
        self.attached = Attached(self._bimt, optimizer, self._steps or state.max_steps, self._settings)
        if state.global_step:
            self.attached.load_state_dict(_of_json(state.stateful_callbacks.get(type(self).__name__)))
        self.attached.hook()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take the hooks off the optimizer."""
        if self.attached is not None:
            self.attached.remove()

    def state(self) -> dict[str, Any]:
        """What the Trainer writes into its checkpoints: the step and the layout as lists."""
        state = {} if self.attached is None else self.attached.state_dict()
        return {"args": {}, "attributes": {name: value.tolist() for name, value in state.items()}}

    @classmethod
    def from_state(cls, state: Any) -> BIMTTrainerCallback:
        """Refused: a callback cannot be made of a checkpoint alone.

        Raises:
            InputError: always.
        """
        raise InputError(
            "BIMTTrainerCallback takes its state from the checkpoint by itself when training is resumed: give the "
            "Trainer the callback again, and leave restore_callback_states_from_checkpoint False"
        )


def _of_json(saved: Any) -> dict[str, Tensor]:
    if not isinstance(saved, Mapping) or not saved.get("attributes"):
        raise InputError("the checkpoint was written without BIMTTrainerCallback: it holds no layout to go on with")
    return {name: torch.tensor(value) for name, value in saved["attributes"].items()}


class _OnLightning:
    """The hooks of a Lightning callback."""

    def __init__(self, bimt: BIMT, steps: int | None, settings: LoopSettings) -> None:
        self._bimt, self._steps, self._settings = bimt, steps, settings
        self._saved: dict[str, Tensor] | None = None
        self.attached: Attached | None = None
        self._scaled = False

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach to the module's optimizers; a resumed training has its layout back."""
        steps = self._steps if self._steps is not None else trainer.estimated_stepping_batches
        if not isinstance(steps, int):
            raise InputError(f"Lightning does not know how many steps there will be ({steps}): give steps=")
        self.attached = Attached(self._bimt, trainer.optimizers, steps, self._settings)
        if self._saved is not None:
            self.attached.load_state_dict(self._saved)
        # Without a scaler Lightning computes the gradient inside optimizer.step(closure), and calls the hook below in
        # it. With one it has the gradient before the step, which a fused optimizer still has to unscale.
        self._scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        self.attached.hook(before=self._scaled)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: torch.optim.Optimizer) -> None:
        """The penalty's gradient, where it acts by that; with a scaler the optimizer's own hook adds it."""
        if self.attached is not None and not self._scaled and optimizer is trainer.optimizers[0]:
            self.attached.before_step()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Take the hooks off the optimizers."""
        if self.attached is not None:
            self.attached.remove()

    def state_dict(self) -> dict[str, Tensor]:
        """What Lightning writes into its checkpoints: the step and the layout."""
        return {} if self.attached is None else self.attached.state_dict()

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> None:
        """Keep what a checkpoint has until training starts."""
        self._saved = state_dict or None


def lightning_callback(bimt: BIMT, *, steps: int | None = None, **settings: Any) -> Callback:
    """For Lightning's ``Trainer(callbacks=[...])``: :func:`bimt_tf.attach` on the optimizers of the LightningModule.

    Args:
        bimt: the network inside the LightningModule, wired.
        steps: how many optimizer steps there will be; Lightning's own estimate unless given.
        settings: the fields of :class:`LoopSettings`.

    Raises:
        InputError: for a value out of range, or when Lightning is not installed.
        TypeError: for a setting that is not there.
    """
    checked = LoopSettings(**settings)
    try:
        from lightning.pytorch import Callback
    except ImportError as error:
        raise InputError("Lightning is not installed: pip install 'bimt_tf[lightning]'") from error
    made: Callback = type("BIMTCallback", (_OnLightning, Callback), {})(bimt, steps, checked)
    return made
