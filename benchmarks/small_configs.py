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
    d_ff=20, d_kv=8, use_cache=False, out_hidden_size=32, depth=2, expert_ffn_hidden_size=12, projection_dim=32,
)  # fmt: skip
"""The names under which configs keep their sizes, and small values; a config takes those that it has."""


_ROTATION: dict[str, Any] = {"rope_type": "default", "rope_theta": 1e4}
OWN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("BartConfig", "BlenderbotConfig", "LEDConfig", "M2M100Config", "MBartConfig", "PegasusConfig"),
        dict(tie_word_embeddings=True),
    ),
    "BambaConfig": dict(attn_layer_indices=[1]),
    "BltConfig": dict(encoder_hash_byte_group_vocab=50),
    "CohereCompassTextConfig": dict(
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters=dict.fromkeys(("sliding_attention", "full_attention"), _ROTATION),
    ),
    "DbrxAttentionConfig": dict(rope_theta=1e4, kv_n_heads=2),
    "DbrxFFNConfig": dict(ffn_hidden_size=20, moe_num_experts=3, moe_top_k=2),
    "Dots3NoteTextConfig": dict(
        num_key_value_heads=4, shared_experts_intermediate_size=12, swa_num_attention_heads=4,
        swa_num_key_value_heads=4, swa_q_lora_rank=8, swa_kv_lora_rank=8, swa_head_dim=8, swa_qk_nope_head_dim=4,
        swa_v_head_dim=8,
    ),
    "FalconH1Config": dict(mamba_d_ssm=64),
    "Florence2VisionConfig": dict(
        patch_size=[7, 3, 3, 3], embed_dim=[8, 8, 16, 32], num_heads=[2, 2, 2, 4], num_groups=[2, 2, 2, 4],
        depths=[1, 1, 1, 1], window_size=4,
    ),
    "Emu3Config": dict(vocabulary_map={"<image>": 3}),
    "Emu3VQVAEConfig": dict(
        base_channels=32, channel_multiplier=[1, 1, 1, 1], num_res_blocks=1, embed_dim=4, codebook_size=8,
    ),
    "Gemma3nTextConfig": dict(num_kv_shared_layers=0),
    "Gemma4UnifiedTextConfig": dict(num_kv_shared_layers=0),
    "Glm4vTextConfig": dict(rope_parameters=_ROTATION | {"mrope_section": [1, 1, 2]}),
    "GlmMoeDsaConfig": dict(index_n_heads=4, index_head_dim=8, num_key_value_heads=4),
    "GraniteMoeHybridConfig": dict(layer_types=["mamba", "attention"], position_embedding_type="rope"),
    "HubertConfig": dict(conv_dim=[16] * 7, num_conv_pos_embedding_groups=4, num_conv_pos_embeddings=8),
    "JambaConfig": dict(attn_layer_period=2, attn_layer_offset=1),
    "Lfm2MoeConfig": dict(layer_types=["conv", "full_attention"], num_dense_layers=1),
    "Llama4VisionConfig": dict(
        projector_input_dim=32, projector_output_dim=32, vision_output_dim=32, intermediate_size=128,
    ),
    "Mamba2Config": dict(head_dim=16, n_groups=1),
    "MarianConfig": dict(decoder_start_token_id=0, decoder_vocab_size=VOCABULARY, tie_word_embeddings=True),
    "MuseGlimmerConfig": dict(projector_hidden_size=32),
    "MusicgenDecoderConfig": dict(vocab_size=VOCABULARY - 1, pad_token_id=VOCABULARY - 1),
    "MusicgenMelodyDecoderConfig": dict(vocab_size=VOCABULARY - 1, pad_token_id=VOCABULARY - 1),
    "NemotronHConfig": dict(
        num_hidden_layers=None, mamba_num_heads=4, mamba_head_dim=16, n_groups=1, ssm_state_size=8,
        moe_shared_expert_intermediate_size=12,
    ),
    "Phi4MultimodalAudioConfig": dict(
        num_blocks=1, nemo_conv_channels=8, ext_pw_out_channel=32, depthwise_separable_out_channel=32,
    ),
    "ProphetNetConfig": dict(
        num_hidden_layers=None, num_encoder_layers=1, num_decoder_layers=2, num_encoder_attention_heads=4,
        num_decoder_attention_heads=4, is_decoder=True, add_cross_attention=False,
    ),
    "Qwen2_5_VLTextConfig": dict(rope_parameters=_ROTATION | {"mrope_section": [1, 1, 2]}),
    "Qwen4ExpTextConfig": dict(
        indexer_n_heads=2, indexer_kv_heads=1, indexer_head_dim=8, indexer_budget=4, indexer_compress_ratio=1,
        hc_lowrank=8, ple_embed_dim=32, linear_key_head_dim=8, linear_value_head_dim=8, linear_num_key_heads=2,
        linear_num_value_heads=4, ngram_vocab_size_base=50,
    ),
    "RecurrentGemmaConfig": dict(block_types=["recurrent", "attention"], lru_width=32),
    "ReformerConfig": dict(
        is_decoder=True, attn_layers=["local", "local"], num_hidden_layers=None, axial_pos_shape=[4, 8],
        axial_pos_embds_dim=[8, 24], attention_head_size=8, feed_forward_size=20, local_attn_chunk_length=4,
        lsh_attn_chunk_length=4,
    ),
    "RoCBertConfig": dict(
        pronunciation_embed_dim=8, pronunciation_vocab_size=VOCABULARY, shape_embed_dim=8, shape_vocab_size=VOCABULARY,
    ),
    "Wav2Vec2Config": dict(
        conv_dim=[16] * 7, num_conv_pos_embedding_groups=4, num_conv_pos_embeddings=8, codevector_dim=8,
        proj_codevector_dim=8, num_codevectors_per_group=8,
    ),
    "XLNetConfig": dict(max_position_embeddings=None, d_head=8, d_inner=20),
    "Zamba2Config": dict(
        layers_block_type=["mamba", "hybrid"], n_mamba_heads=4, mamba_headdim=16, attention_hidden_size=64,
        attention_head_dim=16, num_key_value_heads=4, hybrid_layer_ids=[1],
    ),
    "ZayaConfig": dict(num_experts_per_tok=1),
}  # fmt: skip
"""Config class -> sizes that it alone has, or that fit one another in a way of its own; None: not to be given."""

ALIASES = {
    "GPT2LMHeadCustomModel": "GPT2LMHeadModel", "Gemma1ForCausalLM": "GemmaForCausalLM",
    "JetMoEForCausalLM": "JetMoeForCausalLM", "MPTForCausalLM": "MptForCausalLM", "NeoForCausalLM": "GPTNeoForCausalLM",
    "NeoXForCausalLM": "GPTNeoXForCausalLM", "PhiMoEForCausalLM": "PhimoeForCausalLM",
    "T5WithLMHeadModel": "T5ForConditionalGeneration",
}  # fmt: skip
"""Names that TransformerLens's list has for classes of transformers."""


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

    found = CAUSAL.get(family, ALIASES.get(family, family))
    kind = getattr(transformers, found if isinstance(found, str) else found[0], None)
    if kind is None:
        raise Unmade("hub")
    try:
        config = smaller(kind.config_class)
    except Exception as error:
        raise Unmade("backbone" if "assistant" in family else "config") from error
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
    own |= OWN.get(kind.__name__, {})
    own = {name: value for name, value in own.items() if value is not None}
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
