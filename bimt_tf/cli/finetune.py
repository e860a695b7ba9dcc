"""``bimt finetune``: a pretrained language model, made sparse and local on a text, and given back to transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bimt_tf.cli.options import config_options, overrides_of
from bimt_tf.config import reading

__all__ = ["finetune"]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="run directory [runs/finetune-METHOD-seedN]")
@click.option("--overwrite", is_flag=True, help="replace the run in --out")
@click.option("--seed", type=int, default=0, show_default=True, help="of the batches")
@click.option("--method", default="bimt", show_default=True, help="vanilla, l1, l1-local, l1-swap or bimt")
@click.option("--log", "loggers", multiple=True, help="also log to tensorboard or wandb (repeatable)")
def finetune(out: Path | None, overwrite: bool, seed: int, method: str, loggers: Sequence[str], **given: Any) -> None:
    """Go on training a pretrained language model with a connection cost.

    Writes a run directory; huggingface/ in it is a directory that transformers loads on its own. bimt resume goes
    on with an interrupted run. Values in brackets are defaults.
    """
    for path in ("model", "text"):  # a run is resumed from anywhere
        if given[path] is not None and Path(given[path]).expanduser().exists():
            given[path] = str(Path(given[path]).expanduser().resolve())
    config = reading.make("finetune", method=method, seed=seed, overrides=overrides_of("finetune", given))
    from bimt_tf.cli.console.reports import print_summary
    from bimt_tf.cli.console.run_watch import watcher
    from bimt_tf.runs.execute import free_directory, train_run

    out = out if out is not None else free_directory(config)
    with watcher() as shown:
        summary = train_run(config, out, overwrite=overwrite, loggers=loggers, watcher=shown)
    print_summary(out, summary)


config_options(finetune, ("finetune",))
