"""Which models are wired, swap and bake: one row an architecture, as a Markdown table (docs/architectures.md).

    python -m benchmarks.architectures                  all of them, 50 random layouts each (a minute)
    python -m benchmarks.architectures --only gpt2      those whose name holds this; --layouts N

Small models with random weights (2 blocks, 32 wide), made from configs: nothing is downloaded. In float64 a layout is
drawn, baked, and the logits are compared with those before the first; then the next one is drawn for the baked model.
Hugging Face models are also given back as plain ones, saved, loaded by transformers alone, and compared.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.other_models import BART, T5, VIT, VOCABULARY, convolutions, of_class
from bimt_tf import BIMT, MLP, Layout, RegressionTransformer, wire
from bimt_tf.adapters.hugging_face import plain_model
from bimt_tf.errors import InputError
from bimt_tf.models.pretrained import quiet

TOKENS, WAVE, SPREAD = 7, 800, 0.2
EXACT, SINGLE = 1e-9, 1e-6
"""Relative tolerances: of float64, and of architectures that compute a norm, attention or rotation in float32."""


class Architecture(NamedTuple):
    """``make`` builds a small float64 model; ``tolerance`` is what rounding may do to its logits, relatively."""

    name: str
    make: Callable[[], nn.Module]
    tolerance: float = EXACT


def _native(**settings: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from transformer_lens.config import TransformerBridgeConfig
        from transformer_lens.model_bridge import TransformerBridge

        sizes: dict[str, Any] = dict(
            n_layers=2, d_model=32, n_heads=4, d_head=8, d_mlp=20, n_ctx=16, d_vocab=VOCABULARY
        )
        given = sizes | dict(act_fn="gelu_new", normalization_type="LN", seed=0) | settings
        return TransformerBridge.boot_native(TransformerBridgeConfig(**given), dtype=torch.float64)

    return make


def _hugging_face(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import transformers
        from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

        config = getattr(transformers, f"{name}Config")(**settings)
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config).double().eval()
        return build_bridge_from_module(model, type(model).__name__, hf_config=config)

    return make


_LLAMA = dict(
    vocab_size=VOCABULARY, max_position_embeddings=32, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=20,
)  # fmt: skip
_GPT = dict(vocab_size=VOCABULARY, n_positions=16, n_embd=32, n_layer=2, n_head=4)
_GROUPED = dict(num_key_value_heads=2)

ARCHITECTURES = (
    Architecture("RegressionTransformer", lambda: RegressionTransformer(d_model=12, n_heads=3, dtype=torch.float64)),
    Architecture("MLP", lambda: MLP([3, 9, 8, 2], dtype=torch.float64)),
    Architecture("native LN", _native()),
    Architecture("native no norm", _native(normalization_type=None)),
    Architecture("native LNPre", _native(normalization_type="LNPre")),
    Architecture("native RMS", _native(normalization_type="RMS"), SINGLE),
    Architecture("native RMSPre", _native(normalization_type="RMSPre")),
    Architecture("native rotary", _native(positional_embedding_type="rotary")),
    Architecture("native partial rotary", _native(positional_embedding_type="rotary", rotary_dim=4)),
    Architecture("native grouped-query", _native(n_key_value_heads=2)),
    Architecture("native grouped-query rotary", _native(n_key_value_heads=2, positional_embedding_type="rotary")),
    Architecture("native gated MLP", _native(gated_mlp=True, act_fn="silu")),
    Architecture("native attention only", _native(attn_only=True)),
    Architecture("native SoLU LN", _native(act_fn="solu_ln")),
    Architecture("GPT-2", _hugging_face("GPT2", **_GPT)),
    Architecture("GPT-2 untied", _hugging_face("GPT2", **_GPT, tie_word_embeddings=False)),
    Architecture("Llama", _hugging_face("Llama", **_LLAMA, **_GROUPED), SINGLE),
    Architecture("Llama tied", _hugging_face("Llama", **_LLAMA, **_GROUPED, tie_word_embeddings=True), SINGLE),
    Architecture("Mistral", _hugging_face("Mistral", **_LLAMA, **_GROUPED), SINGLE),
    Architecture("Qwen2", _hugging_face("Qwen2", **_LLAMA, **_GROUPED), SINGLE),
    Architecture("Qwen3", _hugging_face("Qwen3", **_LLAMA, **_GROUPED, head_dim=8), SINGLE),
    Architecture("GPT-NeoX / Pythia", _hugging_face("GPTNeoX", **_LLAMA)),
    Architecture("GPT-NeoX sequential", _hugging_face("GPTNeoX", **_LLAMA, use_parallel_residual=False)),
    Architecture(
        "OPT",
        _hugging_face(
            "OPT", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=20,
            max_position_embeddings=32, word_embed_proj_dim=32,
        ),
    ),
    Architecture("Gemma", _hugging_face("Gemma", **_LLAMA, **_GROUPED, head_dim=8), SINGLE),
    Architecture("Gemma 2", _hugging_face("Gemma2", **_LLAMA, **_GROUPED, head_dim=8), SINGLE),
    Architecture("Gemma 3", _hugging_face("Gemma3Text", **_LLAMA, **_GROUPED, head_dim=8), SINGLE),
    Architecture("Phi", _hugging_face("Phi", **_LLAMA)),
    Architecture("Phi-3", _hugging_face("Phi3", **_LLAMA, **_GROUPED, pad_token_id=0), SINGLE),
    Architecture("GPT-J", _hugging_face("GPTJ", **_GPT, rotary_dim=4), SINGLE),
    Architecture(
        "GPT-Neo",
        _hugging_face(
            "GPTNeo", vocab_size=VOCABULARY, max_position_embeddings=16, hidden_size=32, num_layers=2, num_heads=4,
            intermediate_size=20, attention_types=[[["global", "local"], 1]],
        ),
        SINGLE,
    ),
    Architecture("BLOOM", _hugging_face("Bloom", vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4)),
    Architecture("MPT", _hugging_face("Mpt", vocab_size=VOCABULARY, d_model=32, n_heads=4, n_layers=2, max_seq_len=16)),
    Architecture(
        "Falcon",
        _hugging_face("Falcon", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4),
    ),
    Architecture("StableLM", _hugging_face("StableLm", **_LLAMA, **_GROUPED)),
    Architecture("OLMo", _hugging_face("Olmo", **_LLAMA, **_GROUPED), SINGLE),
    Architecture("OLMo 2", _hugging_face("Olmo2", **_LLAMA, **_GROUPED), SINGLE),
    Architecture("Granite", _hugging_face("Granite", **_LLAMA, **_GROUPED), SINGLE),
    Architecture("Cohere", _hugging_face("Cohere", **_LLAMA, **_GROUPED)),
    Architecture("SmolLM3", _hugging_face("SmolLM3", **_LLAMA, **_GROUPED, pad_token_id=0), SINGLE),
    Architecture("StarCoder2", _hugging_face("Starcoder2", **_LLAMA, **_GROUPED)),
    Architecture("GPT-BigCode", _hugging_face("GPTBigCode", **_GPT)),
    Architecture("CodeGen", _hugging_face("CodeGen", **_GPT, rotary_dim=4), SINGLE),
    Architecture(
        "Mixtral",
        _hugging_face("Mixtral", **_LLAMA, **_GROUPED, num_local_experts=3, experts_implementation="eager"),
        SINGLE,
    ),
    Architecture("T5", of_class("T5ForConditionalGeneration", "T5Config", **T5), SINGLE),
    Architecture("BART", of_class("BartForConditionalGeneration", "BartConfig", **BART)),
    Architecture(
        "BART, two tables",
        of_class("BartForConditionalGeneration", "BartConfig", **BART, tie_word_embeddings=False),
    ),
    Architecture("Marian", of_class("MarianMTModel", "MarianConfig", **BART, decoder_vocab_size=VOCABULARY)),
    Architecture("ViT", of_class("ViTForImageClassification", "ViTConfig", **VIT)),
    Architecture("DeiT", of_class("DeiTForImageClassification", "DeiTConfig", **VIT)),
    Architecture("convolutions", convolutions),
    Architecture("Mamba", _hugging_face("Mamba", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2)),
)  # fmt: skip


@contextlib.contextmanager
def seeded() -> Iterator[None]:
    """Build a model from seed 0, quietly; the global random state is as before afterwards."""
    with quiet():
        torch.manual_seed(0)
        yield


def build(architecture: Architecture) -> nn.Module:
    """The model, all parameters away from 0 and 1, so that no wrong exchange goes unseen."""
    with seeded():
        model = architecture.make()
        waves = {
            id(p) for m in model.modules() if "Sinusoidal" in type(m).__name__ for p in m.parameters()
        }  # not saved
        with torch.no_grad():
            for parameter in model.parameters():
                if id(parameter) not in waves:
                    parameter.add_(torch.randn_like(parameter), alpha=SPREAD)
    return model.eval()


def inputs(model: nn.Module) -> Tensor:
    """A batch that the model takes."""
    generator = torch.Generator().manual_seed(0)
    if isinstance(model, nn.Sequential):
        return torch.randn((2, 3, 8, 8), dtype=torch.float64, generator=generator)
    sizes = getattr(model.cfg, "sizes", None)
    if sizes or isinstance(model, RegressionTransformer):
        shape = (4, sizes[0]) if sizes else (4, 3, model.cfg.d_in)
        return torch.randn(shape, dtype=torch.float64, generator=generator)
    wrapped = getattr(model, "original_model", model)
    if (kind := getattr(wrapped, "main_input_name", "input_ids")) != "input_ids":  # of images or sound
        config: Any = wrapped.config
        shape = (2, 3, config.image_size, config.image_size) if kind == "pixel_values" else (2, WAVE)
        if hasattr(config, "max_length"):  # a spectrum
            shape = (2, config.max_length, 16)
        return torch.randn(shape, generator=generator, dtype=next(model.parameters()).dtype)
    return torch.randint(0, VOCABULARY, (2, TOKENS), generator=generator)


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """The logits, whatever holds them."""
    config: Any = getattr(model, "config", None)
    more = {}
    if getattr(config, "is_encoder_decoder", False) and not hasattr(model, "original_model"):  # as a bridge does
        start = torch.full((len(x), 1), config.decoder_start_token_id)
        more = {"decoder_input_ids": torch.cat([start, x[:, :-1]], dim=1)}
    with torch.no_grad():
        found = model(x, **more)
    if isinstance(found, Tensor):
        return found
    logits = getattr(found, "logits", None)
    last: Tensor = found.last_hidden_state if logits is None else logits
    return last


class Bakes(NamedTuple):
    """The largest change of the logits over the layouts, and the largest logit."""

    change: float
    logit: float


def bakes(model: nn.Module, bimt: BIMT, layouts: int) -> Bakes:
    """Bake random layouts, one after the other."""
    x = inputs(model)
    before, worst = outputs(model, x), 0.0
    for seed in range(layouts):
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
        bimt.bake_(check=False)
        worst = max(worst, (outputs(model, x) - before).abs().max().item())
    return Bakes(worst, before.abs().max().item())


def swaps(model: nn.Module, bimt: BIMT) -> bool:
    """Whether a swap lowers the cost and changes no logit by a bit."""
    x = inputs(model)
    before = outputs(model, x)
    report = bimt.swap()
    return report.cost_after < report.cost_before and torch.equal(outputs(model, x), before)


def reloaded(model: nn.Module) -> float:
    """The largest change of the logits after saving the plain model and loading it without TransformerLens."""
    x = inputs(model)
    with quiet(), tempfile.TemporaryDirectory() as directory:
        plain: Any = plain_model(model)
        plain.save_pretrained(directory)
        how = getattr(plain.config, "_experts_implementation", None)  # the fast way of experts takes no float64
        more = {"experts_implementation": how} if how else {}
        again = type(plain).from_pretrained(directory, dtype=torch.float64, **more).eval()
    return (outputs(again, x) - outputs(model, x)).abs().max().item()


def row(architecture: Architecture, layouts: int) -> str:
    """One line of the table."""
    model = build(architecture)
    try:
        bimt = BIMT(model, wiring=wire(model))
    except InputError as error:
        return f"| {architecture.name} | no | | | | | {str(error).split(', ')[0]}, ... |"
    swapped = "yes" if swaps(model, bimt) else "NO"
    found = bakes(model, bimt, layouts)
    within = "" if found.change <= architecture.tolerance * found.logit else " TOO MUCH"
    back = f"{reloaded(model):.0e}" if hasattr(getattr(model, "original_model", None), "save_pretrained") else ""
    populations, stays = bimt.wiring.populations, bimt.wiring.unbaked
    reasons: dict[str, str] = {}
    for name, why in stays.items():
        short = name.rsplit(".", 1)[-1]
        reasons[short] = f"{short}: {why}"
    baked = f"{len(populations) - len(stays)} of {len(populations)} whole"
    note = "; ".join(reasons.values())
    single = " (float32 inside)" if found.change > EXACT * found.logit else ""
    change = f"{found.change:.0e} of {found.logit:.1f}{single}{within}"
    return f"| {architecture.name} | yes | {swapped} | {baked} | {change} | {back} | {note} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAME", help="architectures whose name holds this")
    parser.add_argument("--layouts", type=int, default=50, help="random layouts to bake, one after the other")
    options = parser.parse_args()
    os.environ.update(TRANSFORMERS_OFFLINE="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    torch.set_num_threads(1)
    print(
        f"| architecture | wired | swaps | baked | max abs change of logits, {options.layouts} layouts | saved, "
        "reloaded | stays in the layout |\n|---|---|---|---|---|---|---|"
    )
    for architecture in ARCHITECTURES:
        if options.only.lower() in architecture.name.lower():
            print(row(architecture, options.layouts), flush=True)


if __name__ == "__main__":
    main()
