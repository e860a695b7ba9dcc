"""Questions after what neurons, heads, modules and weights do: answered by interventions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from torch import Tensor

    from bimt_tf.analysis.ablate import NeuronAblation
    from bimt_tf.analysis.ablate_random import RandomAblations
    from bimt_tf.analysis.edge_effects import EdgeEffects
    from bimt_tf.analysis.exchange import Site
    from bimt_tf.analysis.interchange import Interchange, SiteMove
    from bimt_tf.analysis.minimal_set import MinimalSet
    from bimt_tf.analysis.path_patch import PathEffect
    from bimt_tf.analysis.progress import Progress
    from bimt_tf.analysis.weights import Weight
    from bimt_tf.analysis.written import Positions, Value
    from bimt_tf.runs.ask.pairs import Others, OwnPairs

__all__ = ["CausalQuestions"]


class CausalQuestions(OpenedRun):
    """What neurons, heads, modules and weights do (docs/interventions.md).

    Of the pairs that interchange, minimal_set, path_patch and edge_effects are asked of: run A is a held-out example,
    run B the same with another example's ``target``, one of ``task.changeable(config.data)``, the first unless given.
    With ``others="own"`` run B is that other example as it is. ``pairs``: of how many examples, or pairs of one's own:
    (inputs of A, inputs of B, targets of A with what is looked for of B).
    """

    def ablate(
        self,
        hook: str | None = None,
        neurons: Sequence[int] = (),
        *,
        position: Positions = None,
        value: Value = "mean",
        heads: Sequence[int] = (),
        weights: Sequence[Weight] = (),
        each_head: bool = False,
        seed: int = 0,
    ) -> list[NeuronAblation]:
        """How the held-out loss rises when neurons are overwritten: each in turn, greatest rise first.

        Args:
            hook: where; where the task's own first probe looks unless given.
            neurons: all of these at once instead, as one entry under the first's number.
            position: at which tokens, from the end if negative; all unless given.
            value: their "mean" over the examples, "zero", or "resample": another example's.
            heads: these heads of the hook too, at once with ``neurons``.
            weights: these weights too, set to 0: (parameter, place), e.g. ``("embed.W_E", (1, 3))``; the entry of
                weights alone has number -1.
            each_head: each head in turn instead of each neuron.
            seed: of "resample".

        Raises:
            InputError: for an unknown hook, neuron, head, token or weight.
        """
        from bimt_tf.runs.ask.causes import ablated
        from bimt_tf.runs.ask.usual import usual_hook

        hook = hook if hook is not None or (weights and not neurons and not heads) else usual_hook(self)
        return ablated(
            self, hook or "", neurons, position=position, value=value, heads=heads, weights=weights,
            each_head=each_head, seed=seed,
        )  # fmt: skip

    def ablate_random(
        self,
        hook: str,
        neurons: Sequence[int],
        *,
        position: Positions = None,
        value: Value = "mean",
        sets: int = 100,
        seed: int = 0,
    ) -> RandomAblations | None:
        """How the held-out loss rises without random sets of as many varying neurons of a hook as are named.

        Args:
            hook: where.
            neurons: the named ones.
            position: as :meth:`ablate`.
            value: as there.
            sets: how many sets are drawn; where there are no more, each is tried.
            seed: of the draws and of "resample".

        Returns:
            What they cost; None where no others vary.

        Raises:
            InputError: as :meth:`ablate`.
        """
        from bimt_tf.runs.ask.causes import random_ablated

        return random_ablated(self, hook, neurons, position=position, value=value, sets=sets, seed=seed)

    def interchange(
        self,
        hook: str | None = None,
        neurons: Sequence[int] = (),
        position: Positions = None,
        target: str | None = None,
        *,
        direction: Tensor | None = None,
        pairs: int | OwnPairs = 500,
        others: Others = "same",
        random_sets: int = 200,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Interchange:
        """How far the output moves to what it would be with run B's ``target`` if these neurons are run B's.

        Args:
            hook: where; where the task's own first probe looks unless given.
            neurons: which; all unless given.
            position: at which tokens; all unless given.
            target: what run B has of its own (see the class).
            direction: a vector [neurons] instead of neurons: the part along it is run B's.
            pairs: see the class.
            others: see the class.
            random_sets: how many sets of as many varying neurons are tried beside it.
            seed: of partners and random sets.
            progress: told (done, of).

        Raises:
            InputError: for names and numbers that are not there (the near ones are listed), or a task that makes no
                pairs (what to pass is said).
        """
        from bimt_tf.analysis.exchange import Site
        from bimt_tf.runs.ask.causes import interchanged

        site = Site(self._hook(hook), tuple(neurons or ()) or None, position, direction)
        return interchanged(
            self, site, target, pairs=pairs, others=others, random_sets=random_sets, seed=seed, progress=progress
        )

    def interchange_map(
        self,
        target: str | None = None,
        hooks: Sequence[str] = (),
        *,
        pairs: int | OwnPairs = 500,
        others: Others = "same",
        seed: int = 0,
    ) -> list[SiteMove]:
        """Where ``target`` passes: all neurons of each stage and token in turn are run B's.

        Args:
            target: see the class.
            hooks: which; the residual stream's (of an MLP, every layer's) unless given.
            pairs: see the class.
            others: see the class.
            seed: of partners.

        Raises:
            InputError: as :meth:`interchange`.
        """
        from bimt_tf.runs.ask.causes import interchange_mapped

        return interchange_mapped(self, hooks, target, pairs=pairs, others=others, seed=seed)

    def minimal_set(
        self,
        hook: str | None = None,
        position: Positions = None,
        target: str | None = None,
        *,
        reach: float = 0.9,
        largest: int | None = None,
        checks: int = 2_000,
        pairs: int | OwnPairs = 500,
        others: Others = "same",
        random_sets: int = 200,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> MinimalSet:
        """The smallest set of neurons of a hook that carries ``target``: whose interchange moves the output so far.

        Args:
            hook: where; where the task's own first probe looks unless given.
            position: at which tokens; all unless given.
            target: see the class.
            reach: share of the wanted change that the set must reach.
            largest: sets of more neurons are not looked for.
            checks: runs that the proof of smallest size may take.
            pairs: see the class.
            others: see the class.
            random_sets: how many sets of its size are tried beside it.
            seed: of partners and random sets.
            progress: told (runs done, 0).

        Raises:
            InputError: as :meth:`interchange`.
        """
        from bimt_tf.runs.ask.causes import smallest_set

        return smallest_set(
            self, self._hook(hook), position, target, reach=reach, largest=largest, checks=checks, pairs=pairs,
            others=others, random_sets=random_sets, seed=seed, progress=progress,
        )  # fmt: skip

    def path_patch(
        self,
        sender: Site,
        receiver: Site | None = None,
        target: str | None = None,
        *,
        pairs: int | OwnPairs = 500,
        others: Others = "same",
        random_sets: int = 0,
        seed: int = 0,
    ) -> PathEffect:
        """What of ``target`` passes from a sender straight to a receiver, all else held as in run A.

        Args:
            sender: ``Site(hook, neurons, position)``.
            receiver: another one, behind it; the output itself unless given.
            target: see the class.
            pairs: see the class.
            others: see the class.
            random_sets: how many random senders of its size are tried beside it.
            seed: of partners and random sets.

        Raises:
            InputError: as :meth:`interchange`, or for a receiver that comes before the sender.
        """
        from bimt_tf.runs.ask.causes import path_patched

        return path_patched(
            self, sender, receiver, target, pairs=pairs, others=others, random_sets=random_sets, seed=seed
        )

    def edge_effects(
        self,
        target: str | None = None,
        *,
        pairs: int | OwnPairs = 500,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> EdgeEffects:
        """What every active weight does: to the held-out loss without it, and to the output with run B's value on it.

        Args:
            target: see the class; a task that makes no pairs has knock-outs alone.
            pairs: see the class.
            seed: of partners.
            progress: told (done, of).

        Raises:
            InputError: as :meth:`interchange`.
        """
        from bimt_tf.runs.ask.causes import edges_measured

        return edges_measured(self, target, pairs=pairs, seed=seed, progress=progress)

    def _hook(self, hook: str | None) -> str:
        from bimt_tf.runs.ask.usual import usual_hook

        return hook if hook is not None else usual_hook(self)
