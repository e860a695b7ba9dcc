"""Chains of convolutions: channels as populations, what moves along with them, and what is refused by name."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.families import cost_gradient
from bimt_tf import BIMT, Layout, wire
from bimt_tf.adapters.batches import batch_for
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError


def drawn(model: nn.Module, seed: int = 0) -> nn.Module:
    """In float64, every parameter and statistic away from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator, dtype=p.dtype), alpha=0.3)
        for b in model.buffers():
            if b.is_floating_point():
                b.copy_(torch.rand(b.shape, generator=generator, dtype=b.dtype) + 0.5)
    return model


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "plain": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4)
    ),
    "norms": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1),
        nn.BatchNorm2d(8, affine=False), nn.GroupNorm(1, 8), nn.PReLU(8), nn.Conv2d(8, 8, 1),
        nn.InstanceNorm2d(8, affine=True), nn.PReLU(), nn.LayerNorm([8, 8, 8]),
        nn.AvgPool2d(2), nn.Flatten(), nn.BatchNorm1d(128), nn.Linear(128, 10), nn.LayerNorm(10), nn.GELU(),
        nn.Linear(10, 4),
    ),
    "depthwise, nested": lambda: nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.Hardswish()),
        nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.Conv2d(6, 9, 1), nn.SiLU()),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(9, 3),
    ),
    "one dimension": lambda: nn.Sequential(nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5), nn.Tanh(), nn.Conv1d(5, 3, 3)),
    "back": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(4, 6, 2, stride=2), nn.ReLU(),
        nn.Conv2d(6, 1, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_they_are_wired_swapped_and_baked(name):
    model = drawn(NETWORKS[name]())
    bimt = BIMT(model)
    x = batch_for(model)
    with torch.no_grad():
        before = model(x)
        report = bimt.swap()
        assert report.cost_after < report.cost_before and torch.equal(model(x), before)
    assert cost_gradient(model, bimt) < 1e-9
    with torch.no_grad():
        for seed in range(4):
            bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
            bimt.bake_(check=False)
            assert (model(x) - before).abs().max() <= 1e-12 * before.abs().max()
    assert set(bimt.wiring.unbaked) == {"input", "output"}


def test_training_goes_on_as_it_would_have_statistics_and_momentum_included():
    """A batch norm updates its statistics in training mode, and SGD its momentum: both were moved."""
    one = drawn(NETWORKS["norms"]())
    two = copy.deepcopy(one)
    x = batch_for(one)
    steps = [torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9) for model in (one, two)]

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensor:
        model.train()
        optimizer.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    for model, optimizer in zip((one, two), steps, strict=True):
        train(model, optimizer)
    bimt = BIMT(two.eval())
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(3))
    bimt.bake_(steps[1], check=True)
    for _ in range(3):
        assert torch.allclose(train(one, steps[0]), train(two, steps[1]), rtol=1e-9)
    assert torch.allclose(one.eval()(x), two.eval()(x), rtol=1e-8, atol=1e-10)


def test_a_kernel_pays_for_the_distance_of_the_channels_it_joins():
    model = drawn(NETWORKS["plain"]())
    bimt = BIMT(model)
    second = next(one for one in bimt.wiring.connections if one.parameter == "3.weight")
    assert (second.source.name, second.target.name) == ("channels0", "channels1")
    found = bimt.coefficients()["3.weight"]
    flat = second.flatten(model[3].weight.detach())
    assert flat.shape == (9, 6, 8)
    assert torch.equal(flat[4], model[3].weight.detach()[:, :, 1, 1].T)
    assert torch.equal(found, found[:, :, :1, :1].expand_as(found)) and found[:, :, 0, 0].std() > 0


class Twice(nn.Sequential):
    """A chain with a forward of its own: what it joins is not said by the order of its layers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x.mean()


class Residual(nn.Sequential):
    """Adds what it reads to what it computes."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + x


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 3, groups=2)), "'1' is a Conv2d in 2 group"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8)), "'1' is a GroupNorm of 4 groups"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.PixelShuffle(2)), "'1' is a PixelShuffle"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Softmax(1), nn.Conv2d(8, 2, 1)), "'1' is a Softmax"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(6, 4)), "'1' reads channels by their last dimension"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.AvgPool3d(2), nn.Conv2d(4, 2, 1)), "'1' is a AvgPool3d"),
        (lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.LayerNorm([6, 6])), "'1' is a LayerNorm"),
        (lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.AvgPool1d(2)), "'2' is a AvgPool1d"),
        (lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(2), nn.Conv1d(6, 2, 1)), "'1' is a Flatten"),
        (lambda: nn.Sequential(nn.Conv2d(3, 6, 3), Residual(nn.Conv2d(6, 6, 1))), "'1' is a Residual"),
        (lambda: Twice(nn.Conv2d(3, 6, 3), nn.Conv2d(6, 2, 1)), "no adapter knows a Twice"),
        (lambda: Twice(nn.Linear(3, 6), nn.Linear(6, 2)), "no adapter knows a Twice"),
    ],
)  # fmt: skip
def test_what_may_mix_channels_is_refused_by_name(model, says):
    with pytest.raises(InputError, match=says) as error:
        wire(model())
    assert len(str(error.value)) <= 600


