"""What a neuron gives, given by others: its outgoing weights added to theirs, and its constant part to biases.

A neuron whose activations are a = s_1 a_1 + s_2 a_2 + ... + c for every example can go without any change: whatever
reads it by the weight w reads the others by w s_1, w s_2, ... more, and w c stands in its bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.analysis.stages import whole_stage
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Connection, Stage
from bimt_tf.training.elimination.search import Search

__all__ = ["Dependence", "dependences", "fold_", "hidden_stages", "live_neurons", "neurons_of"]


class Dependence(NamedTuple):
    """A neuron's activations as those of ``others`` times ``slopes``, plus ``constant``; ``left``: the root of the mean
    square of what is not explained.
    """

    neuron: int
    others: tuple[int, ...]
    slopes: tuple[float, ...]
    constant: float
    left: float


def hidden_stages(bimt: BIMT) -> list[Stage]:
    """The stages whose neurons are read by weights alone: hidden neurons that stand at one depth, of no head."""
    wiring = bimt.wiring
    hooks = stage_hooks(bimt.model, wiring)
    depths = [stage.depth for stage in wiring.stages]
    often = [stage.population for stage in wiring.stages]
    tables = {a.stage.population for a in wiring.attachments if not a.is_bias}  # embeddings of tokens are no inputs
    found = []
    for stage in wiring.stages:
        inner = min(depths) < stage.depth < max(depths) or (stage.depth == min(depths) and stage.population in tables)
        alone = often.count(stage.population) == 1 and wiring.populations[stage.population].head_axis is None
        if inner and alone and stage.name in hooks:
            found.append(stage)
    return found


def neurons_of(search: Search, stage: Stage) -> Float[Tensor, "rows neurons"]:
    """The activations of a stage for all examples and positions, of the present network."""
    hook = stage_hooks(search.bimt.model, search.bimt.wiring)[stage.name]
    return whole_stage(search.bimt.model, search.examples.inputs, hook).flatten(0, -2)


def live_neurons(bimt: BIMT, stage: Stage) -> list[int]:
    """The neurons of a stage that something reads."""
    read = torch.zeros(bimt.wiring.populations[stage.population].size, dtype=torch.bool)
    for connection in _out_of(bimt, stage):
        read |= (connection.flatten(bimt.parameters[connection.parameter]) != 0).any(0).any(1).cpu()
    return read.nonzero().squeeze(1).tolist()


def dependences(activations: Float[Tensor, "rows neurons"], neurons: Sequence[int], most: int) -> list[Dependence]:
    """Each of some neurons by none of the others, by the one that explains it best, and so on up to ``most`` of them.

    The others are chosen one after the other, each the one most correlated with what is still unexplained, and the
    slopes fitted again by least squares.
    """
    found = []
    activations = activations.cpu()  # on GPUs torch has no least squares for columns that depend on each other
    means = activations.mean(0)
    centred = activations - means
    sizes = centred.norm(dim=0)
    for neuron in neurons:
        target, others, slopes = centred[:, neuron], list[int](), centred.new_zeros(0)
        left = target
        for _ in range(most + 1):
            constant = float(means[neuron] - slopes @ means[others])
            rest = float(left.square().mean().sqrt())
            found.append(Dependence(neuron, tuple(others), tuple(slopes.tolist()), constant, rest))
            fresh = [k for k in neurons if k != neuron and k not in others and float(sizes[k]) > 0]
            if len(others) == most or not fresh:
                break
            scores = (centred[:, fresh].mT @ left).abs() / sizes[fresh]
            others.append(fresh[int(scores.argmax())])
            slopes = torch.linalg.lstsq(centred[:, others], target[:, None], driver="gelsd").solution[:, 0]
            left = target - centred[:, others] @ slopes
    return found


def fold_(bimt: BIMT, changed: dict[str, Tensor], stage: Stage, one: Dependence) -> bool:
    """Let others give what a neuron gives, in ``changed`` (parameter -> its new values); whether that can be.

    It cannot where what reads the neuron has no bias for a constant part; ``changed`` then lacks that part alone.
    """
    held: Mapping[str, Tensor] = bimt.parameters
    for connection in _out_of(bimt, stage):
        weight = connection.flatten(changed.get(connection.parameter, held[connection.parameter].detach())).clone()
        gone = weight[:, one.neuron].clone()
        for other, slope in zip(one.others, one.slopes, strict=True):
            weight[:, other] += slope * gone
        weight[:, one.neuron] = 0
        changed[connection.parameter] = connection.unflatten(weight).contiguous()
        if one.constant and bool(gone.any()):
            biases = [a for a in bimt.wiring.attachments if a.stage == connection.target and a.is_bias]
            if not biases:
                return False
            name = biases[0].parameter
            bias = biases[0].flatten(changed.get(name, held[name].detach())).clone()
            if len(bias) > 1:  # one for each position
                return False
            bias[0] += one.constant * gone.sum(0)
            changed[name] = biases[0].unflatten(bias).contiguous()
    return True


def _out_of(bimt: BIMT, stage: Stage) -> list[Connection]:
    return [connection for connection in bimt.wiring.connections if connection.source == stage]
