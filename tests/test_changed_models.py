"""A model that is no longer the one that was wired is refused before anything moves, with what changed."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from bimt_tf import BIMT, MLP, Layout, RegressionTransformer, Wiring, wire
from bimt_tf.errors import InputError

F64 = torch.float64


def transformer() -> RegressionTransformer:
    return RegressionTransformer(d_in=3, d_out=3, d_model=6, n_heads=2, d_head=3, d_mlp=6, seed=1, dtype=F64)


def mlp() -> MLP:
    return MLP([3, 5, 5, 2], seed=1, dtype=F64)


class LoRA(nn.Module):
    """A linear layer with a low-rank part beside it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.low = base, nn.Linear(base.in_features, 2, bias=False, dtype=F64)
        self.high = nn.Linear(2, base.out_features, bias=False, dtype=F64)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.high(self.low(x))


def lora_hook(net: MLP) -> None:
    low = torch.randn(5, 5, dtype=F64)
    net.layers[1].register_forward_hook(lambda module, given, made: made + given[0] @ low)


def tie_data(net: MLP) -> None:
    net.layers[1].weight.data = net.layers[1].weight.data.clone()
    net.layers[2].weight.data = net.layers[1].weight.data[:2]


def wrap(net: MLP) -> None:
    net.layers[1] = LoRA(net.layers[1])


def patch(net: MLP) -> None:
    net.layers[1].forward = lambda x: x[..., :5] * torch.arange(5)


def sequential_buffer(net: MLP) -> None:
    net.layers[1].register_buffer("scale", torch.randn(5, dtype=F64))


def other_module(net: MLP) -> None:
    net.layers[1] = copy.deepcopy(net.layers[1])


def other_shape(net: MLP) -> None:
    net.layers[0].weight = nn.Parameter(torch.zeros(5, 4, dtype=F64))


def no_bias(net: MLP) -> None:
    net.layers[1].bias = None


def used_twice(net: MLP) -> None:
    net.layers[1].weight = nn.Parameter(net.layers[1].weight.data)
    net.again = net.layers[1]


CHANGES = {
    "prune": (lambda net: prune.l1_unstructured(net.layers[1], "weight", 0.5), r"parameter 'layers.1.weight' is gone"),
    "prune a bias": (lambda net: prune.random_unstructured(net.layers[0], "bias", 0.5), r"'layers.0.bias' is gone"),
    "weight_norm": (lambda net: parametrizations.weight_norm(net.layers[1]), r"'layers.1.weight' is gone"),
    "spectral_norm": (lambda net: parametrizations.spectral_norm(net.layers[0]), r"'layers.0.weight' is gone"),
    "tied data": (tie_data, r"'layers.1.weight' and 'layers.2.weight' share memory now"),
    "tied": (
        lambda net: setattr(net.layers[1], "bias", net.layers[0].bias),
        r"'layers.0.bias' and 'layers.1.bias' share",
    ),
    "LoRA module": (wrap, r"'layers.1.weight' is gone"),
    "other module": (other_module, r"'layers.1.weight' is in another module"),
    "patched forward": (patch, r"the forward function of 'layers.1' was replaced"),
    "new buffer": (sequential_buffer, r"buffer 'layers.1.scale' is new"),
    "other shape": (other_shape, r"'layers.0.weight' had shape \[5, 3\] and has \[5, 4\]"),
    "no bias": (no_bias, r"'layers.1.bias' is gone"),
    "module at a second place": (used_twice, r"'again.weight' is new"),
}


@pytest.mark.parametrize("swapped", [False, True], ids=["at first", "after a swap"])
@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
def test_a_changed_model_is_refused_at_swap_and_bake(change, says, swapped):
    net = mlp()
    bimt = BIMT(net)
    if swapped:  # which looks at the model, and more quickly the next time
        bimt.swap()
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    layout = bimt.layout
    change(net)
    before = copy.deepcopy(net.state_dict())
    for attempt in (bimt.swap, bimt.bake_, lambda: bimt.bake_(check=False)):
        with pytest.raises(InputError, match=rf"the model changed after BIMT\(\): .*{says}") as error:
            attempt()
        assert len(str(error.value)) <= 600 and "wire the model as it is now" in str(error.value)
    assert bimt.layout == layout
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


def test_a_hook_is_refused_at_bake_and_swaps_move_no_weight():
    net = mlp()
    bimt = BIMT(net)
    lora_hook(net)
    bimt.swap()
    with pytest.raises(InputError, match=r"other forward hooks stand on 'layers.1'"):
        bimt.bake_(check=False)
    hooked = BIMT(net, layout=bimt.layout)  # wired with the hook; the check sees that it counts
    with pytest.raises(InputError, match="bake_ moved 'output'"):
        hooked.bake_()
    transformer_ = transformer()
    bimt = BIMT(transformer_)
    transformer_.add_hook("blocks.0.hook_resid_pre", lambda x, hook: x * torch.arange(6))
    with pytest.raises(InputError, match="other forward hooks stand on 'blocks.0.hook_resid_pre'"):
        bimt.bake_()
    transformer_.reset_hooks()
    assert bimt.bake_()


def test_with_a_hook_and_nothing_to_check_bake_asks():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.a(x))

    net = Own()
    net.a.register_forward_hook(lambda module, given, made: made * torch.arange(4))
    table = {"a.weight": "h i", "a.bias": "h", "b.weight": "o h", "b.bias": "o"}
    bimt = BIMT(net, wiring=Wiring.from_table(table, net, unbakeable=["i", "o"]))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    with pytest.raises(InputError, match=r"forward hook on 'a' may rely on the order of neurons.*bake_\(check=batch\)"):
        bimt.bake_()
    with pytest.raises(InputError, match="bake_ moved"):
        bimt.bake_(check=torch.randn(4, 3))


