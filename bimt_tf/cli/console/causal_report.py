"""What interventions found, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from bimt_tf.adapters.stage_hooks import neuron_name, written_into
from bimt_tf.cli.console.reports import print_line, wide_console

if TYPE_CHECKING:
    from bimt_tf.analysis.ablate import NeuronAblation
    from bimt_tf.analysis.ablate_random import RandomAblations
    from bimt_tf.analysis.edge_effects import EdgeEffects
    from bimt_tf.analysis.interchange import Interchange, SiteMove
    from bimt_tf.analysis.minimal_set import MinimalSet, Reached
    from bimt_tf.analysis.random_sets import Null
    from bimt_tf.core.population import Node

__all__ = [
    "print_ablations", "print_edges", "print_interchange", "print_interchange_map", "print_minimal_sets",
]  # fmt: skip

SHARE = "share of the way that the output should go; 1: all of it, below 0: further off than without"
SHOWN_TIES = 5


def print_ablations(
    found: Sequence[NeuronAblation], what: str, together: str, column: str, beside: RandomAblations | None
) -> None:
    """Test loss without and with an ablation, greatest rise first; ``together`` names what was ablated at once."""
    table = Table(title=f"test loss with {what}")
    for name in (column, "before", "after", "rise"):
        table.add_column(name, justify="right")
    for one in found:
        name = together or str(one.neuron)
        table.add_row(name, f"{one.before:.3g}", f"{one.after:.3g}", f"{one.change:.3g}")
    _show(table)
    if beside is not None:
        print_line(
            f"{beside.sets} of {beside.possible} random sets of as many of {beside.varying} varying neurons: rise "
            f"{beside.mean:.3g} in the mean, 95% of them {beside.low:.3g} to {beside.high:.3g}, "
            f"at most {beside.largest:.3g}"
        )


def print_interchange(found: Interchange, target: str) -> None:
    """How far the named neurons move the output, beside random sets, all neurons and none."""
    table = _table(
        f"{target} of run B in {' and '.join(map(str, found.sites))}", "moved", "share", "95%", "slope", "R2"
    )
    low, high = found.interval
    table.add_row("these", _number(found.share), _range(low, high), _number(found.slope), _number(found.r2))
    for name, move in (("all neurons there", found.ceiling), ("none", found.floor)):
        table.add_row(name, _number(move.share), "", _number(move.slope), _number(move.r2))
    if found.null is not None:
        _null_row(table, found.null, empty=2)
    _show(table)
    if found.null is None:
        print_line(f"no random sets: {found.no_null}")
    size = "" if found.wanted_rms is None else f", wanted change {found.wanted_rms:.3g} (root mean square)"
    print_line(f"{found.pairs} pairs{size}; share: {SHARE}")


def print_interchange_map(rows: Sequence[SiteMove], target: str) -> None:
    """How far all neurons of each hook and token move the output."""
    table = _table(
        f"{target} of run B in all neurons of a hook", "hook", "token", "neurons that differ", "share", "slope", "R2"
    )
    for row in rows:
        token = "" if row.position is None else str(row.position)
        table.add_row(row.hook, token, str(row.differing), _number(row.share), _number(row.slope), _number(row.r2))
    _show(table)
    print_line(f"share: {SHARE}")


def print_minimal_sets(found: Sequence[MinimalSet], target: str) -> None:
    """The smallest sets that carry a quantity, one hook and token a row, each beside random sets of its size."""
    reach = f"{found[0].reach:g}" if found else ""
    title = f"smallest sets of neurons whose interchange moves the output {reach} of the way to another {target}"
    table = _table(title, "hook", "token", "neurons", "share", "95%", "smallest", "random sets", "all")
    for one in found:
        random = "" if one.null is None else _range(one.null.low, one.null.high)
        neurons = "none" if one.neurons is None else ", ".join(map(str, one.neurons))
        table.add_row(
            one.hook, _tokens(one.position), neurons, _number(one.share), _range(*(one.interval or (None, None))),
            "" if one.neurons is None else "proven" if one.proven else "not proven",
            random, _number(one.ceiling.share),
        )  # fmt: skip
    _show(table)
    for one in found:
        where = one.hook if one.position is None else f"{one.hook}, token {_tokens(one.position)}"
        if one.why_none:
            print_line(f"{where}: {one.why_none}")
        elif one.null is None:
            print_line(f"{where}: no random sets, {one.no_null}")
        if one.neurons is not None and one.ceiling.share < one.reach:
            print_line(
                f"{where}: all neurons there reach {one.ceiling.share:.3f} only, so part of it passes elsewhere or is "
                "countered by neurons that the set leaves out"
            )
        if one.ties:
            more = f" and {len(one.ties) - SHOWN_TIES} more" if len(one.ties) > SHOWN_TIES else ""
            print_line(f"{where}: as small and enough too: {'; '.join(map(_set, one.ties[:SHOWN_TIES]))}{more}")


def print_edges(found: EdgeEffects, target: str, shown: int, hooks: Mapping[str, str]) -> None:
    """The weights of a circuit with what each does, greatest knock-out first; ``hooks``: stage -> its hook."""

    def name(node: Node, hook: str, token: int | None = None) -> str:
        return neuron_name(hook or node[0], node[1], token=token)

    table = _table(
        f"{len(found.edges)} weights; test loss {found.before:.3g}", "from", "to", "weight", "knock-out", "interchange"
    )
    for edge in found.edges[:shown]:
        read, written = hooks.get(edge.source[0], ""), written_into(hooks.get(edge.target[0], ""))
        table.add_row(
            name(edge.source, read, edge.copy or None), name(edge.target, written), f"{edge.weight:.3g}",
            f"{edge.knock_out:+.3g}", "" if edge.interchange is None else f"{edge.interchange:+.3f}",
        )  # fmt: skip
    _show(table)
    print_line("knock-out: rise of the test loss without this weight alone")
    if found.pairs:
        print_line(
            f"interchange: how far along its way the output moves when this weight alone carries run B's {target}"
        )


def _null_row(table: Table, null: Null, empty: int) -> None:
    tried = f"{null.sets}" if null.possible is None else f"{null.sets} of {null.possible}"
    varying = " and ".join(map(str, null.varying))
    name = f"random sets ({tried}; {varying} vary)"
    table.add_row(name, f"{null.mean:.3f}", _range(null.low, null.high), *[""] * empty)
    table.add_row("best of them", f"{null.best:.3f}", *[""] * (empty + 1))


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _show(table: Table) -> None:
    wide_console().print(table)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _tokens(position: int | Sequence[int] | None) -> str:
    if position is None:
        return ""
    return ", ".join(map(str, position)) if isinstance(position, Sequence) else str(position)


def _set(one: Reached) -> str:
    return f"{', '.join(map(str, one.neurons))} ({one.share:.3f})"
