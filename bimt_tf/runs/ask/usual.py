"""What is asked where nothing is named: the task's own first probe, and the tokens that a hook has."""

from __future__ import annotations

from torch import Size

from bimt_tf.analysis.activations import run_hooked
from bimt_tf.errors import InputError
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Probe

__all__ = ["position_of", "positions_of", "usual_hook", "usual_probe"]

MOST_LISTED = 12  # tokens, of a message


def usual_probe(trained: Trained) -> Probe:
    """What the task probes first.

    Raises:
        InputError: if it probes nothing.
    """
    probes = trained.task.probes(trained.config.data)
    if not probes:
        hooks, targets = ", ".join(trained.model.hook_dict), ", ".join(trained.held_out.quantities)  # type: ignore[arg-type]
        raise InputError(
            f"{trained.config.task} has no probe of its own: give --hook ({hooks}) and --target ({targets or 'none'})"
        )
    return probes[0]


def usual_hook(trained: Trained) -> str:
    """The hook that the task's own first probe looks at.

    Raises:
        InputError: if it probes nothing.
    """
    if not trained.task.probes(trained.config.data):
        hooks = ", ".join(trained.model.hook_dict)  # type: ignore[arg-type]
        raise InputError(f"{trained.config.task} has no probe of its own to look where it looks: give --hook ({hooks})")
    return usual_probe(trained).hook


def positions_of(trained: Trained, hook: str) -> list[int] | list[None]:
    """The tokens that a hook of the model has; [None] for one without tokens.

    Raises:
        InputError: for an unknown hook, or one that this model does not reach.
    """
    shapes: list[Size] = []
    inputs = trained.held_out.inputs[:1]
    run_hooked(trained.model, inputs, {hook: lambda activation: shapes.append(activation.shape)})
    return list(range(shapes[0][1])) if len(shapes[0]) > 2 else [None]


def position_of(trained: Trained, hook: str) -> int | None:
    """The token that is probed at a hook where none is given: that of the task's own first probe, if it looks there.

    Raises:
        InputError: for an unknown hook, or another one that has tokens.
    """
    usual = trained.task.probes(trained.config.data)[:1]
    if usual and usual[0].hook == hook:
        return usual[0].position
    tokens = positions_of(trained, hook)
    if tokens == [None]:
        return None
    listed = ", ".join(map(str, tokens)) if len(tokens) <= MOST_LISTED else f"0 to {tokens[-1]}"
    raise InputError(f"{hook} has tokens: give position, one of {listed}, or ask probe_tokens for every one")
