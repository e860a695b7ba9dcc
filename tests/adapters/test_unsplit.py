"""GPT-2's shape with an unsplit c_attn: nanoGPT's own code, and transformers' GPT-2 without a bridge."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.architectures import SPREAD, bakes, build, seeded, swaps
from benchmarks.families import cost_gradient
from bimt_tf import BIMT, Layout, wire
from bimt_tf.errors import InputError

WIDTH, HEADS, VOCABULARY, LENGTH = 32, 4, 17, 16


class Attention(nn.Module):
    """nanoGPT's; ``order`` says how c_attn's outputs are read: its own, or heads outside as GPT-BigCode does."""

    def __init__(self, bias: bool = True, order: str = "qkv heads", slopes: bool = False) -> None:
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH, bias=bias), nn.Linear(WIDTH, WIDTH, bias=bias)
        self.n_head, self.order, self.slopes = HEADS, order, slopes

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        if self.order == "qkv heads":
            parts = self.c_attn(x).view(batch, length, 3, HEADS, -1).unbind(2)
        else:
            parts = self.c_attn(x).view(batch, length, HEADS, 3, -1).unbind(3)
        q, k, v = (part.transpose(1, 2) for part in parts)
        scores = q @ k.transpose(-1, -2) / 8**0.5
        if self.slopes:
            scores = scores * torch.arange(1, HEADS + 1).view(HEADS, 1, 1)
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        z = scores.masked_fill(~mask, -torch.inf).softmax(-1) @ v
        return self.c_proj(z.transpose(1, 2).reshape(batch, length, WIDTH))


class Feed(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(WIDTH, 20, bias=bias), nn.Linear(20, WIDTH, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(functional.gelu(self.c_fc(x)))


class Block(nn.Module):
    def __init__(self, bias: bool, **given: object) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH, bias=bias), nn.LayerNorm(WIDTH, bias=bias)
        self.attn, self.mlp = Attention(bias, **given), Feed(bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Nano(nn.Module):
    """nanoGPT's model, which returns (logits, loss)."""

    def __init__(self, bias: bool = True, tied: bool = True, **given: object) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=VOCABULARY)
        self.transformer = nn.ModuleDict(
            dict(
                wte=nn.Embedding(VOCABULARY, WIDTH), wpe=nn.Embedding(LENGTH, WIDTH),
                h=nn.ModuleList([Block(bias, **given) for _ in range(2)]), ln_f=nn.LayerNorm(WIDTH, bias=bias),
            )
        )  # fmt: skip
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        if tied:
            self.transformer.wte.weight = self.lm_head.weight

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        t = self.transformer
        found = t.wte(x) + t.wpe(torch.arange(x.shape[1]))
        for block in t.h:
            found = block(found)
        return self.lm_head(t.ln_f(found)), None


class Logits(nn.Module):
    """The logits alone, for the benchmark's functions, which look for one tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.cfg = model, SimpleNamespace()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)[0]


def drawn(model: nn.Module) -> nn.Module:
    with seeded(), torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p), alpha=SPREAD)
    return model.double().eval()


def gpt2(kind: str = "GPT2LMHeadModel", **settings: object) -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=WIDTH, n_layer=2, n_head=HEADS, n_inner=20, bos_token_id=1,
        eos_token_id=2, **settings,
    )  # fmt: skip
    with seeded():
        return drawn(getattr(transformers, kind)(config))


MODELS = {
    "nanoGPT": lambda: drawn(Nano()),
    "nanoGPT without biases": lambda: drawn(Nano(bias=False)),
    "nanoGPT untied": lambda: drawn(Nano(tied=False)),
    "GPT-2": gpt2,
    "GPT-2 untied": lambda: gpt2(tie_word_embeddings=False),
}


@pytest.mark.parametrize("name", MODELS)
def test_swaps_are_exact_and_baking_is_a_symmetry(name):
    model = MODELS[name]()
    bimt = BIMT(model)
    seen = Logits(model)
    assert swaps(seen, bimt) and cost_gradient(model, bimt) < 1e-12
    found = bakes(seen, bimt, 5)
    assert found.change <= 1e-12 * found.logit and bimt.wiring.unbaked == {} and not bimt.wiring.left_out
    sizes = {name: (p.size, p.heads) for name, p in bimt.wiring.populations.items()}
    assert sizes == {"residual": (32, 1)} | {f"h.{i}.qkv": (32, 4) for i in range(2)} | {
        f"h.{i}.mlp": (20, 1) for i in range(2)
    }
    identity = Layout.identity(bimt.wiring)
    assert bimt.layout == identity
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(7))
    assert set(bimt.bake_(check=True)) == set(sizes)


def test_a_model_without_a_head_keeps_the_order_of_its_outputs():
    model = gpt2("GPT2Model")
    bimt = BIMT(model)
    assert bimt.wiring.unbaked == {"residual": "its order (the model has no head, its outputs are the residual stream)"}
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    assert "h.0.qkv" in bimt.bake_(check=True)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: Nano(order="heads qkv"), "does not hold q, k and v one after the other"),
        (lambda: Nano(slopes=True), "depends on the order of heads"),
        (
            lambda: transformers.GPTBigCodeForCausalLM(
                transformers.GPTBigCodeConfig(vocab_size=17, n_positions=16, n_embd=32, n_layer=2, n_head=4)
            ),
            r"has shape \[48, 32\]: its q, k and v are not equally many",
        ),
        (
            lambda: transformers.GPTBigCodeForCausalLM(
                transformers.GPTBigCodeConfig(
                    vocab_size=17, n_positions=16, n_embd=32, n_layer=2, n_head=4, multi_query=False
                )
            ),
            "does not hold q, k and v one after the other",
        ),
        (lambda: transformers.GPT2ForSequenceClassification(gpt2().config), "no adapter knows a GPT2ForSequence"),
    ],
)
def test_the_same_names_with_other_code_are_refused(model, says):
    with seeded():
        made = model()
    with pytest.raises(InputError, match=says) as error:
        wire(made)
    assert len(str(error.value)) <= 600


def test_heads_must_be_said():
    model = Nano()
    for block in model.transformer.h:
        del block.attn.n_head
    with pytest.raises(InputError, match="no num_heads or n_head"):
        wire(model)


def test_the_plain_model_of_a_bridge_is_wired_as_it_is():
    from benchmarks.architectures import ARCHITECTURES
    from bimt_tf.adapters.hugging_face import plain_model

    bridge = build(next(a for a in ARCHITECTURES if a.name == "GPT-2"))
    assert len(wire(plain_model(bridge)).populations) == 5


def test_a_part_left_out_holds_what_it_stands_on():
    model = MODELS["nanoGPT"]()
    bimt = BIMT(model, wiring=wire(model, left_out=["transformer.h.0.mlp"]))
    assert "residual" in bimt.wiring.unbaked and "h.0.mlp" not in bimt.wiring.populations
    found = bakes(Logits(model), bimt, 2)
    assert found.change <= 1e-12 * found.logit