def test_one_convolution_used_twice_is_refused_with_both_names():
    layer = nn.Conv2d(4, 4, 3)
    with pytest.raises(InputError, match="'1.(weight|bias)' and '2.(weight|bias)' are the same memory"):
        wire(nn.Sequential(nn.Conv2d(3, 4, 1), layer, layer, nn.Conv2d(4, 2, 1)))


class ResNet(nn.Module):
    """A small network of residual blocks."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {"conv1": nn.Conv2d(width, 5, 3, padding=1, bias=False), "norm1": nn.BatchNorm2d(5),
                 "conv2": nn.Conv2d(5, width, 3, padding=1, bias=False), "norm2": nn.BatchNorm2d(width)}
            )
            for _ in range(2)
        )  # fmt: skip
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        for block in self.blocks:
            inside = block["norm1"](block["conv1"](x)).relu()
            x = (x + block["norm2"](block["conv2"](inside))).relu()
        return self.head(x.mean((2, 3)))


def table_of_resnet() -> dict[str, str]:
    """One population of channels that all blocks add to, and one inside each block."""
    table = {"stem.weight": "residual@Res0 _ _ _", "stem.bias": "residual@Res0", "head.weight": "_ residual@Res2"}
    for i in range(2):
        block, before, after, inside = f"blocks.{i}", f"residual@Res{i}", f"residual@Res{i + 1}", f"channels{i}"
        table |= {f"{block}.conv1.weight": f"{inside} {before} _ _", f"{block}.conv2.weight": f"{after} {inside} _ _"}
        table |= {f"{block}.norm1.{own}": inside for own in ("weight", "bias")}
        table |= {f"{block}.norm2.{own}": after for own in ("weight", "bias")}
    return table


def test_a_resnet_is_wired_by_a_table():
    model = drawn(ResNet())
    rows = [["Res0"], ["channels0"], ["Res1"], ["channels1"], ["Res2"]]
    wiring = Wiring.from_table(table_of_resnet(), model, rows=rows, left_out=["head.bias"], order_free=["head.bias"])
    bimt = BIMT(model, wiring=wiring)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(x)
        bimt.swap()
        assert torch.equal(model(x), before)
        for seed in range(4):
            bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
            bimt.bake_(check=x)
            assert (model(x) - before).abs().max() <= 1e-12 * before.abs().max()
    assert not bimt.wiring.unbaked


LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "norm": nn.BatchNorm2d, "bare norm": lambda n: nn.BatchNorm2d(n, affine=False),
    "group": lambda n: nn.GroupNorm(1, n), "groups": lambda n: nn.GroupNorm(2, n),
    "instance": lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True),
    "depthwise": lambda n: nn.Conv2d(n, n, 3, padding=1, groups=n), "slopes": nn.PReLU, "slope": lambda n: nn.PReLU(),
    "relu": lambda n: nn.ReLU(), "pool": lambda n: nn.MaxPool2d(3, 1, 1), "shuffle": lambda n: nn.ChannelShuffle(2),
    "softmax": lambda n: nn.Softmax2d(), "paired": lambda n: nn.Conv2d(n, n, 3, padding=1, groups=2),
    "response": lambda n: nn.LocalResponseNorm(3),
}  # fmt: skip


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(LAYERS)), st.sampled_from([2, 4, 6])), min_size=1, max_size=4),
    st.booleans(),
)
def test_random_chains_are_right_or_refused(drawn_layers, flat):
    layers: list[nn.Module] = [nn.Conv2d(3, 4, 3, padding=1)]
    width = 4
    for name, channels in drawn_layers:
        layers += [LAYERS[name](width), nn.Conv2d(width, channels, 1)]
        width = channels
    layers += [nn.Flatten(), nn.Linear(width * 64, 3)] if flat else []
    model = drawn(nn.Sequential(*layers))
    try:
        bimt = BIMT(model)
    except InputError:
        refused = {"groups", "shuffle", "softmax", "response", "paired"}
        assert refused & {name for name, _ in drawn_layers}
        return
    x = batch_for(model)
    with torch.no_grad():
        before = model(x)
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(len(layers)))
        bimt.bake_(check=False)
        assert (model(x) - before).abs().max() <= 1e-11 * before.abs().max()
