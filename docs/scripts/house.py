"""Draw the house: the rooms of bimt_tf and who imports whom, from the source files alone.

    python docs/scripts/house.py

writes ``docs/figures/house.json`` (every import between two rooms) and ``docs/figures/house.png`` (shown by
docs/house.md). The rows are the order of ``tests/test_imports.py``, the line in each box is the room's heading in
docs/house.md. An import that a chain of others implies is not drawn. Boxes stand where no arrow runs through one and
few arrows cross.
"""

from __future__ import annotations

import ast
import json
import re
from itertools import combinations
from pathlib import Path
from random import Random

import networkx as nx

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "bimt_tf"
PICTURE = ROOT / "docs" / "figures" / "house.png"
DATA = PICTURE.with_suffix(".json")

BOX = (2.3, 0.5)  # inches
ROW_HEIGHT = 0.8  # inches
COLUMNS = (-2.5, -1.25, 0.0, 1.25, 2.5)  # where the centre of a box may stand, in inches
MARGIN = 0.06  # how far an arrow keeps from a box that it passes, in inches
BORDER = 0.1  # around the picture, in inches
RESTARTS = 30
INK, BOX_FILL, ARROW = "#1b1f24", "#e8eef7", "#3a5f95"

Place = tuple[float, float]
Arrow = tuple[Place, Place]
Edge = tuple[str, str]


