"""Language: the next character or byte of a text, by a small transformer (the paper's open question of Section 5).

``bimt train lm --text FILE``; without it, the source of the installed Python standard library. The tail of the text is
held out; what is reported is the cross-entropy there, in nats (``loss``) and in bits per character or byte.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bimt_tf.tasks.base import Data, Split
from bimt_tf.tasks.kinds import Classification
from bimt_tf.tasks.text import STDLIB, Corpus, corpus, require_text_options, spaced, windows
from bimt_tf.tasks.transformers import TokenTransformerOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["LM", "LMOptions", "LanguageModel", "LanguageModelOptions", "Language"]


@dataclass(frozen=True)
class LMOptions:
    """The text, and how it is cut."""

    text: str = STDLIB
    """a text file, or python-stdlib: the source of the installed Python standard library"""
    tokens: Literal["characters", "bytes"] = "characters"
    """what is predicted: characters of UTF-8 text, or bytes of any file"""
    max_text: int = 1_000_000
    """characters or bytes read from the start of the text; 0 for all"""
    context: int = 128
    """tokens of an example"""
    train_share: float = 0.9
    """share of the examples that is trained on"""
    test_windows: int = 64
    """held-out windows that are measured, evenly spaced over the held-out tail"""

    def __post_init__(self) -> None:
        require_text_options(self.context, self.train_share, self.max_text, self.test_windows)


@dataclass(frozen=True)
class LanguageModelOptions(TokenTransformerOptions):
    """The sizes of a language model; vocabulary and context follow from the text."""

    n_layers: int = 2
    """transformer blocks"""
    act_fn: str = "gelu_new"
    """activation: gelu_new, gelu, relu or silu"""


@dataclass(frozen=True)
class Language(Classification):
    """Next-token prediction at every position of a window."""

    def unit(self, options: Any) -> str:
        """What a token stands for: character, byte or token."""
        raise NotImplementedError

    def compared(self, options: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and true next tokens of all positions, end to end."""
        return outputs.flatten(0, -2), targets.flatten()

    def metrics(self, options: Any, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """``loss`` (nats), ``accuracy`` of the likeliest token, ``bits_per_character`` (or byte, or token)."""
        found = super().metrics(options, outputs, targets)
        return {**found, f"bits_per_{self.unit(options)}": found["loss"] / math.log(2)}

    def measure(self, options: Any, model: nn.Module, examples: Data) -> dict[str, float]:
        """The metrics on at most ``test_windows`` windows, evenly spaced."""
        chosen = spaced(len(examples.inputs), options.test_windows).to(examples.inputs.device)
        return super().measure(options, model, Data(examples.inputs[chosen], examples.targets[chosen], {}))

    def labels(self, options: Any) -> Mapping[str, list[str]]:
        """No labels, since a vocabulary is no population of neurons."""
        return {}


@dataclass(frozen=True)
class LanguageModel(Language):
    """A transformer trained from scratch."""

    Options: type[LMOptions] = LMOptions
    Model: type[LanguageModelOptions] = LanguageModelOptions

    def unit(self, options: LMOptions) -> str:
        """Character or byte."""
        return options.tokens.removesuffix("s")

    def data(self, options: LMOptions, seed: int, dtype: torch.dtype) -> Split:
        """The text's windows; the seed draws batches, and the text is the same for all.

        Raises:
            InputError: for a text that cannot be read, is empty, not UTF-8 or too short.
        """
        found = windows(_corpus(options), options.text, options.context, options.train_share, options.test_windows)
        return Split(*(Data(each[:, :-1], each[:, 1:], {}) for each in found))

    def model(self, model: LanguageModelOptions, options: LMOptions, seed: int, dtype: torch.dtype) -> nn.Module:
        """The untrained transformer."""
        return model.build(len(_corpus(options).names), options.context, seed, dtype)

    def classes(self, options: LMOptions) -> list[str]:
        """The characters or bytes."""
        return list(_corpus(options).names)


def _corpus(options: LMOptions) -> Corpus:
    return corpus(options.text, options.tokens, options.max_text)


LM = LanguageModel(
    "lm",
    "the next character of a text, Python's standard library unless --text is given",
    {
        "best": {
            "training": {
                "steps": 5_000,
                "batch_size": 16,
                "lr": 2e-3,
                "finish_lr": 2e-3,
                "lam": ((0.0, 0.05), (0.2, 0.5)),
                "finish": 0.3,
                "cut": 1e-3,
                "compile": "no",
            }
        }
    },
)
