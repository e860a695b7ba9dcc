"""``bimt ablate DIR``: how the loss rises without neurons, heads or weights."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Device, Directory, Hook, at_of
from bimt_tf.cli.intervening import PositionText, numbers, positions, weights

__all__ = ["ablate"]

Neurons = Annotated[str, Parameter(show_default=False, help="numbers to knock out together, e.g. 3,17 [each in turn]")]
Heads = Annotated[
    str, Parameter(show_default=False, help="heads to knock out together, e.g. 0,2, or each: each head in turn")
]

WRITTEN = {"mean": "at their mean", "zero": "at 0", "resample": "of another example"}


def ablate(
    directory: Directory,
    /,
    *,
    hook: Hook = None,
    neurons: Neurons = "",
    heads: Heads = "",
    weight: Annotated[
        list[str] | None,
        Parameter(negative=(), help="a weight to set to 0 too, e.g. 'embed.W_E[1,3]' (repeatable)"),
    ] = None,
    position: PositionText = "",
    value: Annotated[str, Parameter(help="what is written: mean, zero, or resample (another example's)")] = "mean",
    random_sets: Annotated[
        int, Parameter(help="random sets of varying neurons to knock out beside --neurons; 0 for none")
    ] = 100,
    seed: Annotated[int, Parameter(help="of resample and random sets")] = 0,
    at: At = "shown",
    device: Device = "cpu",
    json: AsJson = False,
) -> None:
    """How the test loss of the network in DIRECTORY rises when neurons are overwritten, or weights set to 0.

    The answer is kept in DIRECTORY/interventions.json.
    """
    from bimt_tf.cli.console.causal_report import print_ablations
    from bimt_tf.cli.console.kept import keep_or_note, print_kept
    from bimt_tf.cli.console.reports import print_json
    from bimt_tf.runs.answers import how_made
    from bimt_tf.runs.ask.usual import usual_hook
    from bimt_tf.runs.load import load_run

    each_head = heads == "each"
    chosen, of_heads = numbers(neurons, "--neurons"), () if each_head else numbers(heads, "--heads")
    cut = weights(weight)
    run = load_run(directory, device, at=at_of(at))
    if hook is None and (chosen or heads or not cut):
        hook = usual_hook(run)
    asked: dict[str, Any] = {
        "neurons": chosen, "position": positions(position), "value": value, "heads": of_heads, "weights": cut,
        "each_head": each_head, "seed": seed,
    }  # fmt: skip
    found, beside = run.ablate(hook, **asked), None
    if chosen and hook is not None and not (of_heads or cut) and random_sets:
        same: dict[str, Any] = {name: asked[name] for name in ("position", "value", "seed")}
        beside = run.ablate_random(hook, chosen, sets=random_sets, **same)
    result = {
        "ablations": [one.as_dict() for one in found],
        "random_sets": None if beside is None else beside.as_dict(),
    }
    made = how_made(run, part="held-out", examples=len(run.held_out.inputs))
    asked |= {"hook": hook, "random_sets": random_sets}
    kept = keep_or_note(run, "interventions", "ablate", asked, made, result)
    if json:
        print_json([one.as_dict() for one in found])
        return
    column = "heads" if heads else "neurons" if chosen or not cut else "weights"
    together = ", ".join([*map(str, chosen), *(f"head {head}" for head in of_heads), *(weight or ())])
    print_ablations(found, _what(hook, column, position, value, bool(cut)), together, column, beside)
    print_kept(kept)


def _what(hook: str | None, column: str, position: str, value: str, cut: bool) -> str:
    """What is ablated, in words."""
    if hook is None:
        return "weights at 0"
    token = f", token {position}," if position else ""
    return f"{column} of {hook}{token} {WRITTEN[value]}" + (" and weights at 0" if cut else "")
