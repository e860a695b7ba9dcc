"""wire: every parameter of a known model stands in the wiring once, and baking is a symmetry of the model."""

from __future__ import annotations

import pytest
import torch
from reference import TokenTransformer
from torch import nn

from bimt_tf import BIMT, MLP, Geometry, Layout, RegressionTransformer, TokenMLP, wire
from bimt_tf.core.coefficient import scales
from bimt_tf.errors import InputError

F64 = torch.float64


def token_model(**kwargs: object) -> TokenTransformer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TokenTransformer(**kwargs)


def sequential() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 4, bias=False), nn.Tanh(), nn.Linear(4, 2)).double()


MODELS = {
    "regression": lambda: RegressionTransformer(d_model=6, n_heads=2, d_mlp=5, dtype=F64),
    "regression-3-layers": lambda: RegressionTransformer(d_model=4, n_layers=3, n_heads=3, d_head=2, dtype=F64),
    "tokens": token_model,
    "tokens-grouped-query": lambda: token_model(n_heads=4, n_kv_heads=2),
    "tokens-attn-only": lambda: token_model(d_mlp=None),
    "mlp": lambda: MLP([3, 5, 4, 2], dtype=F64),
    "sequential": sequential,
    "token-mlp": lambda: TokenMLP(7, 4, 5, [6, 3, 2], dtype=F64),
    "token-mlp-one-layer": lambda: TokenMLP(7, 4, 5, [2], dtype=F64),
}


def inputs(model: nn.Module) -> torch.Tensor:
    if isinstance(model, (TokenTransformer, TokenMLP)):
        return torch.randint(0, 7, (4, 5), generator=torch.Generator().manual_seed(0))
    d_in = model.cfg.d_in if isinstance(model, RegressionTransformer) else 3
    return torch.randn(4, 3, d_in, dtype=F64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_every_parameter_is_wired_exactly_once(make):
    model = make()
    wiring = wire(model)
    named = sorted([w.parameter for w in wiring.wired] + list(wiring.left_out))
    assert named == sorted(name for name, _ in model.named_parameters())


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_bake_leaves_the_outputs_unchanged(make):
    model = make()
    x = inputs(model)
    bimt = BIMT(model, Geometry(norm="l2"))
    for seed in range(3):
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
        out, cost, before = model(x), bimt.cost().item(), bimt.wiring.connections
        old = [p.detach().clone() for p in model.parameters()]
        assert bimt.bake_()
        assert any(not torch.equal(p, q) for p, q in zip(model.parameters(), old, strict=True))
        torch.testing.assert_close(model(x), out, rtol=1e-12, atol=1e-12)
        assert bimt.cost().item() == pytest.approx(cost, rel=1e-12)
        assert bimt.wiring.connections is before


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16])
def test_dtypes(make, dtype):
    model = make().to(dtype)
    bimt = BIMT(model)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    assert bimt.cost().dtype == dtype and torch.isfinite(bimt.cost())
    report = bimt.swap()
    assert report.cost_after < report.cost_before


def test_regression_transformer_populations():
    model = RegressionTransformer(d_in=2, d_out=3, d_model=8, n_layers=2, n_heads=4, d_mlp=5)
    populations = wire(model).populations
    expected = {"input": (2, 1), "residual": (8, 1), "output": (3, 1)}
    for i in range(2):
        expected |= {f"blocks.{i}.qk": (8, 4), f"blocks.{i}.ov": (8, 4), f"blocks.{i}.mlp": (5, 1)}
    assert {name: (p.size, p.heads) for name, p in populations.items()} == expected
    assert populations["blocks.0.qk"].group == populations["blocks.0.ov"].group != populations["blocks.1.ov"].group
    assert {name for name, p in populations.items() if not p.bakeable} == {"input", "output"}
    assert all(p.movable for p in populations.values())


def test_regression_transformer_stages_and_layers():
    wiring = wire(RegressionTransformer(n_layers=2))
    rows: dict[int, list[str]] = {}
    for stage in wiring.stages:
        rows.setdefault(stage.depth, []).append(stage.name)
    blocks = [
        [
            [f"blocks.{i}.q", f"blocks.{i}.k", f"blocks.{i}.v"],
            [f"Res{2 * i + 1}"],
            [f"blocks.{i}.mlp"],
            [f"Res{2 * i + 2}"],
        ]
        for i in range(2)
    ]
    assert [rows[depth] for depth in sorted(rows)] == [["input"], ["Res0"], *blocks[0], *blocks[1], ["output"]]
    ends = {w.parameter: (w.source.name, w.target.name) for w in wiring.connections}
    assert ends["embed.W_E"] == ("input", "Res0") and ends["unembed.W_U"] == ("Res4", "output")
    assert ends["blocks.1.attn.W_K"] == ("Res2", "blocks.1.k")
    assert ends["blocks.1.attn.W_O"] == ("blocks.1.v", "Res3")
    assert ends["blocks.0.mlp.W_out"] == ("blocks.0.mlp", "Res2")
    layers: dict[str, set[str]] = {}
    for w in wiring.wired:
        layers.setdefault(w.layer, set()).add(w.parameter.split(".", 1)[1])
    attn = {f"0.attn.{w}_{x}" for w in "Wb" for x in "QKV"}
    assert layers["blocks.0.attn.qkv"] == attn
    assert sorted(map(len, layers.values())) == [2] * 8 + [6, 6]  # embed, unembed; per block O, in, out, and QKV


