"""Run A with some entries of run B: the machine behind interchange, minimal sets, paths and edges.

A site names entries at a hook: neurons (all unless given) or a direction, at positions (all unless given). Both runs
are made once; every exchange is one more run of A.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import flat_neurons, require_examples, run_hooked
from bimt_tf.analysis.clean_run import seen_at
from bimt_tf.analysis.moves import Line, Move
from bimt_tf.analysis.written import Positions, entries_at, varying, whole_numbers
from bimt_tf.errors import InputError, require_callable, require_kind

__all__ = ["Exchange", "Read", "Site", "sites_of"]

Read = Callable[[Any], Tensor]
"""The model's output -> what is measured of it: numbers [n, ...], or whole numbers (answers) [n]."""


class Site(NamedTuple):
    """Entries at a hook.

    ``neurons``: their numbers, all for None; of q, k, v and z, neuron ``head * d_head + e`` is neuron e of its head.
    ``position``: tokens, from the end if negative, all for None. ``direction`` [neurons]: instead of single neurons,
    the part of the activation along this vector.
    """

    hook: str
    neurons: Sequence[int] | None = None
    position: Positions = None
    direction: Float[Tensor, " neurons"] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The site as plain values, ready for JSON."""
        given = self._asdict()
        given["direction"] = None if self.direction is None else torch.as_tensor(self.direction).tolist()
        for name in ("neurons", "position"):
            given[name] = list(given[name]) if isinstance(given[name], Sequence) else given[name]
        return given

    def __str__(self) -> str:
        which = "all" if self.neurons is None else ", ".join(map(str, self.neurons))
        which = "a direction" if self.direction is not None else f"neurons {which}"
        return f"{which} of {self.hook}" + ("" if self.position is None else f" at token {self.position}")


def sites_of(sites: Site | Sequence[Site]) -> list[Site]:
    """One site or several as a list; raises InputError for what is none, or a hook that stands twice."""
    given: Sequence[Any] = [sites] if isinstance(sites, Site) else sites if isinstance(sites, Sequence) else []
    found = [site for site in given if isinstance(site, Site)]
    if not found or len(found) < len(given):
        raise InputError(f"sites must be a Site(hook, neurons, position) or several, found {sites!r}")
    for number, site in enumerate(found):
        if site.neurons is not None:  # which may be numbers of an array or a tensor
            found[number] = site._replace(neurons=tuple(whole_numbers(f"hook {site.hook!r}", site.neurons)))
    hooks = [site.hook for site in found]
    for hook in hooks:
        if hooks.count(hook) > 1:
            raise InputError(f"hook {hook!r} stands in {hooks.count(hook)} sites: name its neurons in one")
    return found


class Exchange:
    """Two runs of a model, and what becomes of the first with parts of the second.

    Args:
        model: a HookedRootModule or a TransformerBridge.
        hooks: the hooks at which entries will be exchanged.
        inputs: of run A, [n, ...].
        source: of run B, of the same shape.
        wanted: what should be read of A's output if it had what is looked for of B, as ``read`` gives it; that of run B
            unless given.
        read: what is measured of an output; all its numbers unless given.

    Raises:
        InputError: for inputs that do not match, hooks that are unknown, or what :class:`Line` refuses.
    """

    def __init__(
        self,
        model: nn.Module,
        hooks: Sequence[str],
        inputs: Shaped[Tensor, "n ..."],
        source: Shaped[Tensor, "n ..."],
        wanted: Shaped[Tensor, "n ..."] | None = None,
        read: Read | None = None,
    ) -> None:
        require_examples(inputs)
        require_kind("source", source, Tensor)
        if source.shape != inputs.shape:
            raise InputError(
                f"source must have the shape of inputs, {list(inputs.shape)}: one partner an example, "
                f"found {list(source.shape)}"
            )
        if read is not None:
            require_callable("read", read)
        self.model, self.inputs, self._read = model, inputs, read
        output, self.a = seen_at(model, hooks, inputs)
        of_source, self.b = seen_at(model, hooks, source)
        wanted = self.read(of_source) if wanted is None else wanted
        require_kind("wanted", wanted, Tensor)
        self.line = Line(self.read(output), wanted)

    def read(self, output: Any) -> Tensor:
        """What is measured of an output; raises InputError for what is no tensor of one row an example."""
        found = output if self._read is None else self._read(output)
        if not isinstance(found, Tensor) or found.ndim == 0 or len(found) != len(self.inputs):
            what = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise InputError(
                f"read must give a tensor with one row for each of {len(self.inputs)} examples, found {what}"
            )
        return found

    def after(self, edits: Mapping[str, Callable[[Tensor], Tensor | None]]) -> Tensor:
        """What is read of run A's output under some edits."""
        return self.read(run_hooked(self.model, self.inputs, edits))

    def move(self, edits: Mapping[str, Callable[[Tensor], Tensor | None]]) -> Move:
        """How far run A's output moves under some edits."""
        return self.line.move(self.after(edits))

    def entries(self, site: Site) -> Bool[Tensor, "*pos neurons"]:
        """The entries of a site; raises InputError for neurons or positions that are not there."""
        shape = self.a[site.hook].flat.shape[1:]
        neurons = None if site.neurons is None else whole_numbers(f"hook {site.hook!r}", site.neurons)
        return entries_at(site.hook, shape, neurons, site.position)

    def edit(self, site: Site) -> Callable[[Tensor], Tensor]:
        """What brings B's values to a site, whatever has been done to A before it."""
        entries, of_b = self.entries(site), self.b[site.hook].flat
        if site.direction is None:
            return lambda activation: torch.where(
                entries.to(activation.device), of_b, flat_neurons(site.hook, activation)
            ).reshape(activation.shape)
        along = self._direction(site).to(of_b)

        def turn(activation: Tensor) -> Tensor:
            flat = flat_neurons(site.hook, activation)
            lacking = ((of_b - flat) @ along / along.square().sum())[..., None] * along
            return torch.where(entries.to(flat.device), flat + lacking, flat).reshape(activation.shape)

        return turn

    def edits(self, sites: Sequence[Site]) -> dict[str, Callable[[Tensor], Tensor | None]]:
        """:meth:`edit` of several sites, by hook."""
        return {site.hook: self.edit(site) for site in sites}

    def varying(self, site: Site) -> list[int]:
        """The neurons that vary over the examples of both runs at a site's hook and positions."""
        both = torch.cat([self.a[site.hook].flat, self.b[site.hook].flat])
        return varying(both, self._tokens(site))

    def differing(self, site: Site) -> list[int]:
        """The neurons that are not the same in both runs at a site's positions: no other can move anything."""
        a, b = self.a[site.hook].flat, self.b[site.hook].flat
        differ = ((a != b) & self._tokens(site)).reshape(-1, a.shape[-1]).any(0)
        return differ.nonzero().flatten().tolist()

    @cached_property
    def floor(self) -> Move:
        """How far run A's output moves if nothing is done to it."""
        return self.move({})

    def _tokens(self, site: Site) -> Bool[Tensor, "*pos neurons"]:
        return self.entries(site._replace(neurons=None)).to(self.a[site.hook].flat.device)

    def _direction(self, site: Site) -> Tensor:
        size = self.a[site.hook].flat.shape[-1]
        direction = torch.as_tensor(site.direction)
        if site.neurons is not None:
            raise InputError("a site has neurons or a direction, not both")
        if tuple(direction.shape) != (size,) or not direction.isfinite().all() or not direction.any():
            raise InputError(
                f"direction must be a vector of {size} finite numbers that are not all 0 (hook {site.hook!r}), "
                f"found one of shape {list(direction.shape)}"
            )
        return direction
