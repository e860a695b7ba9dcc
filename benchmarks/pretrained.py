"""Taking weights out of a pretrained GPT-2 and Llama: elimination beside other criteria on equal terms.

    python -m benchmarks.pretrained                         the table of docs/finetune.md
    python -m benchmarks.pretrained --seed 100 --kinds llama --shares 0.5

The models are those of benchmarks/finetune.py: small byte models, trained from a seed on Python's standard library;
nothing is downloaded. What is kept is the model as it was (``--objective kl``). Four criteria (benchmarks/pruning.py)
leave the same share of the weights, each: at once; at once and refitted; and in rounds, refitted after each, with the
same number of steps in all. Every refit is the product's own: the same minibatches, optimizer and rates. Below them,
what the commands do with the budget given: ``bimt finetune --steps 0 --eliminate``, and ``bimt finetune`` followed by
``bimt eliminate``; points of their paths at the same shares. Every network's neurons are placed by the same swap, so
that wiring lengths compare. Seconds are of one core: taking out, refitting, and what the losses of rounds cost.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.finetune import run, untrained
from benchmarks.pruning import CRITERIA, Layers
from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.config.reading import make
from bimt_tf.config.settings import EliminationConfig
from bimt_tf.runs.eliminate import copied, eliminate_trained
from bimt_tf.runs.load import load_run
from bimt_tf.runs.trained import Trained
from bimt_tf.training.elimination.large_search import RATE
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.minibatch_refit import refit_
from bimt_tf.training.elimination.minibatches import Minibatches
from bimt_tf.training.elimination.objective import objective_of
from bimt_tf.training.elimination.rounds import Round, put_
from bimt_tf.training.elimination.task_loss import task_loss
from bimt_tf.training.setup import set_up

ROUNDS = 4
SHARES = {"gpt2": (0.36, 0.18), "llama": (0.59, 0.295)}
"""Where docs/finetune.md had these models before: 36% for 2.4% more bits, 59% for 3.4%; and half of that."""


class Row(NamedTuple):
    """A line of the table: the measures of a network on held-out windows; ``seconds`` of one core."""

    what: str
    weights: int
    bits: float
    divergence: float
    wire: float
    seconds: float


def opened(model: Path, options: argparse.Namespace) -> Trained:
    """The pretrained model as a run would have it before its first step."""
    data = {"model": str(model), "context": options.context, "max_text": options.max_text}
    config = make("finetune", seed=options.seed, overrides={"data": data, "training": {"steps": 0}})
    return Trained.of(set_up(config))


def measured(what: str, trained: Trained, seconds: float) -> Row:
    """A network after its neurons were placed."""
    trained.bimt.swap(starts=8, generator=torch.Generator().manual_seed(trained.config.seed))
    found, wire = trained.evaluate(), wiring_length(trained.bimt).mean
    return Row(what, trained.nonzero_weights, found["bits_per_byte"], found["loss"], wire, seconds)


def layers_of(trained: Trained) -> Layers:
    """What the criteria take."""
    examples = Examples(*trained.data.train[:2])
    with torch.no_grad():
        outputs = trained.model(examples.inputs[:2])
    objective = objective_of(task_loss(trained.task, trained.config.data), outputs, examples.targets[:2])
    held = trained.bimt.parameters
    parameters: Any = {wired.parameter: held[wired.parameter] for wired in trained.bimt.wiring.wired}
    batches = Minibatches.of(trained.model, parameters, objective, examples)
    return Layers(trained.bimt, batches, {c.parameter: c for c in trained.bimt.wiring.connections})


def pruned(dense: Trained, name: str, share: float, rounds: int, steps: int) -> Row:
    """One criterion down to ``share``, in rounds of an equal factor each, ``steps`` of refit over all of them."""
    trained = copied(dense)
    layers, begun = layers_of(trained), time.process_time()
    for number in range(1, rounds + 1):
        generator = torch.Generator().manual_seed(1_000 * number)
        CRITERIA[name](layers, share ** (number / rounds), generator)
        if steps:
            refit_(layers.batches, steps // rounds, RATE, generator, lambda: False)
    how = "at once" if rounds == 1 else f"{rounds} rounds"
    what = f"{name}, {how}" + (f", {steps} steps" if steps else "")
    return measured(what, trained, time.process_time() - begun)


def eliminated(
    trained: Trained, what: str, settings: EliminationConfig, shares: Sequence[float], show: Callable[[Row], None]
) -> None:
    """Show the points of an elimination that come next below each share, as they come, and its end."""
    scratch, begun = copied(trained), time.process_time()
    total = sum(c.numel for c in trained.bimt.wiring.connections)
    waiting, last, measuring = sorted(shares, reverse=True), list[Row](), 0.0

    def on_round(one: Round) -> None:
        nonlocal measuring
        before = time.process_time()
        put_(scratch.bimt, one.state)
        last[:] = [measured(f"{what}, its end", scratch, before - begun - measuring)]
        while waiting and one.weights <= waiting[0] * total:
            show(last[0]._replace(what=f"{what}, first below {waiting.pop(0):.1%}"))
        measuring += time.process_time() - before

    eliminate_trained(trained, settings, on_round=on_round)
    show(last[0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one Markdown row a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the models, their training and the batches")
    parser.add_argument("--kinds", default="gpt2,llama")
    parser.add_argument("--shares", help="of the weights that are left [0.36,0.18 of gpt2, 0.59,0.295 of llama]")
    parser.add_argument("--steps", type=int, default=1_000, help="of the trainings")
    parser.add_argument("--refit-steps", type=int, default=400, help="of the refits of one network, in all")
    parser.add_argument("--max-loss", type=float, default=0.03, help="nats of divergence: the commands' budget")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--max-text", type=int, default=300_000, help="bytes of the standard library")
    parser.add_argument("--parts", default="criteria,dense,finetuned", help="which of the rows")
    parser.add_argument("--keep", type=Path, help="where the runs are; those that are there are used [temporary]")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    print("| model | weights taken out by | weights | bits/byte | increase | KL (nats) | mean wire | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        for kind in options.kinds.split(","):
            shares = tuple(map(float, options.shares.split(","))) if options.shares else SHARES[kind]
            compare(kind, shares, (options.keep or Path(temporary)) / kind, options)


def compare(kind: str, shares: Sequence[float], folder: Path, options: argparse.Namespace) -> None:
    """All rows of one model."""
    trained = folder / "trained"
    if not (trained / "summary.json").exists():
        start = untrained(kind, options.width, options.layers, options.context, folder / "untrained", options.seed)
        run(start, trained, "vanilla", "lm", options)
    dense, parts = opened(trained / "huggingface", options), options.parts.split(",")
    first = measured("none", copied(dense), 0.0)
    total = first.weights

    def show(row: Row) -> None:
        print(
            f"| {kind} | {row.what} | {row.weights:,} ({row.weights / total:.1%}) | {row.bits:.3f} | "
            f"{row.bits / first.bits - 1:+.1%} | {row.divergence:.4f} | {row.wire:.3f} | {row.seconds:.0f} |",
            flush=True,
        )

    show(first)
    for share in shares if "criteria" in parts else ():
        for name in CRITERIA:
            for rounds, steps in ((1, 0), (1, options.refit_steps), (ROUNDS, options.refit_steps)):
                show(pruned(dense, name, share, rounds, steps))
    budget = EliminationConfig(max_loss=options.max_loss, fit_examples=500)
    if "dense" in parts:
        eliminated(copied(dense), "bimt eliminate", budget, shares, show)
    if "finetuned" in parts:
        tuned = folder / "bimt-1"
        if not (tuned / "summary.json").exists():
            run(trained / "huggingface", tuned, "bimt", "kl", options)
        eliminated(load_run(tuned), "bimt finetune, eliminate", budget, shares, show)


if __name__ == "__main__":
    main()
