"""Every family that transformers and TransformerLens offer: wired, swapped, baked, or refused.

    python -m benchmarks.families                 all of them, 5 random layouts each (some minutes), as a Markdown table
    python -m benchmarks.families --only gemma    those whose name holds this; --layouts N
    python -m benchmarks.families --write         all of them, written into docs/architectures.md between its markers

The families are all types of causal language models of transformers, and all classes that TransformerLens has an
adapter for. A config of each is made small by the names that configs use (hidden_size, n_embd, ...); nothing is
downloaded, and each family is tried in a process of its own. "Swaps": every output keeps all its bits. "Baked": the
largest change of an output over random layouts, relative to the largest, while the check that bake_ makes by itself is
switched off. "Cost": its gradient against autograd's, relative. Where wire refuses a family, its own advice is
followed, and the row says what came of it. Without an adapter wire is asked about transformers' own model.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from torch import nn

from benchmarks.architectures import SINGLE, SPREAD, Architecture, _native, bakes, inputs, outputs, seeded, swaps
from benchmarks.architectures import build as architecture_of
from benchmarks.small_configs import Unmade, families, small_config
from bimt_tf import BIMT, Layout, wire
from bimt_tf.errors import InputError

LIMIT, SECONDS = 3_000_000, 90
PAGE = Path(__file__).resolve().parents[1] / "docs" / "architectures.md"
MARKERS = ("<!-- families: written by python -m benchmarks.families --write -->", "<!-- families: end -->")
NATIVE = Architecture("TransformerLensNative", _native())
ADVICE: tuple[tuple[str, ...], ...] = ((), ("?",), ("blocks.*.attn",), ("blocks.*.attn", "?"), ("blocks.*.mlp", "?"))
"""What the refusals say to leave out, in the order in which they say it."""


class Row(NamedTuple):
    """What came of one family; ``refused``: why, where wire refused the whole of it."""

    family: str
    refused: str
    left_out: str
    swaps: bool
    change: float
    cost: float
    held: str
    tolerance: float

    @property
    def wired(self) -> str:
        """How: "as it is", "by the advice of the refusal" or "refused"."""
        return ("by the advice of the refusal" if self.left_out else "refused") if self.refused else "as it is"

    @property
    def moved(self) -> bool:
        """Whether an output moved further than rounding does."""
        return not self.swaps or self.change > self.tolerance

    def markdown(self) -> str:
        """One line of the table."""
        if self.wired == "refused":
            return f"| {self.family} | no: {self.refused} | | | | |"
        wired = "yes" if not self.refused else f"{self.refused}; leaving out {self.left_out}:"
        exact = "yes" if self.swaps else "NO"
        much = " TOO MUCH" if self.moved else ""
        return f"| {self.family} | {wired} | {exact} | {self.change:.0e}{much} | {self.cost:.0e} | {self.held} |"


def build(family: str) -> nn.Module:
    """A small bridge of the family in float64, or float32 where it does not run in float64; all parameters drawn.

    transformers' own model where there is no adapter.
    """
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
    from transformer_lens.model_bridge.architecture_adapter import ArchitectureAdapter
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    if family == NATIVE.name:
        return architecture_of(NATIVE)
    kind, config = small_config(family)
    architecture = family if family in SUPPORTED_ARCHITECTURES else kind.__name__
    try:
        with torch.device("meta"):
            size = sum(p.numel() for p in kind(config).parameters())
    except ImportError as error:
        raise Unmade("library") from error
    except Exception as error:
        raise Unmade("backbone" if "assistant" in family else "config") from error
    if size > LIMIT:
        raise Unmade("size")
    for dtype in (torch.float64, torch.float32):
        plain = kind(config).to(dtype).eval()
        if architecture not in SUPPORTED_ARCHITECTURES:
            return plain
        try:
            with mock.patch.object(ArchitectureAdapter, "_check_required_libraries"):  # they read images
                model = build_bridge_from_module(plain, architecture, hf_config=config)
        except Exception as error:
            raise Unmade("adapter") from error
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=SPREAD)
        try:
            found = outputs(model.eval(), inputs(model))
            again = outputs(model, inputs(model))
            if bool(found.isfinite().all()) and torch.equal(found, again):
                return model
        except Exception:  # the next dtype, or none
            continue
    raise Unmade("run")


def cost_gradient(model: nn.Module, bimt: BIMT) -> float:
    """The largest relative difference of the cost's gradient by hand and by autograd."""
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    model.zero_grad()
    bimt.add_cost_grad_(1.0)
    by_hand = {name: p.grad.clone() for name, p in bimt.parameters.items() if p.grad is not None}
    model.zero_grad()
    bimt.cost().backward()
    worst = 0.0
    for name, p in bimt.parameters.items():
        if p.grad is not None:
            size = float(p.grad.abs().max())
            worst = max(worst, float((p.grad - by_hand[name]).abs().max()) / max(size, 1e-30))
    model.zero_grad()
    return worst


