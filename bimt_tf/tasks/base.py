"""What a task is: its data, its default model, its loss and metrics, and what its inputs and outputs are called.

No torch at import: ``bimt --help`` reads the options of every task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Data", "Presets", "Probe", "Split", "Task"]

Presets = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Preset -> config section -> key -> value."""


class Data(NamedTuple):
    """Examples: ``inputs`` [n, ...], ``targets`` [n, ...], and ``latents`` name -> [n], what a probe may look for."""

    inputs: Tensor
    targets: Tensor
    latents: Mapping[str, Tensor]


class Split(NamedTuple):
    """Training and held-out examples."""

    train: Data
    test: Data


class Probe(NamedTuple):
    """What the task's first look probes: ``target`` (a latent) at ``position`` of ``hook``."""

    hook: str
    target: str
    position: int | None


@dataclass(frozen=True)
class Task(ABC):
    """One supervised job. ``Options`` is the dataclass of its data, ``Model`` that of its model's sizes.

    ``presets`` maps a preset's name to the config values in which it differs from the defaults, by section;
    the first preset is the default one. ``kind`` says what :meth:`reported` gives: numbers, or classes.
    """

    kind: ClassVar[Literal["regression", "classification"]] = "regression"
    pretrained: ClassVar[bool] = False
    """whether the model is one of Hugging Face's, which a run then gives back as such"""

    name: str
    summary: str
    presets: Presets
    Options: type[Any]
    Model: type[Any]

    @abstractmethod
    def data(self, options: Any, seed: int, dtype: torch.dtype) -> Split:
        """Draw the examples; the same seed gives the same examples."""

    @abstractmethod
    def model(self, model: Any, options: Any, seed: int, dtype: torch.dtype) -> nn.Module:
        """The untrained model."""

    @abstractmethod
    def loss(self, options: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss, a scalar."""

    @abstractmethod
    def metrics(self, options: Any, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """The reported figures; ``loss`` is among them, and ``accuracy`` where classes are predicted."""

    @abstractmethod
    def reported(self, options: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(true, predicted) numbers or classes [n] behind the reported figures, to be drawn."""

    @abstractmethod
    def labels(self, options: Any) -> Mapping[str, list[str]]:
        """Population -> what its neurons are called; ``input`` and ``output`` if anything."""

    def classes(self, options: Any) -> list[str]:
        """What the classes of a classification are called, by number; the output's neurons unless the task says."""
        return self.labels(options)["output"]

    def measure(self, options: Any, model: nn.Module, examples: Data) -> dict[str, float]:
        """The metrics of a model on examples, called without gradients; a task may choose among many examples."""
        return self.metrics(options, model(examples.inputs), examples.targets)

    def probes(self, options: Any) -> tuple[Probe, ...]:
        """What the first look probes; nothing unless the task says."""
        return ()
