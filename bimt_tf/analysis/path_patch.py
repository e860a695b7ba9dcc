"""Path patching: what run B's sender does to run A's output through the direct path to a receiver alone.

After Wang et al. (2022, Section 3.1) and Goldowsky-Dill et al. (2023):

1. Run A; run B.
2. Run A with the sender of run B, every attention and every MLP that is not the sender's or the receiver's own held at
   what it was in run A. What arrives at the receiver came straight from the sender: through the residual stream, or
   through the weights of one layer.
3. Run A with this at the receiver: how far does the output move?

Without a receiver, the output of step 2 is read: the direct effect on the output.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import flat_neurons, run_hooked
from bimt_tf.analysis.exchange import Exchange, Read, Site, sites_of
from bimt_tf.analysis.moves import Move
from bimt_tf.analysis.progress import Progress
from bimt_tf.analysis.random_sets import Null, null_of
from bimt_tf.errors import InputError, require_seed, require_whole

__all__ = ["PathEffect", "path_patch"]

_BRANCH = re.compile(r"blocks\.\d+\.hook_(attn|mlp)_out|layers\.\d+\.hook_post")


class PathEffect(NamedTuple):
    """What passes from a sender to a receiver.

    ``share``, ``interval``, ``slope``, ``r2``: how far the output moves through the direct path, see
    :mod:`bimt_tf.analysis.moves`. ``arrived``: root mean square of the change at the receiver, as a share of that
    between run A and run B; None where those do not differ. ``total``: how far the sender moves it on all paths
    together; ``null``: random senders of the same size by the same path, None for the reason in ``no_null``.
    ``frozen``: hooks that were held.
    """

    sender: Site
    receiver: Site | None
    share: float
    interval: tuple[float, float]
    slope: float | None
    r2: float | None
    arrived: float | None
    total: Move
    null: Null | None
    no_null: str
    frozen: list[str]
    pairs: int

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        given = self._asdict()
        for name in ("sender", "receiver", "total", "null"):
            given[name] = None if given[name] is None else given[name].as_dict()
        return given

    def __repr__(self) -> str:
        to = "the output" if self.receiver is None else str(self.receiver)
        return f"PathEffect({self.sender} to {to}: share {self.share:.3f}, on all paths {self.total.share:.3f})"


def path_patch(
    model: nn.Module,
    sender: Site,
    receiver: Site | None,
    inputs: Shaped[Tensor, "n ..."],
    source: Shaped[Tensor, "n ..."],
    wanted: Shaped[Tensor, "n ..."] | None = None,
    *,
    read: Read | None = None,
    random_sets: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
) -> PathEffect:
    """What of the output moves through the direct path from a sender to a receiver.

    Args:
        model: a HookedRootModule or a TransformerBridge with hooks by TransformerLens's names, or an MLP.
        sender: ``Site(hook, neurons, position)`` whose values are taken from run B.
        receiver: the site that hears of it, behind the sender; None for the output itself. It has no direction.
        inputs: of run A, as :func:`bimt_tf.analysis.interchange.interchange` takes them, as are source, wanted, read,
            random_sets and seed.
        source: of run B.
        wanted: what should be read of A's output.
        read: what is measured of an output.
        random_sets: how many random senders are drawn.
        seed: of the draws.
        progress: told (done, of) behind every random set.

    Raises:
        InputError: as ``interchange``, for a receiver that comes before the sender, or a model without such hooks.
    """
    (sender,) = sites_of(sender)
    require_whole("random_sets", random_sets, at_least=0)
    require_seed(seed)
    if receiver is not None:
        (receiver,) = sites_of(receiver)
        if receiver.direction is not None:
            raise InputError("a receiver has neurons, not a direction")
    ends = [sender.hook] if receiver is None else [sender.hook, receiver.hook]
    frozen = _frozen(model, ends)
    exchange = Exchange(model, [*ends, *frozen], inputs, source, wanted, read)
    exchange.entries(sender)
    if receiver is not None:
        exchange.entries(receiver)
        _require_behind(exchange, *ends)
    path = _Path(exchange, receiver, frozen)
    after, arrived = path.after(sender)
    move = exchange.line.move(after)
    generator = torch.Generator().manual_seed(seed)
    interval = exchange.line.interval(after, generator)

    def share_of(others: Sequence[Site]) -> float:
        return exchange.line.move(path.after(others[0])[0]).share

    null, no_null = null_of(exchange, [sender], move.share, share_of, random_sets, generator, progress)
    total = exchange.move(exchange.edits([sender]))
    return PathEffect(
        sender, receiver, move.share, interval, move.slope, move.r2, arrived, total, null, no_null, frozen,
        exchange.line.pairs,
    )  # fmt: skip


def _frozen(model: nn.Module, ends: Sequence[str]) -> list[str]:
    """The outputs of the attentions and MLPs (of an MLP, its layers) that are neither end's own."""
    known = getattr(model, "hook_dict", {})
    branches = [name for name in known if _BRANCH.fullmatch(name)]
    if known and not branches:
        raise InputError(
            "path_patch holds blocks.*.hook_attn_out and hook_mlp_out, or layers.*.hook_post: the model has none"
        )
    points = {id(known[name]) for name in ends if name in known}
    own = {_branch(name) for name in ends}
    return [name for name in branches if name not in own and id(known[name]) not in points]


