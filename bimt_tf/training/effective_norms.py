"""The penalty on effective weights (docs/norms.md): what a weight behind a norm pays, and the residual stream's scale.

With g the gain of the norm before a reading weight W, r the residual neuron it reads and d its length,

    cost = sum over readers of d |g_r W_r|  +  sum over all others of d |W|

to which W and g have gradients alike. The stream's scale, which no layer behind a norm sees, is pinned: after each step
everything that writes to the stream is multiplied by one number that gives it the norm it began with.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from bimt_tf.adapters.norms import RESIDUAL, Norms
from bimt_tf.core.population import Attachment, Connection
from bimt_tf.core.wiring import Wiring
from bimt_tf.training.flat import FlatParameters

__all__ = ["EffectiveWeights"]


class EffectiveWeights:
    """Effective weights of a flat vector of parameters; made while the weights are those that training begins with."""

    def __init__(self, flat: FlatParameters, wiring: Wiring, norms: Norms) -> None:
        self.vector = flat.vector
        device = self.vector.device
        one = self.vector.numel()  # the place, behind the last entry, of a gain of 1
        sizes = {name: p.numel() for name, p in flat.named.items()}
        begins = dict(zip(sizes, torch.tensor([0, *sizes.values()]).cumsum(0).tolist(), strict=False))
        wired = {w.parameter: w for w in wiring.wired}
        places = {
            name: begins[norms.gains[name]] + _residual_neuron(wired[name])
            if name in norms.gains
            else torch.full((size,), one)
            for name, size in sizes.items()
        }
        self.gain_of: Int64[Tensor, " entries"] = torch.cat(list(places.values())).to(device)
        self.writers = _marked(sizes, norms.writers).to(device)
        self.final = _marked(sizes, norms.final).to(device)
        self.scale = self.vector.detach()[self.writers].norm()

    def gains(self) -> Float[Tensor, " entries"]:
        """What each entry is multiplied with before it acts: the size of its norm's gain, or 1."""
        sizes = self.vector.detach().abs()
        return torch.cat([sizes, sizes.new_ones(1)])[self.gain_of]

    def charge(self, lengths: Float[Tensor, " entries"]) -> Float[Tensor, " entries"]:
        """What each entry pays per unit of its size, from what an effective weight pays: the cost's derivative."""
        sizes = self.vector.detach().abs()
        owed = sizes.new_zeros(len(sizes) + 1).index_add_(0, self.gain_of, lengths * sizes)
        return lengths * self.gains() + owed[:-1]

    def pin_(self) -> None:
        """Give what writes to the stream the size it began with; the function stays, but for the norms' epsilon."""
        data = self.vector.data
        now = data[self.writers].norm()
        if now > 0:
            factor = self.scale / now
            data.mul_(torch.where(self.writers, factor, torch.where(self.final, 1 / factor, torch.ones_like(factor))))


def _residual_neuron(wired: Connection | Attachment) -> Int64[Tensor, " entries"]:
    """The residual neuron that each entry of a parameter reads."""
    if isinstance(wired, Attachment):
        copies = wired.numel // (neurons := _size(wired))
        return wired.unflatten(torch.arange(neurons)[None].expand(copies, neurons)).reshape(-1)
    rows = wired.flatten(torch.zeros(wired.shape))
    numbers = torch.arange(rows.shape[1])[None, :, None].expand(rows.shape)
    return wired.unflatten(numbers).reshape(-1)


def _size(wired: Attachment) -> int:
    assert wired.stage.population == RESIDUAL
    return int(wired.flatten(torch.zeros(wired.shape)).shape[1])


def _marked(sizes: dict[str, int], names: tuple[str, ...]) -> Tensor:
    """Which entries belong to the named parameters."""
    return torch.cat([torch.full((size,), name in names) for name, size in sizes.items()])
