"""Small configs of the families that transformers and TransformerLens offer (benchmarks/families.py)."""

from __future__ import annotations

from typing import Any

from benchmarks.architectures import VOCABULARY

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
    global_head_dim=16, pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False, index_n_heads=2,
    index_head_dim=8, index_topk=4, mamba_expand=2, state_size=8, patch_size=8, image_size=32, num_mel_bins=16,
    d_ff=20, d_kv=8, out_hidden_size=32, depth=2, expert_ffn_hidden_size=12, projection_dim=32,
)  # fmt: skip
"""The names under which configs keep their sizes, and small values; a config takes those that it has."""


class Unmade(Exception):
    """A family that cannot be tried here; the message says at which step that shows."""


def families() -> list[str]:
    """The types of causal language models that transformers knows, and all other classes with an adapter."""
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    covered = {name for found in CAUSAL.values() for name in ([found] if isinstance(found, str) else found)}
    return [*sorted(CAUSAL), *sorted(set(SUPPORTED_ARCHITECTURES) - covered)]


def small_config(family: str) -> tuple[type[Any], Any]:
    """The class of a family and a config with small sizes, as far as it has fields for them."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    found = CAUSAL.get(family, family)
    kind = getattr(transformers, found if isinstance(found, str) else found[0], None)
    if kind is None:
        raise Unmade("transformers has no such class")
    try:
        default = type(transformers.AutoConfig.for_model(family)) if family in CAUSAL else kind.config_class
        config = smaller(default)
    except Exception as error:
        raise Unmade("no small config") from error
    config._attn_implementation = config._experts_implementation = "eager"
    return kind, config


def smaller(kind: type[Any]) -> Any:
    """A config of this class with small sizes; those of its parts (text, vision) small as well."""
    default = kind()
    own = {name: value for name, value in SMALL.items() if takes(default, name)}
    own |= {name: smaller(type(getattr(default, name))) for name in kind.sub_configs if getattr(default, name, None)}
    if takes(default, "kv_lora_rank") and takes(default, "qk_rope_head_dim"):
        own["head_dim"] = SMALL["qk_rope_head_dim"]  # what rotates is a head of its own there
        own = {name: value for name, value in own.items() if takes(default, name)}
    if takes(default, "layer_types") and default.layer_types:
        own["layer_types"] = (list(dict.fromkeys(default.layer_types)) * 2)[:2]
    try:
        return kind(**own)
    except AttributeError:  # another name of the same field cannot be set
        own.pop("layer_types", None)
        return kind(**own)


def takes(config: Any, name: str) -> bool:
    """Whether a config has a field of this name that can be given."""
    kind = getattr(type(config), name, None)
    if isinstance(kind, property) and kind.fset is None:
        return False
    try:
        return hasattr(config, name)
    except Exception:  # a field that differs by layer
        return True
