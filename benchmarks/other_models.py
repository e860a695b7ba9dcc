"""Small models for benchmarks/architectures.py that are no causal language models: encoders, images, convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

VOCABULARY = 17


def of_class(kind: str, config: str, **settings: Any) -> Callable[[], nn.Module]:
    """A bridge around a class that AutoModelForCausalLM does not give."""

    def make() -> nn.Module:
        import transformers
        from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

        made = getattr(transformers, config)(**settings)
        made._attn_implementation = "eager"
        model = getattr(transformers, kind)(made).double().eval()
        return build_bridge_from_module(model, kind, hf_config=made)

    return make


def convolutions() -> nn.Module:
    """Convolutions, one of them depthwise, norms, and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8),
        nn.Conv2d(8, 12, 1), nn.GroupNorm(1, 12), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 10),
        nn.ReLU(), nn.Linear(10, 4),
    ).double()  # fmt: skip


T5: dict[str, Any] = dict(
    vocab_size=VOCABULARY, d_model=32, d_kv=8, d_ff=20, num_layers=2, num_heads=4, decoder_start_token_id=0
)
BART: dict[str, Any] = dict(
    vocab_size=VOCABULARY, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=20, decoder_ffn_dim=20, max_position_embeddings=32, pad_token_id=0,
    bos_token_id=1, eos_token_id=2, decoder_start_token_id=0,
)  # fmt: skip
VIT: dict[str, Any] = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=20, image_size=32, patch_size=8,
    num_labels=3,
)  # fmt: skip