def test_norm_gains_are_not_charged_and_vocabulary_entries_pay_y_star():
    model = token_model()
    wiring = wire(model)
    charged = {w.parameter: w.charged for w in wiring.attachments}
    norms = {name for name in charged if "ln" in name}
    assert len(norms) == 2 * (2 * 2 + 1) and not any(charged[name] for name in norms)
    assert all(flag for name, flag in charged.items() if name not in norms)
    assert wiring.left_out == ("unembed.b_U",)
    assert "input" not in wiring.populations and "output" not in wiring.populations
    bimt = BIMT(model, Geometry(layer_gap=0.7), reduction="sum")
    before = bimt.cost().item()
    with torch.no_grad():
        for name in norms:
            model.get_parameter(name).add_(5)
        model.unembed.b_U.add_(5)
    assert bimt.cost().item() == before
    for name in ("embed.W_E", "pos_embed.W_pos", "unembed.W_U"):
        with torch.no_grad():
            size = model.get_parameter(name).abs().sum().item()
            model.get_parameter(name).mul_(2)
        assert bimt.cost().item() - before == pytest.approx(0.7 * size, rel=1e-9)
        before = bimt.cost().item()


@pytest.mark.parametrize(
    ("positions", "why"),
    [("rotary", "the places of each head's neurons inside it"), ("alibi", "the order of the heads")],
)
def test_heads_with_positions_of_their_own_are_baked_in_part(positions, why):
    model = token_model()
    model.cfg = model.cfg._replace(positional_embedding_type=positions)
    bimt = BIMT(model)
    stays = {"blocks.0.qk", "blocks.1.qk"} | ({"blocks.0.ov", "blocks.1.ov"} if positions == "alibi" else set())
    assert bimt.wiring.unbaked == dict.fromkeys(stays, why)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    cost = bimt.cost().item()
    assert set(bimt.bake_()) == set(bimt.wiring.populations)
    assert bimt.cost().item() == pytest.approx(cost, rel=1e-12)
    for name, p in bimt.wiring.populations.items():
        slots, identity = bimt.layout.slots[name], torch.arange(p.size)
        assert torch.equal(slots, identity) == (name not in stays)
        if name in stays and positions == "rotary":
            assert torch.equal(bimt.layout.segments(p), torch.arange(p.heads))
        elif name in stays:
            assert torch.equal(slots % p.head_size, identity % p.head_size)


def test_attention_only_models_have_one_stage_less_a_block():
    wiring = wire(token_model(d_mlp=None))
    assert [s.name for s in wiring.stages if s.population == "residual"] == ["Res0", "Res1", "Res2"]


def test_sequential_names_and_missing_biases():
    wiring = wire(sequential())
    assert {name: p.size for name, p in wiring.populations.items()} == {
        "input": 3, "hidden0": 5, "hidden1": 4, "output": 2,
    }  # fmt: skip
    assert [(w.parameter, w.source.name, w.target.name) for w in wiring.connections] == [
        ("0.weight", "input", "hidden0"),
        ("2.weight", "hidden0", "hidden1"),
        ("4.weight", "hidden1", "output"),
    ]


def test_fixed_populations():
    wiring = wire(MLP([3, 5, 2]), fixed=("input", "output"))
    assert {name for name, p in wiring.populations.items() if not p.movable} == {"input", "output"}
    with pytest.raises(InputError, match=r"'inputs'.*'input'"):
        wire(MLP([3, 5, 2]), fixed=("inputs",))