def _branch(hook: str) -> str:
    """The output of the attention, MLP or layer that a hook is in; the hook itself in none."""
    if found := re.fullmatch(r"(layers\.\d+)\..*", hook):
        return f"{found[1]}.hook_post"
    if found := re.fullmatch(r"(blocks\.\d+)\.(?:(attn|mlp)\..*|hook_(attn|mlp)_in|hook_([qkv])_input)", hook):
        return f"{found[1]}.hook_{found[2] or found[3] or 'attn'}_out"
    return hook


def _require_behind(exchange: Exchange, sender: str, receiver: str) -> None:
    """Raise InputError unless a run reaches the receiver's hook after the sender's."""
    order: list[str] = []
    run_hooked(exchange.model, exchange.inputs[:1], {name: _Noted(name, order) for name in (sender, receiver)})
    if sender == receiver or order.index(receiver) < order.index(sender):
        raise InputError(
            f"the receiver {receiver!r} does not come behind the sender {sender!r}: nothing passes that way"
        )


class _Noted:
    """Writes down that a hook was reached."""

    def __init__(self, name: str, order: list[str]) -> None:
        self._name, self._order = name, order

    def __call__(self, activation: Tensor) -> None:
        self._order.append(self._name)


class _Path:
    """The direct path to a receiver, everything else held."""

    def __init__(self, exchange: Exchange, receiver: Site | None, frozen: Sequence[str]) -> None:
        self._exchange, self._receiver, self._frozen = exchange, receiver, frozen

    def after(self, sender: Site) -> tuple[Tensor, float | None]:
        """What is read of run A's output with what arrives from the sender, and how much arrives."""
        exchange, receiver = self._exchange, self._receiver
        held = {name: self._hold(name) for name in self._frozen}
        if receiver is None:
            return exchange.after({**held, sender.hook: exchange.edit(sender)}), None
        arrived: list[Tensor] = []
        edits = {**held, sender.hook: exchange.edit(sender), receiver.hook: self._listen(receiver, arrived)}
        exchange.after(edits)
        (there,) = arrived
        entries = exchange.entries(receiver).to(there.device)

        def bring(activation: Tensor) -> Tensor:
            flat = flat_neurons(receiver.hook, activation)
            return torch.where(entries, there, flat).reshape(activation.shape)

        a, b = exchange.a[receiver.hook].flat, exchange.b[receiver.hook].flat
        whole = float((b - a)[:, entries].square().mean())
        came = float((there - a)[:, entries].square().mean())
        return exchange.after({receiver.hook: bring}), (came / whole) ** 0.5 if whole > 0 else None

    def _hold(self, hook: str) -> Any:
        value = self._exchange.a[hook]
        return lambda activation: value.flat.reshape(activation.shape)

    def _listen(self, receiver: Site, arrived: list[Tensor]) -> Any:
        def listen(activation: Tensor) -> None:
            arrived.append(flat_neurons(receiver.hook, activation).detach().clone())

        return listen
