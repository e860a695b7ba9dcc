"""What ``bimt modules`` prints: the modules, what chance gives, and the matrices of modules against targets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from bimt_tf.cli.console.reports import print_line, wide_console

if TYPE_CHECKING:
    from bimt_tf.analysis.matched import MatchedComparison
    from bimt_tf.analysis.module_effects import Combination, ModuleEffect, ModuleEffects
    from bimt_tf.analysis.module_probe import ModuleReadouts, ReadOut
    from bimt_tf.analysis.module_votes import Votes
    from bimt_tf.analysis.modules import Modules
    from bimt_tf.runs.ask.modules import ModuleReport

__all__ = ["print_modules"]

NULLS = {
    "sizes": "|w| shuffled within each tensor",
    "swaps": "weights exchange targets, same number a neuron",
    "entries": "entries shuffled within each tensor, zeros too",
}
"""What each null model does, for a table."""


def print_modules(report: ModuleReport, places: Mapping[str, str]) -> None:
    """The whole report; ``places``: stage or population -> what its neurons are named by (stage_hooks.place_names)."""
    _print_found(report.found, places)
    if report.found.nulls:
        _print_nulls(report.found)
    if report.against is not None:
        _print_against(report.against)
    _print_effects(report.effects)
    if report.combinations:
        _print_combinations(report.combinations)
    if report.votes is not None:
        _print_votes(report.votes)
    if report.read_outs is not None and report.read_outs.modules:
        _print_read_outs(report.read_outs)


def _table(*columns: str, left: Iterable[int] = (0,)) -> Table:
    table = Table(box=None)
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i in left else "right", overflow="fold")
    return table


def _print(table: Table, head: str) -> None:
    print_line(f"\n{head}")
    wide_console().print(table)


def _print_found(found: Modules, places: Mapping[str, str]) -> None:
    print_line(
        f"Q {found.q:.3f}: {len(found.modules)} modules of {found.weights:,} weights "
        f"({found.method}, resolution {found.resolution:g}, residual stream {found.residual})"
    )
    if (steady := found.stability) is not None:
        print_line(
            f"{steady.restarts} restarts of Louvain agree with them to {steady.mean:.3f} (adjusted Rand index; lowest "
            f"{steady.lowest:.3f}), their Q {steady.q_lowest:.3f} to {steady.q_highest:.3f}"
        )
    table = _table("", "touches", "neurons", "weights", "of all |w|", "weights to others", left=(0, 1, 5))
    for one in found.modules:
        joined = ", ".join(f"{number}: {count}" for number, count in one.joined.items()) or "none"
        table.add_row(str(one.number), one.name, str(len(one.nodes)), str(one.inside), f"{one.share:.0%}", joined)
    _print(table, "Modules")
    for one in found.modules:
        print_line(f"{one.number}: {_listed(one.nodes, places)}")
    if found.alone:
        print_line(f"in no module: {_listed(found.alone, places)}")


def _listed(nodes: Sequence[tuple[str, int]], places: Mapping[str, str]) -> str:
    """Neurons by their place, ``blocks.0.mlp.hook_post[45, 46]; input[0]``."""
    by_name: dict[str, list[str]] = {}
    for name, neuron in nodes:
        by_name.setdefault(name, []).append(str(neuron))
    return "; ".join(f"{places.get(name, name)}[{', '.join(neurons)}]" for name, neurons in by_name.items())


def _print_nulls(found: Modules) -> None:
    table = _table("null model", "", "mean", "95% of the draws", "z", "p", "weights moved", left=(0, 1))
    for one in found.nulls:
        z = f"{one.z:+.2f}" if one.z is not None else f"none: {one.reason}"
        interval = f"{one.low:.3f} to {one.high:.3f}"
        table.add_row(one.null, NULLS[one.null], f"{one.mean:.3f}", interval, z, f"{one.p:.3g}", f"{one.moved:.0%}")
    _print(table, f"Q {found.q:.3f} against chance ({found.nulls[0].draws} draws each, modules found anew in each)")


def _print_against(against: MatchedComparison) -> None:
    table = _table("run", "weights", "times as many", "Q", "held-out loss")
    for one, ratio in zip(against.others, against.ratios, strict=True):
        table.add_row(one.label, f"{one.weights:,}", f"{ratio:.2f}", f"{one.q:.3f}", f"{one.loss:.2e}")
    head = (
        f"Q {against.q:.3f} with {against.weights:,} weights is {against.difference:+.3f} from the mean of these runs, "
        f"higher than {against.beats} of {len(against.others)}"
    )
    _print(table, head)


def _print_effects(effects: ModuleEffects) -> None:
    names = list(effects.whole)
    for title, of in _sides():
        table = _table("", "neurons", *names)
        for one in effects.modules:
            table.add_row(str(one.number), str(one.neurons), *(of(one, name) for name in names))
        table.add_row("whole network", "", *(_number(effects.whole[name]) for name in names))
        table.add_row("no neurons", "", *(_number(effects.nothing[name]) for name in names))
        said = title.format(controls=effects.controls)
        _print(table, f"{said} ({effects.value} over {effects.examples} held-out examples)")


def _sides() -> list[tuple[str, Callable[[ModuleEffect, str], str]]]:
    def without(one: ModuleEffect, name: str) -> str:
        low, high = one.random[name]
        return f"{_number(one.without[name])} ({_number(low)} to {_number(high)})"

    def alone(one: ModuleEffect, name: str) -> str:
        return _number(one.alone[name])

    return [
        ("Knocked out; in brackets {controls} random sets of as many neurons, lowest to highest", without),
        ("Kept alone", alone),
    ]


def _number(value: float) -> str:
    return f"{value:.3g}"


def _print_combinations(found: Sequence[Combination]) -> None:
    names = list(found[0].without)
    table = _table("without modules", *names)
    for one in found:
        table.add_row(", ".join(map(str, one.out)) or "none", *(_number(one.without[name]) for name in names))
    _print(table, "Knocked out together")


def _print_votes(votes: Votes) -> None:
    table = _table("module", "last-layer neurons", "right alone", "mean place of the right class (0 first, 1 last)")
    for one in votes.modules:
        table.add_row(str(one.number), str(one.neurons), f"{one.accuracy:.1%}", f"{one.rank:.3f}")
    additive = "undefined, the logits are constant" if votes.additive is None else f"R2 {votes.additive:.3f}"
    head = (
        f"Votes on {votes.examples} examples: right together {votes.accuracy:.1%} (chance {votes.chance:.1%}), "
        f"on {votes.together:.1%} though no module is right alone; logits by the sum of whole modules: {additive}"
    )
    _print(table, head)


def _print_read_outs(found: ModuleReadouts) -> None:
    names = list(found.inputs)
    table = _table("module", *names)
    for number, row in found.modules.items():
        table.add_row(str(number), *(["no neurons"] * len(names) if row is None else _cells(row, names)))
    for title, one in (("inputs", found.inputs), ("all neurons", found.every), ("all, shuffled", found.shuffled)):
        table.add_row(title, *_cells(one, names))
    _print(table, f"Linear read-outs, held-out R2 (lowest to highest fold) of {found.examples} examples")
    if found.undefined:
        print_line(f"without R2, constant or of fewer than ten distinct inputs: {', '.join(found.undefined)}")


def _cells(row: dict[str, ReadOut], names: Sequence[str]) -> list[str]:
    return [f"{row[name].r2:.3f} ({row[name].lowest:.3f} to {row[name].highest:.3f})" for name in names]