class Skipping(nn.Module):
    """A chain of layers by its names, but with skip connections: its hidden neurons have no order of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = x + layer(x).relu()
        return x


@pytest.mark.parametrize(
    "model",
    [
        nn.Linear(2, 3),
        nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1)),
        nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=-1)),
        nn.Sequential(nn.Sequential(nn.Linear(2, 3))),
        nn.Sequential(),
        nn.TransformerEncoderLayer(4, 2),
        Skipping(),
    ],
    ids=lambda m: type(m).__name__,
)
def test_unknown_modules_are_refused_with_their_parameters(model):
    with pytest.raises(InputError, match=r"no adapter knows a .*Wiring.from_table") as error:
        wire(model)
    assert all(repr(name) in str(error.value) for name, _ in model.named_parameters())


def test_not_a_module():
    with pytest.raises(InputError, match="found dict"):
        wire({})


def test_parameters_that_the_family_does_not_name_are_refused():
    model = RegressionTransformer()
    model.blocks[0].attn.q_norm = nn.Linear(4, 4, bias=False)
    with pytest.raises(InputError, match=r"1 parameter.*'blocks.0.attn.q_norm.weight'"):
        wire(model)


def test_grouped_query_heads_that_cannot_be_shared_out_are_refused():
    model = token_model(n_heads=4, n_kv_heads=2)
    model.blocks[1].attn.register_parameter("_W_K", nn.Parameter(torch.zeros(3, 6, 4)))
    with pytest.raises(InputError, match=r"blocks.1 has 4 query heads for 3 key heads"):
        wire(model)


def test_grouped_query_heads_are_folded_onto_the_key_head_that_they_share():
    bimt = BIMT(token_model(n_heads=4, n_kv_heads=2))
    populations = bimt.wiring.populations
    assert {(p.size, p.heads) for name, p in populations.items() if name.endswith((".qk", ".ov"))} == {(8, 2)}
    factors = scales(bimt.wiring, "mean")
    assert factors["blocks.0.attn.W_Q"] == factors["blocks.0.attn._W_K"] == 1 / (6 * 4 * (4 + 2 + 2))
    assert factors["blocks.0.attn.b_Q"] == factors["blocks.0.attn._b_V"] == 1 / (4 * (4 + 2 + 2))  # a bias, not a table
    paid = bimt.coefficients()["blocks.0.attn.W_Q"]
    assert torch.equal(paid[0], paid[1]) and torch.equal(paid[2], paid[3]) and not torch.equal(paid[1], paid[2])


@pytest.mark.parametrize("positions", ["standard", "rotary"])
def test_gains_of_queries_and_keys_that_all_heads_share_hold_their_dimensions(positions):
    model = token_model(n_heads=4, n_kv_heads=2)
    model.cfg = model.cfg._replace(positional_embedding_type=positions)
    norms = {
        "blocks.0.attn.q_norm": 4,
        "blocks.0.attn.k_norm": 4,
        "blocks.1.attn.q_norm": 16,
        "blocks.1.attn.k_norm": 8,
    }
    for name, size in norms.items():
        path, own = name.rsplit(".", 1)
        setattr(model.get_submodule(path), own, nn.Module())
        model.get_submodule(name).w = nn.Parameter(torch.zeros(size))
    wiring = wire(model)
    assert {n for n in wiring.left_out if "attn" in n} == {"blocks.0.attn.q_norm.w", "blocks.0.attn.k_norm.w"}
    assert {a.parameter: a.charged for a in wiring.attachments if "_norm" in a.parameter} == {
        "blocks.1.attn.q_norm.w": False, "blocks.1.attn.k_norm.w": False,
    }  # fmt: skip
    pinned = {name: p.pinned for name, p in wiring.populations.items() if name.endswith("qk")}
    assert pinned == {"blocks.0.qk": 4, "blocks.1.qk": 4 if positions == "rotary" else 0}


def test_tied_parameters_are_wired_once():
    layer = nn.Linear(3, 3)
    wiring = wire(nn.Sequential(layer, nn.ReLU()))
    assert [w.parameter for w in wiring.wired] == ["0.weight", "0.bias"]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_folded_tokens_cost_what_a_plain_loop_says(reduction, norm):
    vocab, d_embed, tokens, sizes, width, gap = 5, 3, 2, [4, 2], 1.5, 0.3
    model = TokenMLP(vocab, d_embed, tokens, sizes, dtype=F64)
    bimt = BIMT(model, Geometry(width=width, layer_gap=gap, norm=norm), reduction=reduction)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))

    def x(population, neuron):
        slots = bimt.layout.slots[population]
        return width * (float(slots[neuron]) + 0.5) / len(slots)

    def length(source, target):
        across = abs(source - target)
        return across + gap if norm == "l1" else (across**2 + gap**2) ** 0.5

    layers = []  # the terms of each linear layer, biases and tables apart
    layers.append([gap * abs(float(w)) for w in model.embed.weight.detach().flatten()])
    before = "embed"
    for i, after in enumerate(("hidden0", "output")):
        weight = model.layers[i].weight.detach()
        n = {"embed": d_embed, "hidden0": sizes[0]}[before]
        rows, columns = weight.shape
        layers.append([
            abs(float(weight[row, column])) * length(x(before, column % n), x(after, row))  # token-major
            for row in range(rows) for column in range(columns)
        ])  # fmt: skip
        layers.append([gap * abs(float(b)) for b in model.layers[i].bias.detach()])
        before = after
    expected = sum(sum(terms) / (len(terms) if reduction == "mean" else 1) for terms in layers)
    assert bimt.cost().item() == pytest.approx(expected, rel=1e-12)


def test_token_mlp_populations_and_rows():
    wiring = wire(TokenMLP(7, 4, 2, [6, 3, 5]))
    assert {name: p.size for name, p in wiring.populations.items()} == {
        "embed": 4, "hidden0": 6, "hidden1": 3, "output": 5,
    }  # fmt: skip
    assert [(stage.name, stage.depth) for stage in wiring.stages] == [
        ("embed", 0), ("hidden0", 1), ("hidden1", 2), ("output", 3),
    ]  # fmt: skip
    assert [name for name, p in wiring.populations.items() if not p.bakeable] == ["output"]
    assert {w.parameter for w in wiring.attachments if w.charged and not w.is_bias} == {"embed.weight"}
