"""What ``bimt align`` prints: every network beside the reference, then what recurs."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from bimt_tf.adapters.stage_hooks import neuron_name
from bimt_tf.analysis.align_results import Alignment, BesideChance
from bimt_tf.cli.console.reports import wide_console

__all__ = ["print_alignment"]

SHOWN = 12  # neurons


def print_alignment(found: Alignment, places: Mapping[str, str]) -> None:
    """The networks, the neurons that recur, the edges and the modules; the last lines say what was compared.

    Args:
        found: the alignment.
        places: population -> what its neurons are named by (stage_hooks.place_names).
    """
    console = wide_console()
    console.print(_networks(found))
    console.print(_neurons(found, places))
    n = len(found.names)
    edges = ", ".join(f"{sum(len(e.found_in) == k for e in found.edges)} in {k}" for k in range(n, 0, -1))
    lost = sum(found.own_edges.values())
    console.print(f"edges, all networks together: {edges}; {lost} more belong to neurons without a partner")
    for module in found.modules:
        fits = ", ".join(f"{name} {value:.2f}" for name, value in module.overlap.items())
        beyond = f"beyond chance in {len(module.found_in)} of {n - 1}"
        size = len(module.neurons)
        console.print(f"module {module.number} ({size} neurons): {fits}; chance {module.chance:.2f}; {beyond}")
    compared = f"{found.examples:,} examples of the first run" if found.examples else "all active weights and biases"
    console.print(
        f"compared: {found.by}, {compared}; chance: {found.draws} rewired copies of each network, seed {found.seed}"
    )


def _networks(found: Alignment) -> Table:
    table = Table(title=f"beside {found.reference} (in brackets: rewired copies, mean and 95%; p)")
    for column in ("network", "alike", "edges shared", "modules agree", "neurons matched", "alike .9", "beyond chance"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for one in found.comparisons:
        pairs = [pair for population in one.populations for pair in population.pairs]
        alone = sum(len(p.alone) for p in one.populations), sum(len(p.alone_there) for p in one.populations)
        alike = sum(one.name in neuron.alike_in for neuron in found.neurons)
        beyond = sum(one.name in neuron.found_in for neuron in found.neurons)
        modules = "–" if one.modules is None else _beside(one.modules)
        matched = f"{len(pairs)} ({alone[0]} and {alone[1]} alone)"
        table.add_row(one.name, _beside(one.alike), _beside(one.edges), modules, matched, str(alike), str(beyond))
    return table


def _neurons(found: Alignment, places: Mapping[str, str]) -> Table:
    n = len(found.names)
    table = Table(title=f"neurons of {found.reference} that recur most, of {len(found.neurons)}")
    for column in ("neuron", "mean similarity", f"alike .9, of {n - 1}", f"beyond chance, of {n - 1}"):
        table.add_column(column, justify="left" if column == "neuron" else "right", overflow="fold")
    for one in found.neurons[:SHOWN]:
        row = (f"{one.similarity:.2f}", str(len(one.alike_in)), str(len(one.found_in)))
        table.add_row(neuron_name(places.get(one.population, one.population), one.neuron), *row)
    return table


def _beside(one: BesideChance) -> str:
    return f"{one.value:.2f} ({one.chance:.2f}, {one.high:.2f}; {one.p:.2f})"
