"""A run's evolution: the page's frames, the figure and the animation's file, and the command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from bimt_tf.cli.animate import animate as command
from bimt_tf.errors import InputError
from bimt_tf.runs import animation
from bimt_tf.runs.animation import animate
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.page import evolution as page
from bimt_tf.runs.page.evolution import evolution_part
from bimt_tf.scene.scene import scene_of


@pytest.fixture(scope="module")
def evolved(tmp_path_factory, tiny_config):
    """A run of an MLP with an elimination; it must not be changed."""
    path = tmp_path_factory.mktemp("evolved") / "run"
    train_run(tiny_config("symbolic-b", eliminate=True, swap_every=4), path, draw=False)
    return path


def test_frames_say_where_neurons_with_two_coordinates_stand(tiny_config, tmp_path):
    config = tiny_config("symbolic-b", steps=20, swap_every=4)
    config = replace(config, geometry=replace(config.geometry, shapes={"hidden0": "grid"}))
    train_run(config, tmp_path / "run", draw=False)
    run = load_run(tmp_path / "run")
    frames = evolution_part(run)["frames"]
    for frame, snapshot in zip(frames, run.snapshots, strict=True):
        lifts = {row.name: row.lift.tolist() for row in snapshot.scene().rows if row.half}
        assert list(lifts) == ["hidden0"] and frame["lift"] == {"hidden0": pytest.approx(lifts["hidden0"], rel=1e-3)}
    assert frames[0]["lift"] != frames[-1]["lift"]  # they have moved


def test_the_last_frame_is_the_scene_of_the_run(evolved):
    run = load_run(evolved)
    part = json.loads(json.dumps(evolution_part(run), allow_nan=False))
    scene = scene_of(run.bimt, run.threshold)
    frames = part["frames"]
    assert len(frames) == len(run.snapshots) and part["note"] == ""
    assert [one["step"] for one in frames] == [one.step for one in run.snapshots]
    assert [one["phase"] for one in (frames[0], frames[-1])] == ["start", "eliminate"]
    last = frames[-1]
    assert last["active"] == scene.active == run.active_weights
    assert last["x"].keys() == {row.name for row in scene.rows}
    for row in scene.rows:
        assert last["x"][row.name] == pytest.approx(row.x.tolist(), rel=1e-3)
    for kept, wires in zip(last["wires"], scene.wires, strict=True):
        assert kept[0] == wires.sources.tolist() and kept[1] == wires.targets.tolist()
        assert kept[2] == pytest.approx(wires.weights.tolist(), rel=1e-3)
    for one, snapshot in zip(frames, run.snapshots, strict=True):
        assert len(one["wires"]) == len(scene.wires) and one["active"] == snapshot.active_weights()
    assert any(frames[0]["x"][name] != x for name, x in last["x"].items())


def test_large_parts_are_thinned_and_say_so(evolved, monkeypatch):
    run = load_run(evolved)
    whole = evolution_part(run)
    neurons = sum(len(x) for x in whole["frames"][0]["x"].values())
    monkeypatch.setattr(page, "MOST_PLACES", 5 * neurons)
    monkeypatch.setattr(page, "MOST_WIRES", 5 * 12)
    part = evolution_part(run)
    frames = part["frames"]
    assert len(frames) == 5 and part["note"].endswith(f"5 of {len(whole['frames'])} snapshots.")
    assert "more than 12 weights show the strongest" in part["note"]
    assert frames[-1]["active"] == run.active_weights and frames[0]["step"] == 0
    first = frames[0]
    assert sum(len(kept[2]) for kept in first["wires"]) == 12
    strengths = np.sort([abs(w) / max(map(abs, kept[2])) for kept in whole["frames"][0]["wires"] for w in kept[2]])
    largest = [max(map(abs, full[2])) for full in whole["frames"][0]["wires"]]
    kept = [abs(w) / most for one, most in zip(first["wires"], largest, strict=True) for w in one[2]]
    assert np.sort(kept) == pytest.approx(strengths[-12:])


def test_without_snapshots_there_is_no_part_and_a_reason(tmp_path, tiny_config):
    train_run(tiny_config("symbolic-b", steps=10, snapshots=False), tmp_path / "run", draw=False)
    run = load_run(tmp_path / "run")
    assert evolution_part(run) is None
    for ask in (lambda: run.figure("evolution"), lambda: animate(run, tmp_path / "a.gif")):
        with pytest.raises(InputError, match="has 0 snapshots, and two are needed.*--no-snapshots"):
            ask()
    assert not (tmp_path / "a.gif").exists()


def test_the_command_writes_a_gif_that_moves(evolved, tmp_path, capsys):
    from PIL import Image

    out = tmp_path / "a.gif"
    command(evolved, out=out, seconds=3, fps=5, dpi=40)
    assert str(out) in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.n_frames >= 4 and picture.info["loop"] == 0
        time = sum(frame_of(picture, i) for i in range(picture.n_frames))
        first, last = (np.asarray(at(picture, i)) for i in (0, picture.n_frames - 1))
    assert 2_500 <= time <= 3_500 and first.shape == last.shape and (first != last).any()
    assert tuple(first[0, 0]) == (255, 255, 255)


def frame_of(picture, i):
    picture.seek(i)
    return picture.info["duration"]


def at(picture, i):
    picture.seek(i)
    return picture.convert("RGB")


def test_a_strip_by_the_command(evolved, tmp_path):
    command(evolved, out=tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("name, said", [("a.avi", "unknown format of an"), ("a.mp4", "needs the program ffmpeg")])
def test_what_cannot_be_written_is_said_first(evolved, tmp_path, monkeypatch, name, said):
    monkeypatch.setattr(animation.FFMpegWriter, "isAvailable", classmethod(lambda cls: False))
    with pytest.raises(InputError, match=said):
        animate(load_run(evolved), tmp_path / name)
    assert not (tmp_path / name).exists()


def test_an_mp4_where_there_is_ffmpeg(evolved, tmp_path):
    if not animation.FFMpegWriter.isAvailable():
        pytest.skip("no ffmpeg")
    told = []
    animate(load_run(evolved), tmp_path / "a.mp4", seconds=2.5, fps=4, dpi=41, progress=lambda *now: told.append(now))
    assert (tmp_path / "a.mp4").read_bytes()[4:8] == b"ftyp" and told[-1][0] == told[-1][1] == len(told)


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 0},
        {"dpi": -1},
        {"seconds": float("nan")},
        {"fps": 10**9},
        {"dpi": 10**6},
        {"seconds": 1e9},
        {"seconds": 600, "fps": 50, "dpi": 600},
    ],
)
def test_numbers_that_cannot_be_are_refused(evolved, tmp_path, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        animate(load_run(evolved), tmp_path / "a.gif", **wrong)


def test_a_folder_that_is_not_there_is_said_before_anything_is_drawn(evolved, tmp_path):
    told = []
    with pytest.raises(InputError, match="there is no folder"):
        animate(load_run(evolved), tmp_path / "none" / "a.gif", progress=lambda *now: told.append(now))
    assert not told