ALLOWED = {
    "train": lambda net: net.train(),
    "float": lambda net: net.float(),
    "load": lambda net: net.load_state_dict(mlp().state_dict()),
    "assign": lambda net: net.load_state_dict(mlp().state_dict(), assign=True),
    "replaced": lambda net: setattr(net.layers[0], "weight", nn.Parameter(torch.ones(5, 3, dtype=F64))),
    "frozen": lambda net: net.requires_grad_(False),
    "cache": lambda net: setattr(net, "last", torch.randn(2, 2)),
}


def test_an_unchanged_model_is_not_examined_again(monkeypatch):
    net = mlp()
    bimt = BIMT(net)
    bimt.swap()
    examined = []
    monkeypatch.setattr("bimt_tf.adapters.guard.require_same", lambda *given, **more: examined.append(given))
    for change in (
        lambda: None,
        net.train,
        lambda: net.requires_grad_(False),
        lambda: net.layers[0].weight.data.mul_(2),
    ):
        change()
        bimt.swap()
    assert not examined
    net.layers[0].weight.data = net.layers[0].weight.data.clone()
    bimt.swap()
    assert len(examined) == 1


@pytest.mark.parametrize("swapped", [False, True], ids=["at first", "after a swap"])
@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED)
def test_what_leaves_the_wiring_right_is_allowed(change, swapped):
    net = mlp()
    bimt = BIMT(net)
    if swapped:
        bimt.swap()
    change(net)
    assert bimt.swap().cost_after <= bimt.swap().cost_before
    assert set(bimt.bake_()) == {"hidden0", "hidden1"}


def test_copies_and_pickles_are_the_same_model():
    for copied in (copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))):
        net, bimt = copied((mlp(), BIMT(mlp())))
        assert bimt.model is not net
        bimt.swap()
        assert bimt.bake_()


def test_a_buffer_that_is_constant_no_longer_holds_its_population():
    net = mlp()
    net.register_buffer("scale", torch.ones(5, dtype=F64))
    bimt = BIMT(net)
    assert "hidden0" not in bimt.wiring.unbaked
    net.scale.copy_(torch.arange(5))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    assert bimt.bake_() == {}
    assert bimt.wiring.unbaked["hidden1"] == "its order (the buffer 'scale' [5] may stand on it)"


class Tied(nn.Module):
    """W_U.data = W_E.data.T: two parameters on one storage (the fault that moved outputs by 3.6e3)."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.W_E = nn.Parameter(torch.randn(7, 4, dtype=F64))
        self.W_U = nn.Parameter(self.W_E.data.T)
        self.W_U.data = self.W_E.data.T

    def forward(self, x: Tensor) -> Tensor:
        return self.W_E[x].tanh() @ self.W_U


def test_parameters_tied_by_their_data_pay_once_move_once_and_keep_their_moments():
    losses = {}
    for baked in (False, True):
        net = Tied()
        bimt = BIMT(net, wiring=Wiring.from_table({"W_E": "_ r", "W_U": "r _"}, net))
        assert [one.parameter for one in bimt.wiring.carried] == ["W_U"]
        bimt.add_cost_grad_(1.0)
        assert net.W_U.grad is None and net.W_E.grad is not None
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
        found = []
        for step in range(8):
            optimizer.zero_grad()
            loss = (net(torch.arange(7)) - torch.eye(7)).square().mean()
            loss.backward()
            if baked and step == 4:
                assert not torch.equal(bimt.bake_(optimizer, check=torch.arange(7))["r"], torch.arange(4))
            optimizer.step()
            found.append(loss.item())
        losses[baked] = found
    assert losses[True] == pytest.approx(losses[False], rel=1e-10)


def test_sharing_inside_known_models_is_wired_once_or_refused():
    net = transformer()
    net.unembed.W_U.data = net.embed.W_E.data.T
    with pytest.raises(InputError, match="'embed.W_E' and 'unembed.W_U' are the same memory, but their axes are"):
        wire(net)  # input and output are two populations
    net = transformer()
    net.blocks[0].attn.W_K = net.blocks[0].attn.W_Q  # q = k
    bimt = BIMT(net)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    x = torch.randn(4, 3, 3, dtype=F64)
    out = net(x)
    assert bimt.bake_(check=False)
    torch.testing.assert_close(net(x), out, rtol=1e-12, atol=1e-12)
    net = transformer()
    net.blocks[0].attn.W_V = net.blocks[0].attn.W_K
    with pytest.raises(InputError, match="'blocks.0.attn.W_K' and 'blocks.0.attn.W_V' are the same memory"):
        wire(net)
    for sequence in (lambda layer: [layer, nn.ReLU(), layer], lambda layer: [nn.Linear(4, 4), layer, nn.Tanh(), layer]):
        with pytest.raises(InputError, match="are the same memory, but their axes are"):
            wire(nn.Sequential(*sequence(nn.Linear(4, 4))))


def test_an_activation_that_is_none_of_torchs_own_is_not_known():
    class Ordered(nn.ReLU):
        def forward(self, x: Tensor) -> Tensor:
            return x.cumsum(-1)

    with pytest.raises(InputError, match="no adapter knows a Sequential"):
        wire(nn.Sequential(nn.Linear(3, 4), Ordered(), nn.Linear(4, 2)))
