"""Which tensors of an optimizer's state move with the neurons: training goes on as before, or is refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bimt_tf import BIMT, MLP, Layout
from bimt_tf.errors import InputError

F64 = torch.float64


def model() -> nn.Module:
    return MLP([3, 6, 6, 2], seed=1, dtype=F64)


def loss(net: nn.Module, step: int) -> Tensor:
    x = torch.randn(16, 3, dtype=F64, generator=torch.Generator().manual_seed(step))
    return (net(x) - x[:, :2].sin()).square().mean()


class Lion(torch.optim.Optimizer):
    """Sign of an interpolated momentum (Chen et al. 2023)."""

    def __init__(self, params: object, lr: float = 1e-3) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p.data.add_((0.9 * m + 0.1 * p.grad).sign(), alpha=-group["lr"])
                m.mul_(0.99).add_(p.grad, alpha=0.01)


class ScheduleFree(Lion):
    """Averages beside the iterates: z and a number of steps for each parameter (Defazio et al. 2024)."""

    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                z = state.setdefault("z", p.detach().clone())
                state["k"] = state.get("k", 0) + 1
                z.sub_(p.grad, alpha=group["lr"])
                p.data.lerp_(z, 1 / state["k"])


class Flattened(Lion):
    """Keeps its first moment as one vector, as Prodigy does."""

    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p].setdefault("s", torch.zeros(p.numel(), dtype=p.dtype))
                s.mul_(0.9).add_(p.grad.flatten())
                p.data.sub_(s.view(p.shape), alpha=group["lr"])


class RowsAndColumns(Lion):
    """Second moments of rows and columns, a dimension less each (the Adafactor of Hugging Face and fairseq)."""

    def step(self, closure: object = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim == 1:
                    v = self.state[p].setdefault("exp_avg_sq", torch.zeros_like(p))
                    v.add_(p.grad.square())
                else:
                    row = self.state[p].setdefault("exp_avg_sq_row", torch.zeros(len(p), dtype=p.dtype))
                    column = self.state[p].setdefault("exp_avg_sq_col", torch.zeros(p.shape[1], dtype=p.dtype))
                    row.add_(p.grad.square().mean(1))
                    column.add_(p.grad.square().mean(0))
                    v = row[:, None] * column / row.mean()
                p.data.sub_(p.grad / (v.sqrt() + 1e-8), alpha=group["lr"])


def matrices(net: nn.Module) -> list[nn.Parameter]:
    return [p for p in net.parameters() if p.ndim == 2]


def muon_beside_adamw(net: nn.Module) -> list[torch.optim.Optimizer]:
    vectors = [p for p in net.parameters() if p.ndim < 2]
    return [torch.optim.Muon(matrices(net), lr=1e-2), torch.optim.AdamW(vectors, lr=1e-2)]


OPTIMIZERS = {
    "Adam": lambda net: torch.optim.Adam(net.parameters(), lr=1e-2, amsgrad=True),
    "AdamW": lambda net: torch.optim.AdamW(net.parameters(), lr=1e-2),
    "NAdam": lambda net: torch.optim.NAdam(net.parameters(), lr=1e-2),
    "RAdam": lambda net: torch.optim.RAdam(net.parameters(), lr=1e-2),
    "Adamax": lambda net: torch.optim.Adamax(net.parameters(), lr=1e-2),
    "SGD": lambda net: torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9, nesterov=True),
    "RMSprop": lambda net: torch.optim.RMSprop(net.parameters(), lr=1e-2, centered=True, momentum=0.5),
    "Adagrad": lambda net: torch.optim.Adagrad(net.parameters(), lr=1e-2),
    "Adadelta": lambda net: torch.optim.Adadelta(net.parameters()),
    "Rprop": lambda net: torch.optim.Rprop(net.parameters(), lr=1e-3),
    "ASGD": lambda net: torch.optim.ASGD(net.parameters(), lr=1e-2),
    "Adafactor": lambda net: torch.optim.Adafactor(net.parameters(), lr=1e-2),
    "LBFGS": lambda net: torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3),
    "Muon beside AdamW": muon_beside_adamw,
    "Lion": lambda net: Lion(net.parameters()),
    "schedule-free": lambda net: ScheduleFree(net.parameters(), lr=1e-2),
    "flattened": lambda net: Flattened(net.parameters(), lr=1e-2),
    "rows and columns": lambda net: RowsAndColumns(net.parameters(), lr=1e-3),
}


def several(made: object) -> list[torch.optim.Optimizer]:
    return made if isinstance(made, list) else [made]


def train(net: nn.Module, optimizers: list[torch.optim.Optimizer], steps: range) -> list[float]:
    found = []
    for step in steps:

        def closure(step: int = step) -> Tensor:
            for optimizer in optimizers:
                optimizer.zero_grad()
            made = loss(net, step)
            made.backward()
            return made

        found.append(closure().item())
        for optimizer in optimizers:
            optimizer.step(*([closure] if isinstance(optimizer, torch.optim.LBFGS) else []))
    return found


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_goes_on_as_if_nothing_had_happened(make):
    losses = {}
    for baked in ("no", "with", "without"):
        net = model()
        bimt, optimizers = BIMT(net), several(make(net))
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(3))
        train(net, optimizers, range(5))
        if baked != "no":
            assert len(bimt.bake_(optimizers if baked == "with" else None)) == 2
        losses[baked] = train(net, optimizers, range(5, 12))
    assert losses["with"] == pytest.approx(losses["no"], rel=1e-7)
    if not isinstance(optimizers[0], torch.optim.ASGD):  # whose averages are read at the end alone
        assert losses["without"] != pytest.approx(losses["no"], rel=1e-7)  # this test can fail


def trained(keep: str, make: object) -> tuple[BIMT, torch.optim.Optimizer]:
    """A BIMT of an MLP and an optimizer with a state of that name and value for each matrix."""
    net = model()
    bimt, optimizer = BIMT(net), torch.optim.SGD(net.parameters(), lr=1e-2)
    for p in matrices(net):
        optimizer.state[p][keep] = make(p)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(3))
    return bimt, optimizer


@pytest.mark.parametrize(
    ("keep", "make"),
    [
        ("Q", lambda p: [torch.eye(n, dtype=F64) for n in p.shape]),  # SOAP: of a square weight's own shape
        ("precond_0", lambda p: torch.eye(len(p), dtype=F64)),  # Shampoo
        ("absmax1", lambda p: torch.ones(5)),  # 8-bit states: blocks of entries
        ("moment", lambda p: torch.zeros(*p.shape, 2)),
        ("average", lambda p: torch.zeros(len(p), dtype=F64)),  # rows or columns of a square weight, who knows
    ],
)
def test_a_state_that_cannot_be_told_is_refused_by_name_and_nothing_moves(keep, make):
    bimt, optimizer = trained(keep, make)
    before, layout = copy.deepcopy(bimt.model.state_dict()), bimt.layout
    with pytest.raises(
        InputError, match=rf"state '{keep}[^']*' of SGD for 'layers.\d.weight' is \[.*not known how to move"
    ):
        bimt.bake_(optimizer)
    assert bimt.layout == layout and all(torch.equal(t, before[n]) for n, t in bimt.model.state_dict().items())


def test_a_factored_state_of_heads_that_move_apart_is_refused():
    from bimt_tf import RegressionTransformer

    net = RegressionTransformer(d_model=8, n_heads=2, d_head=4, dtype=F64, seed=0)
    bimt, optimizer = BIMT(net), torch.optim.SGD(net.parameters(), lr=1e-2)
    q = net.blocks[0].attn.W_Q  # [head, d_model, d_head]
    optimizer.state[q]["v"] = torch.rand(1, 8, 4, dtype=F64)  # one number for both heads
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(2))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(InputError, match="'v' of SGD for 'blocks.0.attn.W_Q' keeps one number for several neurons"):
        bimt.bake_(optimizer)
    assert all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


def test_what_is_no_optimizer_is_refused():
    net = model()
    bimt = BIMT(net)
    for given in ("adam", [torch.optim.SGD(net.parameters(), lr=1.0), 3]):
        with pytest.raises(InputError, match="must be a torch.optim.Optimizer or several, found a"):
            bimt.bake_(given)
    other = torch.optim.Adam(model().parameters())
    with pytest.raises(InputError, match=r"the optimizer \(Adam\) holds none of the model's parameters"):
        bimt.bake_([torch.optim.SGD(net.parameters(), lr=1.0), other])


def test_a_sparse_gradient_is_refused():
    from bimt_tf import Wiring

    net = nn.Sequential(nn.Embedding(5, 4, sparse=True), nn.Linear(4, 2))
    bimt = BIMT(net, wiring=Wiring.from_table({"0.weight": "_ h", "1.weight": "o h", "1.bias": "o"}, net))
    net(torch.tensor([1])).sum().backward()
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    with pytest.raises(InputError, match="gradient of '0.weight' is sparse"):
        bimt.bake_(check=torch.tensor([1, 2]))
