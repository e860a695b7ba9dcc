"""Fine-tuning a pretrained language model (``bimt finetune``): the paper's open question, whether BIMT can open one up.

A text's windows are examples. The loss is the divergence from the model as it was, KL(before || now), which asks the
sparse network to compute the same function; or the next token's cross-entropy (``--objective lm``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, ClassVar, Literal

from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data, Fitted, Split
from bimt_tf.tasks.lm import Language
from bimt_tf.tasks.text import BYTES, STDLIB, Corpus, as_bytes, as_text, require_text_options, windows

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["FINETUNE", "FinetuneOptions", "FinetuneTask", "PretrainedOptions"]


DIVERGENCE = 0.02
"""Nats a token up to which an elimination goes that is given no budget: 1.05 times nothing would be nothing."""


@dataclass(frozen=True)
class FinetuneOptions:
    """The model to start from, the text, and what is asked of the model on it."""

    model: str = ""
    """directory that save_pretrained wrote, or a name on the Hugging Face hub"""
    text: str = STDLIB
    """a text file, or python-stdlib: the source of the installed Python standard library"""
    objective: Literal["kl", "lm"] = "kl"
    """loss: divergence from the model as it was (kl), or cross-entropy of the next token (lm)"""
    max_text: int = 1_000_000
    """characters or bytes read from the start of the text; 0 for all"""
    context: int = 128
    """tokens of an example"""
    train_share: float = 0.9
    """share of the examples that is trained on"""
    test_windows: int = 64
    """held-out windows that are measured, evenly spaced over the held-out tail"""

    def __post_init__(self) -> None:
        if not self.model:
            raise InputError("finetune needs --model: a directory that save_pretrained wrote, or a name on the hub")
        require_text_options(self.context, self.train_share, self.max_text, self.test_windows)


@dataclass(frozen=True)
class PretrainedOptions:
    """No options, since a pretrained model has its sizes."""


@dataclass(frozen=True)
class FinetuneTask(Language):
    """A pretrained model on a text. A target is a whole window [context + 1], from which both losses are made."""

    pretrained: ClassVar[bool] = True

    Options: type[FinetuneOptions] = FinetuneOptions
    Model: type[PretrainedOptions] = PretrainedOptions

    def unit(self, options: FinetuneOptions) -> str:
        """Byte, or token of the model's tokenizer."""
        return _read(options.model, options.text, options.max_text).unit

    def data(self, options: FinetuneOptions, seed: int, dtype: torch.dtype) -> Split:
        """The text's windows; the seed draws batches.

        Raises:
            InputError: for a text or a model that cannot be read, or that do not go together.
        """
        n_ctx = _sizes(options.model)[1]
        if options.context > n_ctx:
            raise InputError(f"context is {options.context}, but {options.model} reads {n_ctx} tokens at most")
        found = _read(options.model, options.text, options.max_text)
        cut = windows(found, options.text, options.context, options.train_share, options.test_windows)
        return Split(*(Data(each[:, :-1], each, {}) for each in cut))

    def model(self, model: PretrainedOptions, options: FinetuneOptions, seed: int, dtype: torch.dtype) -> nn.Module:
        """The pretrained model as it is."""
        from bimt_tf.models.pretrained import pretrained

        return pretrained(options.model, dtype)

    def compared(self, options: FinetuneOptions, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and true next tokens of all positions, end to end."""
        return super().compared(options, outputs, targets[:, 1:])

    def loss(self, options: FinetuneOptions, outputs: Tensor, targets: Tensor) -> Tensor:
        """The objective, a mean over all positions, in nats."""
        if options.objective == "lm":
            return super().loss(options, outputs, targets)
        return _divergence(options, outputs, targets)

    def fitted(self, options: FinetuneOptions) -> Fitted:
        """The logits, and the true next tokens or the model's log-probabilities as it was."""
        if options.objective == "lm":
            return super().fitted(options)
        return Fitted("divergence", partial(_read_divergence, options))

    def largest_loss(self, options: FinetuneOptions) -> float | None:
        """A divergence of :data:`DIVERGENCE`."""
        return DIVERGENCE if options.objective == "kl" else None

    def metrics(self, options: FinetuneOptions, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """``loss`` is the objective; bits and accuracy of the next token in either case."""
        of_next_token = super().metrics(replace(options, objective="lm"), outputs, targets)
        if options.objective == "lm":
            return of_next_token
        return {**of_next_token, "loss": float(_divergence(options, outputs, targets))}

    def classes(self, options: FinetuneOptions) -> list[str]:
        """The tokens."""
        return list(_read(options.model, options.text, options.max_text).names)


def _divergence(options: FinetuneOptions, outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over positions of KL(model as it was || model now)."""
    _, wanted = _read_divergence(options, outputs, targets)
    return (wanted.exp() * (wanted - outputs.log_softmax(-1))).sum(-1).mean()


def _read_divergence(options: FinetuneOptions, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The logits, and the log-probabilities of the model as it was, [batch, positions, vocabulary] each."""
    import torch

    before = _original(options.model, outputs.dtype, outputs.device)
    with torch.no_grad():
        return outputs, before(targets[:, :-1]).log_softmax(-1)


@lru_cache(maxsize=1)
def _original(name: str, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The model as it was, kept while it is asked for."""
    from bimt_tf.models.pretrained import pretrained

    model = pretrained(name, dtype).requires_grad_(False)
    return model if device.type == "cpu" else model.to(device)


@lru_cache(maxsize=1)
def _sizes(name: str) -> tuple[int, int]:
    """(vocabulary, longest context) by a model's config."""
    from bimt_tf.models.pretrained import sizes

    return sizes(name)


@lru_cache(maxsize=1)
def _read(name: str, text: str, most: int) -> Corpus:
    """The text in the model's tokens: its tokenizer's, or bytes for a vocabulary of 256.

    Raises:
        InputError: for a text that cannot be read, or a vocabulary that does not match.
    """
    import torch

    from bimt_tf.models.pretrained import tokenizer

    vocabulary = _sizes(name)[0]
    words = tokenizer(name)
    if words is None:
        if vocabulary != BYTES:
            raise InputError(
                f"{name} has no tokenizer and a vocabulary of {vocabulary}: without one a text is read as bytes, "
                f"which needs {BYTES}; save its tokenizer beside it"
            )
        return as_bytes(text, most)
    numbers = words(as_text(text, most), add_special_tokens=False, verbose=False)["input_ids"]
    found = torch.tensor(numbers, dtype=torch.int64)
    if len(found) and int(found.max()) >= vocabulary:
        raise InputError(
            f"the tokenizer of {name} gives token {int(found.max())}, but the model's vocabulary is {vocabulary}: they "
            "do not belong together"
        )
    names = words.convert_ids_to_tokens(list(range(min(vocabulary, len(words)))))
    return Corpus(found, (*names, *("unused" for _ in range(vocabulary - len(names)))), "token")


FINETUNE = FinetuneTask(
    "finetune",
    "a pretrained language model, made sparse and local on a text",
    {
        "best": {
            "training": {
                "steps": 2_000,
                "batch_size": 8,
                "lr": 5e-4,
                "finish_lr": 5e-4,
                "lam": ((0.0, 0.1), (0.2, 1.0)),
                "finish": 0.3,
                "cut": 1e-3,
                "active": 1e-3,
                "log_every": 50,
                "checkpoint_every": 500,
                "compile": "no",
            }
        }
    },
)
