"""What some families have beside a plain transformer's parts, as tables: pattern of a parameter's name -> axis string.

A family is known by the class of the model that the bridge wraps; a class that is in no list here has no such parts,
and what nobody knows is refused, not guessed. Names are those inside a block, whether they are the bridge's
(``mlp.gate.weight``) or the wrapped model's (``mlp.experts.gate_up_proj``).

Experts are one population a block, ``blocks.{i}.experts``, with an expert where other populations have a head. Whole
experts exchange places, and the router's rows and biases, which count them, move along; these have no coordinates.
Where experts come in groups that are chosen first, or the router's numbers are an output, each expert keeps its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from bimt_tf.adapters import images
from bimt_tf.adapters.anatomy import Block
from bimt_tf.core.axes import ANY

__all__ = ["Parts", "block_of", "is_latent", "parts_of_block", "parts_outside"]

FREE, BY_HEAD, INSIDE_HEADS = "free", "by head", "inside heads"
"""In the place of an axis string: relies on no order; holds the heads; holds the heads and the q/k dimensions in them.
"""

_DENSE = {
    r"mlp\.dense_(gate|in)\.weight": "{mlp} {reads}",
    r"mlp\.dense_(gate|in)\.bias": "{mlp}",
    r"mlp\.dense_out\.weight": "{after} {mlp}",
    r"mlp\.dense_out\.bias": "{after}",
}
_SHARED = {
    r"mlp\.shared_experts?\.(gate|in|gate_proj|up_proj)\.weight": "{name}.shared {reads}",
    r"mlp\.shared_experts?\.(gate|in|gate_proj|up_proj)\.bias": "{name}.shared",
    r"mlp\.shared_experts?\.(out|down_proj)\.weight": "{after} {name}.shared",
    r"mlp\.shared_experts?\.(out|down_proj)\.bias": "{after}",
    r"mlp\.shared_expert_gate\.weight": f"{ANY} {{reads}}",
}
_ROUTER = {
    r"mlp\.(gate|router|router_gate)\.weight": "{name}.expert {reads}",
    r"mlp\.(gate|router)\.bias": "{name}.expert",
    r"(.*\.)?(e_score_correction_bias|expert_bias)": "{name}.expert",
}
_BIASES = tuple(pattern for pattern, axes in _ROUTER.items() if axes == "{name}.expert")
_MIXTURE = _DENSE | _SHARED | _ROUTER

_LATENT = {
    r"(attn|self_attn)\.q_a_proj\.weight": "{name}.q_latent {before}",
    r"(attn|self_attn)\.q_a_proj\.bias": "{name}.q_latent",
    r"(attn|self_attn)\.q_a_layernorm\.weight": "{name}.q_latent",
    r"(attn|self_attn)\.q_b_proj\.weight": "{name}.queries {name}.q_latent",
    r"(attn|self_attn)\.q_proj\.weight": "{name}.queries {before}",
    r"(attn|self_attn)\.kv_a_proj_with_mqa\.weight": "{name}.kv_and_rotary {before}",
    r"(attn|self_attn)\.kv_a_proj_with_mqa\.bias": "{name}.kv_and_rotary",
    r"(attn|self_attn)\.kv_a_layernorm\.weight": "{name}.kv_latent",
    r"(attn|self_attn)\.kv_b_proj\.weight": "{name}.keys_and_values {name}.kv_latent",
    r"attn\.o\.weight": "{middle} {name}.z",
    r"attn\.o\.bias": "{middle}",
}

_SINKS = {r"attn\.sinks": BY_HEAD}

FAMILIES: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(
        ("MixtralForCausalLM", "OlmoeForCausalLM", "FlexOlmoForCausalLM", "MiniMaxM2ForCausalLM", "Qwen2MoeForCausalLM",
         "Qwen3MoeForCausalLM", "GraniteMoeForCausalLM", "Ernie4_5_MoeForCausalLM", "Glm4MoeForCausalLM",
         "Llama4ForCausalLM", "PhimoeForCausalLM"),
        _MIXTURE,
    ),
    "GptOssForCausalLM": _MIXTURE | _SINKS,
    "AfmoeForCausalLM": _MIXTURE | {r"attn\.gate\.weight": "({queries} {v}) {before}"},
    **dict.fromkeys(
        ("DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "Glm4MoeLiteForCausalLM", "YoutuForCausalLM"),
        _MIXTURE | _LATENT,
    ),
    "ApertusForCausalLM": {r"mlp\.act_fn\.(alpha_p|alpha_n|beta|eps)": FREE},
    "BitNetForCausalLM": {
        r"self_attn\.attn_sub_norm\.weight": "({queries} {v})",
        r"mlp\.ffn_sub_norm\.weight": "{mlp}",
    },
    "StableLmForCausalLM": {r"self_attn\.[qk]_layernorm\.norms\.\d+\.(weight|bias)": INSIDE_HEADS},
    "ModernBertDecoderForCausalLM": {
        r"mlp\.in\.weight": f"({ANY} {{mlp}}) {{reads}}",
        r"mlp\.in\.bias": f"({ANY} {{mlp}})",
    },
}  # fmt: skip
"""Class of the wrapped model -> its parts. Those of no list have none."""


class Parts(NamedTuple):
    """Of one block. ``axes``: parameter -> axis string; ``free``: names that rely on no order of neurons.

    ``by_head``, ``inside_heads``: names of what holds the order of the heads, and the q/k dimensions in them as well.
    ``routers``: wired weights whose modules have code of their own, which is known to rely on no order of neurons.
    ``exchangeable``: whether whole experts may change places.
    """

    axes: dict[str, str]
    free: list[str]
    by_head: list[str]
    inside_heads: list[str]
    routers: list[str]
    exchangeable: bool = False


def block_of(name: str, bridge: Any) -> tuple[str, str]:
    """(``blocks.{i}``, the name inside the block) of a parameter, ("", name) outside of all blocks."""
    blocks = getattr(bridge.adapter.component_mapping.get("blocks"), "name", None)
    for prefix in ("blocks", blocks):
        if prefix and (found := re.match(rf"{re.escape(prefix)}\.(\d+)\.(.+)", name)):
            return f"blocks.{found[1]}", found[2]
    return "", name


def is_latent(bridge: Any) -> bool:
    """Whether the attention goes through latents (DeepSeek's), and so has no q, k and v of its own."""
    return _table(bridge).keys() >= _LATENT.keys()


def parts_of_block(b: Block, reads: str, bridge: Any, at: Mapping[str, tuple[nn.Module, str]]) -> Parts:
    """What a block has beside a plain transformer's parts.

    Args:
        b: the words of the block.
        reads: the stage that its MLP reads.
        bridge: the TransformerBridge.
        at: parameter or buffer -> the module that holds it, and under what name.
    """
    found = Parts({}, [], [], [], [])
    table = _table(bridge)
    words = b._asdict() | {"reads": reads}
    inside = {name: rest for name in at for block, rest in [block_of(name, bridge)] if block == b.name}
    sparse = table.keys() >= _ROUTER.keys() and any(".experts." in f".{rest}" for rest in inside.values())
    for name, rest in inside.items():
        module, own = at[name]
        if sparse and (axes := _experts(module).get(own)):
            found.axes[name] = axes.format(**words)
        for pattern, axes in table.items():
            if not re.fullmatch(pattern, rest) or (pattern in _ROUTER and not sparse):
                continue
            {FREE: found.free, BY_HEAD: found.by_head, INSIDE_HEADS: found.inside_heads}.get(axes, []).append(name)
            if axes not in (FREE, BY_HEAD, INSIDE_HEADS):
                leading = f"{ANY} " * (getattr(module, own).ndim - 1) if pattern in _BIASES else ""
                found.axes[name] = leading + axes.format(**words)
                found.routers.extend([name] * (pattern in _ROUTER))
    return found._replace(exchangeable=bool(found.routers) and not _numbered(bridge))


def _numbered(bridge: Any) -> bool:
    """Whether something relies on the numbers of experts: groups that are chosen first, or the router's own outputs."""
    config = bridge.original_model.config
    configs = [config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", ()))]
    return any(
        (getattr(one, "n_group", None) or 1) > 1 or getattr(one, "output_router_logits", False) for one in configs
    )


class Outside(NamedTuple):
    """Outside of the blocks. ``axes``: parameter -> axis string; ``free``: names that rely on no order of neurons.

    ``held``: whether the residual stream joins itself, so that its order stays as it is.
    """

    axes: dict[str, str]
    free: list[str]
    held: bool


def parts_outside(bridge: Any, at: Mapping[str, tuple[nn.Module, str]], first: str, last: str) -> Outside:
    """What lies before the first block and behind the last one: a head that predicts words, narrower word vectors.

    BERT, RoBERTa and ModernBERT's decoder have a linear layer and a norm before the table that predicts. Where that is
    the table of embeddings too, the layer leads from the residual stream to itself: its order cannot change.
    """
    tables = [getattr(*at[name]) for name in ("embed.weight", "unembed.weight") if name in at]
    tied = len(tables) == 2 and tables[0] is tables[1]
    kind = type(bridge.original_model).__name__
    axes, free = images.parts(bridge, at, first, last)
    if kind == "OPTForCausalLM" and "project_in.weight" in at and "project_out.weight" in at:
        before, after = "words@words.in", "words@words.out"
        axes = {
            "embed.weight": f"{ANY} {before}", "project_in.weight": f"{first} {before}",
            "project_out.weight": f"{after} {last}", "unembed.weight": f"{ANY} {after}",
            **{f"model.decoder.final_layer_norm.{own}": last for own in ("weight", "bias")},
        }  # fmt: skip
    elif kind in PREDICTION and all(f"{x}.weight" in at for x in PREDICTION[kind][:2]):
        dense, norm, biases = PREDICTION[kind]
        word = last if tied else "prediction"
        into = ANY if tied else last
        axes = {f"{dense}.weight": f"{word} {into}", "unembed.weight": f"{ANY} {word}"}
        axes |= {name: word for name in (f"{dense}.bias", f"{norm}.weight", f"{norm}.bias")}
        return Outside(axes, list(biases), tied)
    return Outside(axes, free, False)


PREDICTION: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "BertForMaskedLM": ("mlm_head", "ln_final", ("cls.predictions.bias",)),
    "BertLMHeadModel": ("mlm_head", "ln_final", ("cls.predictions.bias",)),
    "RobertaForMaskedLM": ("mlm_head", "ln_final", ("lm_head.bias",)),
    "ModernBertDecoderForCausalLM": ("lm_head.dense", "lm_head.norm", ()),
}
"""Class of the wrapped model -> its layer before the table that predicts, the norm behind it, biases of words."""


def _table(bridge: Any) -> Mapping[str, str]:
    return FAMILIES.get(type(bridge.original_model).__name__, {})


def _experts(module: nn.Module) -> dict[str, str]:
    """Own name -> axes of a module that stacks all experts' matrices; {} for another, or one that it does not know.

    transformers says of each such module whether its matrices multiply from the right, and whether gate and up lie one
    after the other or by turns (integrations/moe.py); Llama 4's says nothing and is of the first kind both times.
    """
    llama = type(module).__name__ == "Llama4TextExperts"
    if not llama and not all(hasattr(module, own) for own in ("is_transposed", "is_concatenated", "has_gate")):
        return {}
    if getattr(module, "has_post_expert_norm", False):
        return {}
    transposed, concatenated = llama or module.is_transposed, llama or module.is_concatenated
    neurons = "{name}.experts"
    two = f"({ANY} {neurons})" if concatenated else f"({neurons} {ANY})"
    first = f"{{reads}} {two}" if transposed else f"{two} {{reads}}"
    up = f"{{reads}} {neurons}" if transposed else f"{neurons} {{reads}}"
    down = f"{neurons} {{after}}" if transposed else f"{{after}} {neurons}"
    return {
        "gate_up_proj": f"{{name}}.expert {first}",
        "gate_up_proj_bias": f"{{name}}.expert {two}",
        "up_proj": f"{{name}}.expert {up}",
        "up_proj_bias": f"{{name}}.expert {neurons}",
        "down_proj": f"{{name}}.expert {down}",
        "down_proj_bias": "{name}.expert {after}",
    }
