"""What ``bimt group`` prints: representations, neurons, rings, relations and dimensions, each beside its control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from bimt_tf.cli.console.reports import print_line, wide_console

if TYPE_CHECKING:
    from bimt_tf.analysis.group_mirror import Mirror
    from bimt_tf.analysis.group_report import GroupReport

__all__ = ["print_group"]

SHOWN = 6  # representations of the whole embedding
OVERTONE = 3  # the highest multiple of a frequency that is pointed out
FULL = {"neighbours": "e_i - e_(i+1)", "last": "e_i - e_n", "orthogonal": "orthonormal", "cube": "the cube's axes"}


def print_group(
    found: GroupReport, heading: str, tokens: Mapping[int, Sequence[int]], mirrors: Sequence[Mirror]
) -> None:
    """The report of a run; ``heading`` says which, ``tokens`` which copies of a neuron are read."""
    print_line(f"{heading}: {len(found.group)} elements, {len(found.neurons)} active embedding neurons")
    print_line(f"chance: the elements' labels dealt anew {found.draws:,} times (seed {found.seed})")
    _spectrum(found)
    _neurons(found, tokens)
    if (kept := found.purity) is not None:
        print_line(
            f"{kept.pure} of {kept.modules} modules hold one representation; dealt at random {kept.chance:.1f} would, "
            f"p {kept.p:.2g}"
        )
    if found.rings:
        _rings(found)
    else:
        _relations(found)
    for one in mirrors:
        _mirror(one)
    act = found.action
    told = "says nothing, for so many neurons fit anything"
    if act is not None:
        told = f"loss {act.loss:.3f}, chance {act.chance:.3f}, p {act.p:.2g}"
    print_line(f"\nE(a b) as a linear function of E(b): {told}")
    own = "".join(f", {FULL[basis]} {dimension:.0f}" for basis, dimension in found.standard.items())
    print_line(
        f"effective dimension of the embedding {found.dimension:.0f} of {len(found.group) * len(found.neurons)}"
        + (f"; of the standard representation by basis:{own[1:]}" if own else "")
    )


def _spectrum(found: GroupReport) -> None:
    table = _table("share of the embedding's variance", "dim", "share", "chance", "95% of chance", "p")
    for one in found.spectrum.shares[:SHOWN]:
        table.add_row(
            one.irrep, str(one.dim), f"{one.share:.3f}", f"{one.chance:.3f}", f"{one.chance_95:.3f}", f"{one.p:.2g}"
        )
    _print(table)
    if (left := len(found.spectrum.shares) - SHOWN) > 0:
        rest = sum(one.share for one in found.spectrum.shares[SHOWN:])
        print_line(f"{left} more representations hold {rest:.3f} together")


def _neurons(found: GroupReport, tokens: Mapping[int, Sequence[int]]) -> None:
    columns = ["neuron", "module", *(["factors"] if tokens else []), "representation", "share", "p",
               "matrix element", "95% of chance", *(["cosets", "R2", "p"] if found.cosets else [])]  # fmt: skip
    table = _table(*columns)
    cosets = {one.neuron: one for one in found.cosets}
    module = {neuron: number for number, one in enumerate(found.modules) for neuron in one}
    for one in sorted(found.spectrum.neurons, key=lambda one: (module.get(one.neuron, -1), one.neuron)):
        read = [" ".join(str(token + 1) for token in tokens.get(one.neuron, ()))] if tokens else []
        cells = [str(one.neuron), str(module.get(one.neuron, "-")), *read, one.best, f"{one.share:.3f}", f"{one.p:.2g}",
                 f"{one.correlation:+.3f} {'' if one.element == one.best else one.element}".strip(),
                 f"{one.correlation_95:.2f}"]  # fmt: skip
        if fit := cosets.get(one.neuron):
            side = {"left": "a H", "right": "H a", "both": "normal"}[fit.side]
            cells += [f"{fit.cosets} of {fit.subgroup}, {side}", f"{fit.r2:.3f}", f"{fit.p:.2g}"]
        table.add_row(*cells)
    _print(table)


def _rings(found: GroupReport) -> None:
    columns = ("module: neurons", "frequency", "R2", "95% of chance", "p", "second", "R2", "neighbours differ by")
    table = _table(*columns)
    for one in found.rings:
        order = "-" if one.step is None or one.in_order is None else f"{one.step} ({one.in_order:.0%} of them)"
        multiple = f" ({one.multiple} x)" if 0 < one.multiple <= OVERTONE else ""
        table.add_row(
            ", ".join(map(str, one.neurons)), str(one.frequency), f"{one.r2:.3f}", f"{one.chance_95:.3f}",
            f"{one.p:.2g}", f"{one.second}{multiple}", f"{one.second_r2:.3f}", order,
        )  # fmt: skip
    _print(table)


def _relations(found: GroupReport) -> None:
    table = _table("linear function of", "faithful", "loss", "chance", "5% of chance", "p")
    for one in found.relations[:SHOWN]:
        table.add_row(
            one.irrep, "yes" if one.faithful else "no", f"{one.loss:.3f}", f"{one.chance:.3f}", f"{one.chance_5:.3f}",
            f"{one.p:.2g}",
        )  # fmt: skip
    _print(table)


def _mirror(one: Mirror) -> None:
    control = "" if one.others is None else f" (of other neurons at most {one.others:.1%})"
    print_line(
        f"\nneuron {one.neuron} mirrored in the first factor: {one.turned:.1%} of {one.examples} held-out products "
        f"have the wrong {one.irrep}{control}, {one.turned_before:.1%} before; in both: {one.right:.1%} are right, "
        f"{one.right_before:.1%} before"
    )


def _table(*columns: str) -> Table:
    table = Table(box=None)
    words = ("representation", "cosets", "linear function of", "module: neurons")
    for column in columns:
        table.add_column(column, justify="left" if column in words or column.startswith("share of") else "right")
    return table


def _print(table: Table) -> None:
    print_line("")
    wide_console().print(table)