def tried(family: str, layouts: int) -> Row:
    """One family: wired as it is, or as the refusals advise."""
    model, refused = build(family), ""
    for left_out in ADVICE:
        try:
            bimt = BIMT(model, wiring=wire(model, left_out=left_out))
        except InputError as error:
            refused = refused or short(str(error))
            continue
        exact = swaps(model, bimt) if bimt.wiring.connections else True
        cost = cost_gradient(model, bimt)
        found = bakes(model, bimt, layouts)
        single = next(model.parameters()).dtype == torch.float32
        tolerance = 20 * SINGLE if single else 4 * SINGLE
        what = ", ".join(f"'{name}'" for name in left_out)
        return Row(family, refused, what, exact, found.change / found.logit, cost, held(bimt), tolerance)
    return Row(family, refused, "", True, 0.0, 0.0, "refused altogether", SINGLE)


def short(line: str) -> str:
    """The beginning of a refusal, for a cell of the table."""
    line = (
        line.split("; say what")[0]
        .split(": with heads")[0]
        .split(": keys or")[0]
        .split("; put Trans")[0]
        .split("; wire it")[0]
    )
    line = re.sub(r" of the model: .*?\(", " (", line) if "not wired)" in line else line
    return line.split("; pass a part")[0][:220].replace("|", "/")


def held(bimt: BIMT) -> str:
    """What stays in the layout, by the last word of the population's name, and what holds it."""
    reasons: dict[str, list[str]] = {}
    said: set[str] = set()
    for name, why in bimt.wiring.unbaked.items():
        population = name.rsplit(".", 1)[-1]
        if population not in said:
            why = why.replace("the places of each head's neurons inside it", "inside heads")
            reasons.setdefault(why.replace("left-out parameter ", "")[:90], []).append(population)
            said.add(population)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in reasons.items())


class Untried(NamedTuple):
    """A family that was not tried, and at which step that showed."""

    family: str
    why: str


def apart(family: str, layouts: int) -> Row | Untried:
    """What comes of a family in a process of its own."""
    context = multiprocessing.get_context("fork")
    results: Any = context.Queue()

    def work() -> None:
        try:
            with seeded():
                results.put(tried(family, layouts))
        except Unmade as error:
            results.put(Untried(family, str(error)))
        except Exception as error:
            results.put(Untried(family, f"fails with {type(error).__name__}"))

    process = context.Process(target=work)
    process.start()
    try:
        found: Row | Untried = results.get(timeout=SECONDS)
    except queue.Empty:
        found = Untried(family, "takes too long" if process.is_alive() else "ends its process")
    process.kill()
    process.join()
    return found


def page(results: Sequence[Row | Untried]) -> Iterator[str]:
    """The counts, the table, and the names of what stands in no row, as lines of Markdown."""
    found = [one for one in results if isinstance(one, Row)]
    bare = [row for row in found if row.wired == "refused"]
    whole, advised = (sum(row.wired == how for row in found) for how in ("as it is", "by the advice of the refusal"))
    yield (
        f"{len(results)} families: {whole} wired as they are; {len(found) - whole} refused, of which {advised} are "
        f"wired by the advice of the refusal; {len(results) - len(found)} not tried. "
        f"{sum(row.moved for row in found)} with outputs that moved."
    )
    yield "\n| family | wired | swaps | baked | cost | stays in the layout |\n|---|---|---|---|---|---|"
    yield from (row.markdown() for row in found if row not in bare)
    if bare:
        yield f"\nRefused altogether, as wire said of a small model of each ({len(bare)}):\n"
        yield from _by_reason({row.family: re.sub(r" knows a \w+", "", row.refused) for row in bare})
    missing = [one for one in results if isinstance(one, Untried)]
    if missing:
        yield f"\nNot tried ({len(missing)}):\n"
        yield from _by_reason({one.family: one.why for one in missing})


def _by_reason(reasons: dict[str, str]) -> Iterator[str]:
    """A line for each reason, with the families that it holds for."""
    for why in sorted(set(reasons.values())):
        yield f"- {why}: " + ", ".join(family for family, own in reasons.items() if own == why)


def main() -> None:
    """Print the table and the counts, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="families whose name holds this")
    parser.add_argument("--layouts", type=int, default=5, help="random layouts to bake, one after the other")
    parser.add_argument("--write", action="store_true", help="write into docs/architectures.md")
    options = parser.parse_args()
    os.environ.update(TRANSFORMERS_OFFLINE="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    torch.set_num_threads(1)
    text = "\n".join(page([apart(name, options.layouts) for name in families() if options.only in name]))
    if options.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKERS[0])
        after = rest.partition(MARKERS[1])[2]
        PAGE.write_text(f"{before}{MARKERS[0]}\n\n{text}\n\n{MARKERS[1]}{after}", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
