"""What fine-tuning leaves besides a run's usual files: the model as plain transformers loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bimt_tf.adapters.hugging_face import plain_model
from bimt_tf.models.pretrained import quiet, tokenizer
from bimt_tf.runs.atomic import replacing_directory
from bimt_tf.runs.trained import Trained

__all__ = ["PLAIN", "save_plain"]

PLAIN = "huggingface"


def save_plain(trained: Trained, run: Path) -> Path:
    """Write the trained model, and the tokenizer it came with, into RUN/huggingface; the directory appears whole.

    Neurons stay in their own order, as in RUN/model.safetensors; layout.json says where they stand.

    Raises:
        CannotWrite: if it cannot be written.
    """
    folder = run / PLAIN
    model: Any = plain_model(trained.model)
    words = tokenizer(trained.config.data.model)
    with replacing_directory(folder) as unfinished, quiet():
        for part in (model, words) if words is not None else (model,):
            part.save_pretrained(unfinished)
    return folder
