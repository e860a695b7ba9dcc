"""What a reordering would break that no axis string names: shared memory, buffers, left-out parameters.

A wiring says where each parameter stands. A model holds more: a second name of a weight, a table of positions in a
buffer, a weight that was left out. Each is either known (the table names it, and it moves along), or shown to be
harmless (constant along the axis in question), or it holds every population that it may stand on by its shape. Swaps
move no weight, so they are right in any case; what is held keeps its order in the layout when ``bake_`` is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.parametrize import ParametrizationList
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from bimt_tf.core.model_tree import Held, is_plumbing
from bimt_tf.core.population import Population, Wired
from bimt_tf.core.sharing import Shared, shared
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["COMPUTES", "is_free", "review"]

_ORDER_FREE = (parametrizations._WeightNorm, parametrizations._SpectralNorm)  # whose tensors say all
ORDINARY = ("bimt_tf.models.layers.HookedLinear", "transformers.models.falcon.modeling_falcon.FalconLinear")
"""Linear layers whose forward is nn.Linear's in other words, with hooks or an elementwise activation behind it."""

COMPUTES = (WeightNorm, SpectralNorm, prune.BasePruningMethod)
"""Hooks of torch that compute a weight from tensors which the module holds beside it."""


def review(wiring: Wiring, tensors: Sequence[Held]) -> Wiring:
    """The wiring with every population held that something unnamed in the model may stand on; ``why`` says what.

    Args:
        wiring: of the model.
        tensors: all that its module tree holds, under every name (core/model_tree.py).

    Raises:
        InputError: for two names on the same memory whose axes are not known to be the same.
    """
    known = {one.parameter: one for one in wiring.moving}
    whole: dict[str, str] = {}
    heads: dict[str, str] = {}
    again: set[str] = set()
    for pair in shared(tensors):
        for name, why in _of_shared(pair, known, wiring):
            whole.setdefault(name, why)
        if pair.first.name in known and pair.second.name in known and pair.second.kind == "parameter":
            again.add(pair.second.name)
    for one in tensors:
        if one.name in known:
            for name, why in _of_own_code(one, known[one.name], wiring):
                whole.setdefault(name, why)
        elif not is_free(one.name, wiring) and not _computed(one):
            if one.kind != "parameter" or one.name in wiring.left_out:
                for p in wiring.populations.values():
                    found = _stands(one, p)
                    if found:
                        (whole if found == "neurons" else heads).setdefault(p.name, _says(one))
    for name, why in _of_ties(wiring, {one.name: one.tensor for one in tensors}):
        heads.setdefault(name, why)
    populations = {}
    for name, p in wiring.populations.items():
        if name in whole and p.bakeable:
            p = replace(p, bakeable=False, why=whole[name])
        elif name in heads and p.bakeable and not p.anchored:
            p = replace(p, anchored=True, why=heads[name])
        populations[name] = p
    return replace(_charged_once(wiring, again), populations=_alike(populations))


