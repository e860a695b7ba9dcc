"""Every family of causal language models that transformers can make from a config: wired, swapped, baked, or refused.

    python -m benchmarks.families                 all of them, 5 random layouts each (some minutes), as a Markdown table
    python -m benchmarks.families --only gemma    those whose name holds this; --layouts N

A config of each family is made small by the names that configs use (hidden_size, n_embd, ...). What cannot be small,
has no TransformerLens adapter, or does not run by itself is counted and not listed. "Swaps": every logit keeps all its
bits. "Baked": the largest change of a logit over random layouts, relative to the largest logit, while the check that
bake_ makes by itself is switched off. "Cost": its gradient against autograd's, relative. Where wire refuses a family,
its own advice is followed, and the row says what came of it. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from benchmarks.architectures import SINGLE, SPREAD, VOCABULARY, bakes, inputs, outputs, seeded, swaps
from bimt_tf import BIMT, Layout, wire
from bimt_tf.errors import InputError

SMALL: dict[str, Any] = dict(
    vocab_size=VOCABULARY, hidden_size=32, n_embd=32, d_model=32, num_hidden_layers=2, n_layer=2, n_layers=2,
    num_layers=2, num_attention_heads=4, n_head=4, n_heads=4, num_heads=4, attention_heads=4, encoder_layers=2,
    decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, num_key_value_heads=2, head_dim=8,
    intermediate_size=20, ffn_dim=20, encoder_ffn_dim=20, decoder_ffn_dim=20, n_inner=20, max_position_embeddings=32,
    n_positions=32, max_seq_len=32, num_local_experts=3, num_experts=3, n_routed_experts=4, num_experts_per_tok=2,
    moe_intermediate_size=12, shared_expert_intermediate_size=12, n_shared_experts=1, first_k_dense_replace=1,
    q_lora_rank=8, kv_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8, n_group=1, topk_group=1,
    embedding_size=32, word_embed_proj_dim=32, embed_dim=32, rotary_dim=4, mamba_n_heads=4, mamba_d_head=16,
    attention_types=[[["global", "local"], 1]], vocab_size_per_layer_input=VOCABULARY, hidden_size_per_layer_input=0,
    global_head_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
)  # fmt: skip
"""The names under which configs keep their sizes, and small values; a config takes those that it has."""

LIMIT, SECONDS = 3_000_000, 60
ADVICE: tuple[tuple[str, ...], ...] = ((), ("?",), ("blocks.*.attn",), ("blocks.*.attn", "?"), ("blocks.*.mlp", "?"))
"""What the refusals say to leave out, in the order in which they say it."""


class Unmade(Exception):
    """A family that cannot be tried here; the message says at which step that shows."""


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
    def moved(self) -> bool:
        """Whether an output moved further than rounding does."""
        return not self.swaps or self.change > self.tolerance

    def markdown(self) -> str:
        """One line of the table."""
        wired = "yes" if not self.refused else f"{self.refused}; leaving out {self.left_out}:"
        exact = "yes" if self.swaps else "NO"
        much = " TOO MUCH" if self.moved else ""
        return f"| {self.family} | {wired} | {exact} | {self.change:.0e}{much} | {self.cost:.0e} | {self.held} |"


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Give up after so many seconds."""

    def stop(number: int, frame: object) -> None:
        raise Unmade("takes too long")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def families() -> list[str]:
    """The types of causal language models that transformers knows."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def small_config(family: str) -> Any:
    """A config of the family with small sizes, as far as it has fields for them."""
    from transformers import AutoConfig

    try:
        default = AutoConfig.for_model(family)
        own = {name: value for name, value in SMALL.items() if takes(default, name)}
        if takes(default, "layer_types") and default.layer_types:
            own["layer_types"] = (list(dict.fromkeys(default.layer_types)) * 2)[:2]
        config = AutoConfig.for_model(family, **own)
    except Exception as error:
        raise Unmade("no small config") from error
    config._attn_implementation = "eager"
    return config


def takes(config: Any, name: str) -> bool:
    """Whether a config has a field of this name that can be given."""
    kind = getattr(type(config), name, None)
    if isinstance(kind, property) and kind.fset is None:
        return False
    try:
        return hasattr(config, name)
    except Exception:  # a field that differs by layer
        return True


def build(family: str) -> nn.Module:
    """A small bridge of the family in float64, or float32 where it does not run in float64; all parameters drawn."""
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
    from transformers import AutoModelForCausalLM

    config = small_config(family)
    try:
        with torch.device("meta"):
            size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    except Exception as error:
        raise Unmade("no small config") from error
    if size > LIMIT:
        raise Unmade("no small config")
    for dtype in (torch.float64, torch.float32):
        try:
            plain = AutoModelForCausalLM.from_config(config).to(dtype).eval()
        except Exception as error:
            raise Unmade("no small config") from error
        try:
            model = build_bridge_from_module(plain, type(plain).__name__, hf_config=config)
        except Exception as error:
            raise Unmade("no TransformerLens adapter") from error
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
    raise Unmade("does not run by itself")


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
    return line.split("; say what")[0].split(": with heads")[0].split(": keys or")[0][:150].replace("|", "/")


def held(bimt: BIMT) -> str:
    """What stays in the layout, by the last word of the population's name, and what holds it."""
    reasons: dict[str, str] = {}
    for name, why in bimt.wiring.unbaked.items():
        short_why = why.replace("the places of each head's neurons inside it", "inside heads")
        reasons.setdefault(name.rsplit(".", 1)[-1], short_why.replace("left-out parameter ", "")[:90])
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())


def rows(names: Sequence[str], layouts: int, counts: Counter[str]) -> Iterator[Row]:
    """A row for every family that can be tried; ``counts`` takes what came of the others."""
    for family in names:
        try:
            with seeded(), limited(SECONDS):
                yield tried(family, layouts)
            counts["tried"] += 1
        except Unmade as error:
            counts[str(error)] += 1


def main() -> None:
    """Print the table, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="families whose name holds this")
    parser.add_argument("--layouts", type=int, default=5, help="random layouts to bake, one after the other")
    options = parser.parse_args()
    os.environ.update(TRANSFORMERS_OFFLINE="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    torch.set_num_threads(1)
    print("| family | wired | swaps | baked | cost | stays in the layout |\n|---|---|---|---|---|---|")
    counts: Counter[str] = Counter()
    found = []
    for row in rows([name for name in families() if options.only in name], options.layouts, counts):
        found.append(row)
        print(row.markdown(), flush=True)
    whole = sum(not row.refused for row in found)
    others = ", ".join(f"{n} ({why})" for why, n in counts.items() if why != "tried")
    print(
        f"\n{len(found)} families tried: {whole} wired as they are, {len(found) - whole} by the advice of the refusal, "
        f"{sum(row.moved for row in found)} with outputs that moved. Not tried: {others or 'none'}."
    )


if __name__ == "__main__":
    main()
