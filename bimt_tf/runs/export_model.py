"""What fine-tuning leaves besides a run's usual files: the model as plain transformers loads it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bimt_tf.adapters import plain_model
from bimt_tf.errors import InputError
from bimt_tf.models.pretrained import quiet, tokenizer
from bimt_tf.training.trainer import Trainer

__all__ = ["PLAIN", "save_plain"]

PLAIN = "huggingface"


def save_plain(trainer: Trainer, run: Path) -> Path:
    """Write the trained model, and the tokenizer it came with, into RUN/huggingface; the directory appears whole.

    Neurons stay in their own order, as in RUN/model.safetensors; layout.json says where they stand.
    """
    folder, temporary = run / PLAIN, run / f".{PLAIN}.tmp"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        model: Any = plain_model(trainer.model)
        words = tokenizer(trainer.config.data.model)
        with quiet():
            for part in (model, words) if words is not None else (model,):
                part.save_pretrained(temporary)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error
    return folder
