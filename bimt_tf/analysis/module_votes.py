"""The voting rule of a classifier's modules (paper, Section 3.2): each module votes for classes, and votes add up.

The last layer is linear, so the logits are the bias plus a **vote** of every module: what they lose when the module's
neurons of the last hidden layer are set to 0. Votes say which class a module favours at each example; whether
modules work out their votes each by itself is another question: ``additive`` compares the logits with the sum of what
each whole module's knock-out changes in them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import networkx as nx
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from bimt_tf.analysis.module_effects import ENDS, inner_nodes, outputs_without
from bimt_tf.analysis.modules import Modules
from bimt_tf.analysis.plain import plain
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["ModuleVote", "Votes", "module_votes"]


class ModuleVote(NamedTuple):
    """One module's vote. ``accuracy``: how often it is highest for the right class, where it alone counts.

    ``rank``: mean place of the right class among all in this vote, from 0 (highest) to 1 (lowest); .5 is chance.
    ``neurons``: those of the last hidden layer.
    """

    number: int
    neurons: int
    accuracy: float
    rank: float


class Votes(NamedTuple):
    """The votes of all modules. ``accuracy``: of their sum and the bias, which is the network's.

    ``chance``: of guessing. ``together``: share of the examples where the sum is right and every single vote wrong.
    ``additive``: R2 of the logits by the sum of what whole modules' knock-outs (to the mean) change in them, both less
    their means over examples and over classes; 1 if modules do not work on each other's neurons, and None where the
    logits are constant.
    """

    modules: tuple[ModuleVote, ...]
    accuracy: float
    chance: float
    together: float
    additive: float | None
    examples: int

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    def __repr__(self) -> str:
        """One line."""
        each = ", ".join(f"{one.number}: {one.accuracy:.0%}" for one in self.modules)
        return f"Votes(together {self.accuracy:.0%}; alone {each}; right only together {self.together:.0%})"


def module_votes(
    model: nn.Module,
    wiring: Wiring,
    graph: nx.Graph,
    found: Modules,
    inputs: Shaped[Tensor, "batch ..."],
    classes: Int[Tensor, " batch"],
) -> Votes:
    """How the modules of a classifier vote.

    Args:
        model: outputs logits [batch, classes], by a linear layer behind its last hidden layer.
        wiring: its wiring.
        graph: the connection graph in which the modules were found.
        found: the modules.
        inputs: what the model takes, the batch first; held out.
        classes: the right class of each.

    Raises:
        InputError: for outputs that are no logits of one class an example, or no module with neurons of the last layer.
    """
    last = max(stage.depth for stage in wiring.stages if stage.population not in ENDS)
    at_last = {stage.population for stage in wiring.stages if stage.depth == last}
    every = inner_nodes(graph)
    deepest = [node for node in every if graph.nodes[node]["population"] in at_last]
    parts = {
        one.number: [node for node in deepest if node in one.nodes]
        for one in found.modules
        if any(node in one.nodes for node in deepest)
    }
    if not parts:
        raise InputError("no module has a neuron in the last hidden layer: there are no votes")
    logits, votes = _votes(model, wiring, parts, inputs, classes)
    right = [vote.argmax(1) == classes for vote in votes.values()]
    together = logits.argmax(1) == classes
    alone = torch.stack(right).any(0)
    wholes = [[node for node in every if node in one.nodes] for one in found.modules]
    changes = [_change(model, wiring, nodes, inputs) for nodes in wholes if nodes]
    return Votes(
        tuple(
            ModuleVote(number, len(parts[number]), _mean(hit), _rank(vote, classes))
            for (number, vote), hit in zip(votes.items(), right, strict=True)
        ),
        _mean(together),
        1 / logits.shape[1],
        _mean(together & ~alone),
        _explained(logits, torch.stack(changes).sum(0)),
        len(inputs),
    )


def _votes(
    model: nn.Module, wiring: Wiring, parts: dict[int, list[Any]], inputs: Tensor, classes: Tensor
) -> tuple[Float[Tensor, "batch classes"], dict[int, Float[Tensor, "batch classes"]]]:
    votes = {}
    for number, nodes in parts.items():
        logits, without = outputs_without(model, wiring, nodes, inputs, "zero")
        if not isinstance(logits, Tensor) or logits.ndim != 2 or classes.shape != logits.shape[:1]:
            raise InputError("votes are those of logits [batch, classes] and a class of each example [batch]")
        votes[number] = (logits - without).double()
    return logits.double(), votes


def _change(model: nn.Module, wiring: Wiring, nodes: list[Any], inputs: Tensor) -> Float[Tensor, "batch classes"]:
    logits, without = outputs_without(model, wiring, nodes, inputs, "mean")
    return (logits - without).double()


def _rank(vote: Float[Tensor, "batch classes"], classes: Tensor) -> float:
    """Mean place of the right class, 0 to 1; classes of an equal vote share their places."""
    own = vote.gather(1, classes[:, None])
    places = (vote > own).sum(1) + ((vote == own).sum(1) - 1) / 2
    return float((places / max(vote.shape[1] - 1, 1)).mean())


def _explained(logits: Tensor, changes: Tensor) -> float | None:
    wanted, found = (_centred(values) for values in (logits, changes))
    total = float((wanted**2).sum())
    return 1 - float(((wanted - found) ** 2).sum()) / total if total > 0 else None


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(0) - values.mean(1, keepdim=True) + values.mean()


def _mean(hits: Tensor) -> float:
    return float(hits.double().mean())
