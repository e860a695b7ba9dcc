"""Run by tests/training/test_distributed.py: two processes of gloo on the CPU; what each case gave, as JSON on stdout.

Both processes are forked after the imports, which take longer than all that is done here.
"""

from __future__ import annotations

import json
import sys

import torch
from torch import distributed, multiprocessing
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel

from bimt_tf import BIMT, MLP, Geometry, attach

WORLD, STEPS, BAKED_AT, BATCH = 2, 40, 15, 16


def network(seed=0):
    return MLP([3, 8, 8, 2], seed=seed)


def wired(model):
    return BIMT(model, Geometry(width=1.0, layer_gap=0.1), reduction="sum")


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-2)


def zero(parameters):
    return ZeroRedundancyOptimizer(parameters, torch.optim.AdamW, lr=1e-2)


def batches(rank):
    """What this process sees of the data: its own, unlike the other's."""
    generator = torch.Generator().manual_seed(rank)
    while True:
        x = torch.rand(BATCH, 3, generator=generator)
        yield x, x[:, :2] * x[:, 1:]


def alike(tensors):
    """Whether each tensor has the same bits in all processes."""
    found = True
    for tensor in tensors:
        gathered = [torch.empty_like(tensor) for _ in range(WORLD)]
        distributed.all_gather(gathered, tensor.detach().contiguous())
        found &= all(torch.equal(tensor.detach(), other) for other in gathered)
    return found


def replicas(rank, penalty, optimizer=adamw, **settings):
    """Train, swap and bake on every process; where they part, and what the training came to."""
    model = network(seed=rank)  # DistributedDataParallel gives all processes the first one's weights
    wrapped = DistributedDataParallel(model, **settings)
    bimt, one = wired(wrapped), optimizer(wrapped.parameters())
    attached = attach(bimt, one, steps=STEPS, lam=0.02, penalty=penalty, swap_every=5, cut=0.03)
    said, moved = [], False
    for step, (x, y) in zip(range(STEPS), batches(rank), strict=False):
        one.zero_grad()
        (wrapped(x) - y).square().mean().backward()
        one.step()
        if step == BAKED_AT:
            orders = bimt.bake_(getattr(one, "optim", one))
            moved = any(not torch.equal(order, order.sort().values) for order in orders.values())
        if not alike([*model.parameters(), *bimt.layout.slots.values()]):
            said.append(step)
    return {
        "parted": said,
        "phase": attached.phase,
        "moved": moved,
        "zeros": sum(int((p == 0).sum()) for p in model.parameters()),
        "weights": [value for p in model.parameters() for value in p.detach().flatten().tolist()],
    }


def by_hand(rank):
    """The documented calls without hooks, and the first process's layout for all."""
    wrapped = DistributedDataParallel(network(seed=rank))
    bimt, one = wired(wrapped), adamw(wrapped.parameters())
    for _, (x, y) in zip(range(20), batches(rank), strict=False):
        one.zero_grad()
        with wrapped.no_sync():
            (wrapped(x) - y).square().mean().backward()
        (wrapped(x) - y).square().mean().backward()
        bimt.add_cost_grad_(0.01)
        bimt.step_(one, 0.01)
    bimt.swap(generator=torch.Generator().manual_seed(rank), starts=3)  # generators of their own: layouts may differ
    states = [bimt.state_dict()]
    distributed.broadcast_object_list(states, src=0)
    bimt.load_state_dict(states[0])
    bimt.bake_(one)
    return alike([*bimt.model.parameters(), *bimt.layout.slots.values()])


KINDS = ("fsdp2", "fsdp2 inside", "fsdp1", "fsdp1 unwrapped", "fsdp1 original", "fsdp1 original unwrapped")


def sharded(kind):
    """The network in an FSDP wrapper: (what is given to BIMT, the module inside)."""
    model = network()
    if kind == "fsdp2":
        return fully_shard(model), model
    if kind == "fsdp2 inside":
        fully_shard(model.layers[0])
        return model, model
    wrapped = FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params="original" in kind)
    return (model if "unwrapped" in kind else wrapped), model


def refusal(call):
    try:
        return f"no error: {call()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def refused_after(kind, call):
    """What a call says once a model that was wired whole is split."""
    model = network()
    bimt = wired(model)
    wrapped = fully_shard(model) if kind == "fsdp2" else FullyShardedDataParallel(
        model, device_id=torch.device("cpu"), use_orig_params="original" in kind
    )  # fmt: skip
    optimizer = adamw(wrapped.parameters())
    wrapped(torch.rand(4, 3)).sum().backward()
    return refusal(lambda: call(bimt, optimizer))


CALLS = {
    "cost": lambda bimt, _: bimt.cost(),
    "add_cost_grad_": lambda bimt, _: bimt.add_cost_grad_(0.1),
    "step_": lambda bimt, optimizer: bimt.step_(optimizer, 0.1),
    "swap": lambda bimt, _: bimt.swap(),
    "bake_": lambda bimt, _: bimt.bake_(),
}


def gathered():
    """The refusal's advice: the whole state_dict in the plain model."""
    split = fully_shard(network(seed=3))
    state = get_model_state_dict(split, options=StateDictOptions(full_state_dict=True))
    whole = network(seed=4)
    whole.load_state_dict(state)
    bimt = wired(whole)
    bimt.swap()
    bimt.bake_()
    x = torch.rand(5, 3)
    return torch.allclose(whole(x), network(seed=3)(x), atol=1e-6)


def process(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=WORLD)
    found = {
        "ddp": {
            "proximal": replicas(rank, "proximal"),
            "gradient": replicas(rank, "gradient"),
            "buckets": replicas(rank, "proximal", gradient_as_bucket_view=True),
            "divided": replicas(rank, "gradient", zero),
        },
        "by hand": by_hand(rank),
        "zero": {
            "proximal": refusal(lambda: attach(wired(model := network()), zero(model.parameters()), steps=9, lam=0.1)),
            "bake_": refusal(lambda: wired(model := network()).bake_(zero(model.parameters()))),
        },
        "fsdp": {
            kind: refusal(lambda kind=kind: BIMT(sharded(kind)[0]))
            for kind in KINDS
        },
        "after": {
            f"{kind} {name}": refused_after(kind, call)
            for kind in ("fsdp2", "fsdp1", "fsdp1 original")
            for name, call in CALLS.items()
        },
        "gathered": gathered(),
    }  # fmt: skip
    if rank == 0:
        sys.stdout.write(json.dumps(found))
        sys.stdout.flush()
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    multiprocessing.start_processes(process, args=(sys.argv[1],), nprocs=WORLD, start_method="fork")
