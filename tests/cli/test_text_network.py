"""The network in characters: marks at slots, counts of wires, heads, and what a narrow or plain terminal gets."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_networks import NETWORKS, eliminated, sparse, transformer
from rich.console import Console

from bimt_tf.bimt import BIMT
from bimt_tf.cli.console.links import linked, print_path, writes
from bimt_tf.cli.console.text_network import ASCII, LEAST, UNICODE, network_lines
from bimt_tf.models.mlp import MLP
from bimt_tf.scene.scene import ACTIVE, CARRIED, scene_of


def drawn(bimt: BIMT, width: int = 80, signs=UNICODE, labels=None) -> list[str]:
    return [line.plain for line in network_lines(scene_of(bimt), width, signs, labels)]


def by_row(lines: list[str]) -> dict[str, str]:
    """The strip of each row by its name."""
    found = (
        re.match(r" *((?:\d+ )?\w+(?: \(z\))?(?:, token \d+)?) [\[ ](.*)[\] ] +[\d,]+(?:/[\d,]+)?$", line)
        for line in lines
    )
    return {one[1]: one[2] for one in found if one}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_no_line_is_wider_than_the_terminal(name, width):
    for signs in (UNICODE, ASCII):
        lines = drawn(NETWORKS[name](), width, signs)
        assert max(map(len, lines)) <= max(width, LEAST)
        assert signs is UNICODE or all(line.isascii() for line in lines)


def test_a_mark_stands_at_its_slot_and_rows_run_from_output_to_input():
    model = MLP(sizes=[4, 8, 2])
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.layers[0].weight[5, 1] = 2.0
        model.layers[1].weight[0, 5] = -0.5
        model.layers[0].weight[7, 2] = 1.0  # leads nowhere
    rows = by_row(lines := drawn(BIMT(model)))
    assert list(rows) == ["output", "hidden0", "input"]
    assert rows["hidden0"].split() == list("·····●·×")  # noqa: RUF001
    n = len(rows["hidden0"])
    assert rows["hidden0"].index("●") == int(5.5 / 8 * n) and rows["input"].index("●") == int(1.5 / 4 * n)
    assert "layers.1.weight · 1 wire · strongest 5 → 0 −0.5" in lines[1]  # noqa: RUF001
    assert "layers.0.weight · 1 wire · strongest 1 → 5 +2 · 1 on no path" in lines[3]
    assert lines[0].endswith(" 1/2") and lines[2].endswith(" 1/8")


def test_counts_are_the_scenes():
    bimt = transformer(4, 2)
    scene, lines = scene_of(bimt), drawn(bimt, 100)
    said = [int(n) for line in lines for n in re.findall(r" (\d+) wires?\b", line)]
    wires = [w for row in reversed(range(len(scene.rows))) for w in scene.wires if w.target == row]
    assert said == [w.positive + w.negative for w in wires]
    best = max(np.abs(wires[0].weights))
    assert f"{best:.3g}" in lines[1]
    active = [int((states == ACTIVE).sum()) for states in reversed(scene.states)]
    assert [int(line.split()[-1].split("/")[0]) for line in lines if re.search(r"\d/\d+$", line)] == active


def test_heads_stand_between_bars_with_their_own_neurons():
    bimt = eliminated(transformer(4, 1, 0.3))
    scene, rows = scene_of(bimt), by_row(drawn(bimt, 100))
    values = next(i for i, row in enumerate(scene.rows) if row.name == "blocks.0.v")
    parts = rows["0 V"].split("│")
    assert len(parts) == 4
    order = [box.head for box in scene.rows[values].boxes]
    own = [int((scene.states[values][scene.rows[values].heads == head] == ACTIVE).sum()) for head in order]
    assert [part.count("●") for part in parts] == own


def test_a_crowded_row_is_drawn_by_the_share_that_is_active():
    model = MLP(sizes=[2, 400, 1])
    with torch.no_grad():
        model.layers[0].weight[200:] = 0.0
    bimt = BIMT(model)
    strip = by_row(lines := drawn(bimt))["hidden0"]
    half = len(strip) // 2
    assert set(strip[: half - 1]) == {"█"} and set(strip[half + 1 :]) == {"·"}
    assert "░▒▓█ share" in lines[-1]


def test_of_a_deep_network_both_ends_are_shown():
    lines = drawn(NETWORKS["8 heads, 4 blocks"]())
    assert not any("left out" in line for line in lines)
    deep = drawn(transformer(2, 8, 0.2))
    (said,) = [line for line in deep if "left out" in line]
    rows = by_row(deep)
    assert {"output", "Res0", "0 Q", "7 O (z)", "input"} <= set(rows) and "4 Q" not in rows
    assert int(re.search(r"(\d+) rows", said)[1]) + len(rows) == len(scene_of(transformer(2, 8, 0.2)).rows)


def test_the_strongest_wires_have_the_names_of_inputs():
    bimt = sparse(MLP(sizes=[2, 3, 1]), 1.0)
    assert re.search(r"strongest (mass|speed) → \d ", " ".join(drawn(bimt, labels={"input": ["mass", "speed"]})))


def terminal(**given) -> Console:
    return Console(file=io.StringIO(), highlight=False, markup=False, **given)


def test_a_path_is_a_link_on_a_terminal_and_text_elsewhere(tmp_path):
    path = tmp_path / "a [red]folder" / ("x" * 120)
    console = terminal(force_terminal=True, width=40, color_system="truecolor", legacy_windows=False, _environ={})
    print_path("kept in", path, console=console)
    assert path.as_uri() in console.file.getvalue() and "\x1b]8;" in console.file.getvalue()
    plain = terminal(width=40)
    print_path("kept in", path, console=plain)
    assert plain.file.getvalue() == f"kept in {path}\n"
    assert linked(Path("runs")).style == f"link {Path('runs').absolute().as_uri()}"


def test_what_a_terminal_writes(monkeypatch):
    for name in ("LC_ALL", "LANG"):
        monkeypatch.delenv(name, raising=False)
    utf8 = Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"))
    assert writes(utf8, "●") and not writes(Console(file=io.TextIOWrapper(io.BytesIO(), "ascii")), "●")
    monkeypatch.setenv("LANG", "C")
    assert not writes(utf8, "●") and writes(utf8, "*")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert writes(utf8, "●")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from bimt_tf.config.reading import make
    from bimt_tf.runs.execute import train_run

    path = tmp_path_factory.mktemp("shown") / "run"
    train_run(make("two-moon", seed=100, overrides={"training": {"steps": 60}}), path, draw=False)
    return path


def shown(path: Path, *options: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bimt_tf", "show", str(path), *options],
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_show_draws_the_network_above_the_numbers_without_colours_in_a_pipe(finished):
    said = shown(finished, LC_ALL="C.UTF-8", COLUMNS="70")
    assert "\x1b" not in said and "●" in said
    assert said.index("hidden0") < said.index("test loss")
    assert max(map(len, said.split(" path ")[0].splitlines())) <= 70


def test_show_is_ascii_where_the_terminal_is_and_leaves_the_network_out_on_demand(finished):
    plain = shown(finished, LC_ALL="C")
    assert "*" in plain.split(" path ")[0] and plain.split(" path ")[0].isascii()
    assert "hidden0" not in shown(finished, "--no-network")


def test_show_says_why_a_network_is_not_drawn(finished, tmp_path, capsys):
    import shutil

    from bimt_tf.cli.show import show

    broken = tmp_path / "broken"
    shutil.copytree(finished, broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    show(broken)
    said = capsys.readouterr().out
    assert "the network is not drawn" in said and "damaged" in said and "test loss" in said


def test_a_row_counts_what_the_figure_and_the_page_count():
    """Neurons on a path: those that the stream carries on are counted, which have no weight of their own there."""
    bimt = eliminated(transformer(1, 3, 0.05))
    scene, lines = scene_of(bimt), drawn(bimt, 100)
    assert any((states == CARRIED).any() for states in scene.states)
    told = [line.rsplit(" ", 1)[1] for line in lines if re.search(r" \d+/\d+$", line)]
    assert (
        told
        == [f"{int(on_path.sum())}/{row.size}" for row, on_path in zip(scene.rows, scene.on_paths, strict=True)][::-1]
    )
    assert [f"{row['count']}/{len(row['x'])}" for row in scene.as_dict()["rows"]] == told[::-1]