def rows() -> list[list[str]]:
    """The rooms from the bottom row to the top one, those that exist, as tests/test_imports.py orders them."""
    for node in ast.parse((ROOT / "tests" / "test_imports.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER":
            order = ast.literal_eval(node.value)
            return [there for row in order if (there := [room for room in row if files(room)])]
    raise LookupError("tests/test_imports.py has no table ORDER")


def files(room: str) -> list[Path]:
    """The source files of a room, which is a folder or a single file."""
    return sorted((PACKAGE / room).rglob("*.py")) or [p for p in [PACKAGE / f"{room}.py"] if p.exists()]


def imports() -> dict[str, list[str]]:
    """Room -> the other rooms that its files import, at their top or inside functions, sorted."""
    rooms = [room for row in rows() for room in row]
    return {room: sorted({name for path in files(room) for name in imported(path)} - {room}) for room in rooms}


def imported(path: Path) -> set[str]:
    """The rooms that one file names in its imports; relative imports stay in their room and are not looked at."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("bimt_tf.")}
    return {room for room in found if files(room)}


def purposes() -> dict[str, str]:
    """Room -> what it is for, in a few words: the headings of docs/house.md."""
    return dict(re.findall(r"^## (\w+): (.+)$", (ROOT / "docs" / "house.md").read_text(), re.MULTILINE))


def drawn(edges: dict[str, list[str]]) -> list[Edge]:
    """The imports that no chain of other imports implies."""
    graph = nx.DiGraph([(room, other) for room, others in edges.items() for other in others])
    return sorted(nx.transitive_reduction(graph).edges)


def arrows(places: dict[str, Place], edges: list[Edge]) -> dict[Edge, Arrow]:
    """Edge -> its two ends: from the lower edge of a box to the upper edge of another, side by side where many meet."""
    ends: dict[Edge, list[Place]] = {edge: [] for edge in edges}
    for side, vertical in ((0, -BOX[1] / 2), (1, BOX[1] / 2)):
        for room, (x, y) in places.items():
            here = sorted((e for e in edges if e[side] == room), key=lambda e: (places[e[1 - side]][0], e))
            for i, edge in enumerate(here):
                ends[edge].append((x + ((i + 1) / (len(here) + 1) - 0.5) * BOX[0], y + vertical))
    return {edge: (start, end) for edge, (start, end) in ends.items()}


def runs_through(arrow: Arrow, box: Place) -> bool:
    """Whether an arrow runs through a box that lies between the rows of its ends."""
    (x0, y0), (x1, y1) = arrow
    low, high = box[1] - BOX[1] / 2, box[1] + BOX[1] / 2
    if not y1 < low < high < y0:
        return False
    across = [x0 + (x1 - x0) * (y0 - y) / (y0 - y1) for y in (low, high)]
    return min(across) < box[0] + BOX[0] / 2 + MARGIN and max(across) > box[0] - BOX[0] / 2 - MARGIN


def cross(one: Arrow, other: Arrow) -> bool:
    """Whether two arrows cross."""

    def left(a: Place, b: Place, c: Place) -> bool:
        return (b[0] - a[0]) * (c[1] - a[1]) > (b[1] - a[1]) * (c[0] - a[0])

    (a, b), (c, d) = one, other
    return left(a, c, d) != left(b, c, d) and left(a, b, c) != left(a, b, d)


def faults(places: dict[str, Place], edges: list[Edge]) -> tuple[int, int, float]:
    """How many times arrows run through boxes, how many pairs of arrows cross, and how far all arrows run sideways."""
    found = arrows(places, edges)
    hits = sum(runs_through(found[edge], places[room]) for edge in edges for room in places if room not in edge)
    crossings = sum(cross(one, other) for one, other in combinations(found.values(), 2))
    return hits, crossings, sum(abs(start[0] - end[0]) for start, end in found.values())


def arrange(levels: list[list[str]], edges: list[Edge]) -> dict[str, Place]:
    """Room -> the centre of its box in inches: the best of some random starts, each improved a row at a time."""
    rng, found = Random(0), []
    choices = [spreads(len(level)) for level in levels]
    for _ in range(RESTARTS):
        columns = [rng.choice(choice) for choice in choices]
        worth, before = faults(placed(levels, columns), edges), None
        while worth != before:
            before = worth
            for row, choice in enumerate(choices):
                trials = [[*columns[:row], xs, *columns[row + 1 :]] for xs in choice]
                worth, columns = min((faults(placed(levels, trial), edges), trial) for trial in trials)
        found.append((worth, columns))
    return placed(levels, min(found)[1])


def spreads(n: int) -> list[tuple[float, ...]]:
    """All choices of columns for the n boxes of one row in which no two boxes overlap."""
    if n == 0:
        return [()]
    return [(x, *rest) for rest in spreads(n - 1) for x in COLUMNS if all(abs(x - r) > BOX[0] for r in rest)]


def placed(levels: list[list[str]], columns: list[tuple[float, ...]]) -> dict[str, Place]:
    """Room -> the centre of its box, given the columns of each row."""
    return {
        room: (x, row * ROW_HEIGHT)
        for row, (level, xs) in enumerate(zip(levels, columns, strict=True))
        for room, x in zip(level, xs, strict=True)
    }


def draw(path: Path) -> None:
    """Write the picture."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    levels, edges, says = rows(), drawn(imports()), purposes()
    places = arrange(levels, edges)
    xlim, ylim = (
        (min(centres) - size / 2 - BORDER, max(centres) + size / 2 + BORDER)
        for centres, size in zip(zip(*places.values(), strict=True), BOX, strict=True)
    )
    figure = Figure(figsize=(xlim[1] - xlim[0], ylim[1] - ylim[0]))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=xlim, ylim=ylim)
    axes.set_axis_off()
    style = {"arrowstyle": "-|>", "mutation_scale": 11, "shrinkA": 0, "shrinkB": 0, "color": ARROW, "lw": 1.1}
    for start, end in arrows(places, edges).values():
        axes.add_patch(FancyArrowPatch(start, end, **style))
    pad = 0.05
    for room, (x, y) in places.items():
        corner = (x - BOX[0] / 2 + pad, y - BOX[1] / 2 + pad)
        size = (BOX[0] - 2 * pad, BOX[1] - 2 * pad)
        axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=f"round,pad={pad}", fc=BOX_FILL, ec=INK, lw=0.8))
        axes.text(x, y + 0.095, room, ha="center", va="center", fontsize=11, weight="bold", color=INK)
        axes.text(x, y - 0.11, says[room], ha="center", va="center", fontsize=8.5, color=INK)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Write the data and the picture."""
    DATA.write_text(json.dumps(imports(), indent=2) + "\n")
    draw(PICTURE)


if __name__ == "__main__":
    main()