def _of_ties(wiring: Wiring, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """(population, why) of heads that a router before them cannot tell apart: it takes those of the lower numbers."""
    depths = {stage.population: stage.depth for stage in reversed(wiring.stages)}
    for one in wiring.moving:
        for dim, name, heads in one.counted:
            router = any(stage.depth < depths[name] for stage in one.stages)
            if router and one.parameter in tensors and not (tensor := tensors[one.parameter].detach()).is_meta:
                rows = tensor.movedim(dim, 0).reshape(heads, -1)
                if len(rows.double().unique(dim=0)) < heads:
                    yield name, f"{one.parameter!r} has equal rows for two of them, and chooses by their numbers"


def _charged_once(wiring: Wiring, again: set[str]) -> Wiring:
    """The wiring with weights that lie on another's memory carried, not charged a second time."""
    carried = tuple(one for one in wiring.wired if one.parameter in again)
    if not carried:
        return wiring
    connections = tuple(one for one in wiring.connections if one not in carried)
    attachments = tuple(one for one in wiring.attachments if one not in carried)
    return replace(wiring, connections=connections, attachments=attachments, carried=(*wiring.carried, *carried))


def _alike(populations: dict[str, Population]) -> dict[str, Population]:
    """Heads that are anchored in one population are in those that share them."""
    held = {p.head_axis: p.why for p in populations.values() if p.head_axis and p.anchored}
    return {
        name: replace(p, anchored=True, why=p.why or held[p.head_axis]) if p.head_axis in held else p
        for name, p in populations.items()
    }


def is_free(name: str, wiring: Wiring) -> bool:
    """Whether ``order_free`` names a tensor, or a module that it is in."""
    return any(name == free or name.startswith((f"{free}.", f"{free}[")) for free in wiring.order_free)


def _says(one: Held) -> str:
    what = "left-out parameter" if one.kind == "parameter" else one.kind
    return f"the {what} {one.name!r} {list(one.tensor.shape)} may stand on it"


def _stands(one: Held, p: Population) -> str:
    """Whether a tensor may stand on a population's "neurons", or on its "heads" alone, by its shape; else "".

    A dimension may hold the neurons once or several times (fused projections), a head's (positions that rotate), or
    half of either (frequencies, of which sines and cosines are made), or a number for each group of neurons (scales of
    a quantiser). Along a dimension of whole ones or groups in which a buffer is constant nothing depends on the order;
    a parameter will change when it is trained. What is as long as there are heads is taken to stand on these alone.
    """
    if p.size == 1 or not p.bakeable:
        return ""
    units = [p.size, p.head_size] if p.heads > 1 and p.head_size > 1 else [p.size]
    on_heads = False
    for dim, length in enumerate(one.tensor.shape):
        if any(2 * length == unit for unit in units):
            return "neurons"
        neurons = any(length % unit == 0 for unit in units)
        neurons |= length > 1 and length != p.heads and any(unit % length == 0 for unit in units)
        if (neurons or (p.heads > 1 and length % p.heads == 0)) and (
            one.kind == "parameter" or not _constant(one.tensor, dim)
        ):
            if neurons:
                return "neurons"
            on_heads = True
    return "heads" if on_heads else ""


def _constant(tensor: Tensor, dim: int) -> bool:
    """Whether all along a dimension is equal."""
    if tensor.is_meta or tensor.layout != torch.strided:
        return False
    tensor = tensor.detach()
    return torch.equal(tensor.narrow(dim, 0, 1).expand_as(tensor), tensor)


def _of_own_code(one: Held, wired: Wired, wiring: Wiring) -> Iterator[tuple[str, str]]:
    """(population, why) held because code of its own stands between a weight and what is computed with it."""
    module = one.module
    what, strange = "forward", [module]
    if isinstance(module, ParametrizationList):
        what = "parametrization"
        strange = [m for m in module if not isinstance(m, _ORDER_FREE)]
    elif not _has_own_forward(module):
        return
    if strange and not is_free(one.name, wiring):
        why = f"{one.name!r} has a {what} of its own, {type(strange[0]).__name__}"
        yield from ((population, why) for population in wired.stands_on)


def _has_own_forward(module: nn.Module) -> bool:
    """Whether a linear layer computes otherwise than nn.Linear, or a module's ``forward`` was replaced by hand."""
    kind = type(module)
    if "forward" in vars(module):  # accelerate's moves devices
        return not hasattr(module, "_hf_hook") and not is_plumbing(module.forward)
    own = isinstance(module, nn.Linear) and kind.forward is not nn.Linear.forward
    return own and f"{kind.__module__}.{kind.__qualname__}" not in ORDINARY


def _computed(one: Held) -> bool:
    """Whether an attribute is computed anew from wired tensors before each forward pass (weight_norm, prune)."""
    hooks = one.module._forward_pre_hooks.values() if one.kind == "attribute" else ()
    return any(
        getattr(h, "name", getattr(h, "_tensor_name", None)) == one.own for h in hooks if isinstance(h, COMPUTES)
    )


def _of_shared(pair: Shared, known: dict[str, Wired], wiring: Wiring) -> Iterable[tuple[str, str]]:
    """(population, why) held because of two tensors on the same memory; InputError where the two are at odds."""
    first, second, dims = pair
    named = [known[one.name] for one in (first, second) if one.name in known]
    if not named:
        return ()
    if len(named) == 2 and dims is not None and first is not second:
        axes = tuple(named[0].axes[dim] for dim in dims)
        if axes == named[1].axes:
            return ()
        raise InputError(
            f"{first.name!r} and {second.name!r} are the same memory, but their axes are "
            f"{_spelled(named[0])} and {_spelled(named[1])}: where one moves the other would be wrong. Name the axes "
            "by the same populations, or give each a weight of its own"
        )
    if first is second:
        raise InputError(f"{first.name!r} holds one number under several indices (an expanded tensor): clone it first")
    if len(named) == 2:
        raise InputError(
            f"{first.name!r} and {second.name!r} overlap in memory and are both wired: give each a weight of its own"
        )
    other = second if first.name in known else first
    if is_free(other.name, wiring):
        return ()
    if other.kind == "parameter" and other.name not in wiring.left_out:
        mine = first if other is second else second
        raise InputError(
            f"{other.name!r} is the same memory as {mine.name!r}, wired as {_spelled(named[0])}, and is used a second "
            "time: name its axes in the table too, so that both uses are known"
        )
    why = f"the {other.kind} {other.name!r} lies on the same memory as {named[0].parameter!r}"
    return ((population, why) for population in named[0].stands_on)


def _spelled(wired: Wired) -> str:
    """The axis string, without stages."""
    return repr(" ".join(words[0] if len(words) == 1 else f"({' '.join(words)})" for words in wired.axes))
