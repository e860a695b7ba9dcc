"""Every file of a run, damaged in every way: one line that names the file and says what to do."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from bimt_tf.errors import InputError
from bimt_tf.runs.execute import resume_run
from bimt_tf.runs.listing import run_rows
from bimt_tf.runs.load import load_run

FILES = ("config.yaml", "run.json", "metrics.jsonl", "model.safetensors", "layout.json", "summary.json", "probes.json")
REMEDY = ("remove it", "write ", "resume", "it has no config.yaml", "config ")


def damage(path, how):
    """Damage a file in one way; False if that leaves this one as good as it was."""
    whole = path.read_bytes()
    if how == "emptied":
        path.write_bytes(b"")
        return path.name != "metrics.jsonl"
    if how == "truncated":
        half = len(whole) // 2  # of a config a line in its midst has no value
        path.write_bytes(whole[: whole.rfind(b"\n", 0, half) + 1 if path.suffix == ".yaml" else half])
        return path.name not in ("metrics.jsonl", "config.yaml")  # the preset says the rest of a config
    if how == "a directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({
            "other JSON": b"[1, 2, 3]", "an empty object": b"{}\n{}", "NaN": b"NaN", "a number": b"7",
            "nested": b"[" * 99_999, "not UTF-8": b"\xff\xfe\x00{}\x80 \n\x80", "null": b"null\nnull",
        }[how])  # fmt: skip
    return not (how == "nested" and path.name == "metrics.jsonl")  # a last line that was cut short


WAYS = ("emptied", "truncated", "a directory", "other JSON", "an empty object", "NaN", "a number", "nested", "null")


@pytest.mark.parametrize("how", [*WAYS, "not UTF-8"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(run, name, how):
    bad = damage(run / name, how)

    def everything():
        found = load_run(run)
        return found.summary, found.probes, found.metrics, repr(found)

    if not bad:
        everything()
        return
    with pytest.raises(InputError) as caught:
        everything()
    said = str(caught.value)
    assert name in said and "\n" not in said and any(words in said for words in REMEDY), said
    (row,) = run_rows(run)
    if name not in ("probes.json", "metrics.jsonl", "model.safetensors", "layout.json"):
        assert name in row.state and row.loss is None


@pytest.mark.parametrize("how", [*WAYS, "not UTF-8"])
def test_a_damaged_checkpoint_is_named(half_run, how):
    newest = half_run / "checkpoints" / "step_00000030.pt"
    assert damage(newest, how)
    for reads in (load_run, resume_run):
        with pytest.raises(InputError, match="step_00000030.pt is truncated .*; remove it to begin"):
            reads(half_run)


@pytest.mark.parametrize(
    "change",
    [
        {"step": "ten"}, {"step": -1}, {"model": {}}, {"model": {"a": 1}}, {"layout": None}, {"extra": 1},
        {"model": {"a": torch.tensor(float("nan"))}},
    ],
)  # fmt: skip
def test_a_checkpoint_with_other_content_is_named(half_run, change):
    newest = half_run / "checkpoints" / "step_00000030.pt"
    torch.save(torch.load(newest, weights_only=True) | change, newest)
    with pytest.raises(InputError, match="step_00000030.pt is"):
        load_run(half_run)


def test_checkpoints_that_are_no_folder(half_run):
    shutil.rmtree(half_run / "checkpoints")
    (half_run / "checkpoints").write_text("x")
    for reads in (load_run, resume_run):
        with pytest.raises(InputError, match="checkpoints is damaged: it is no directory; remove it"):
            reads(half_run)


@pytest.mark.parametrize(
    "slots",
    [
        {}, {"residual": [0]}, {"residual": "abc"}, {"residual": [0.5] * 8}, {"residual": [[0]]},
        {"residual": [10**30]}, {"residual": [0] * 8}, {"residual": list(range(1, 9))}, {"residual": 3},
        {"residual": [True] * 8}, 7,
    ],
)  # fmt: skip
def test_a_layout_of_something_else_is_named(run, slots):
    there = json.loads((run / "layout.json").read_text())["slots"]
    changed = slots if not isinstance(slots, dict) or not slots else there | slots
    (run / "layout.json").write_text(json.dumps({"slots": changed}))
    with pytest.raises(InputError, match="layout.json (is damaged|does not fit the model)") as caught:
        load_run(run)
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_numbers_are_named(run):
    weights = load_file(run / "model.safetensors")
    weights["embed.W_E"][0, 0] = float("nan")
    save_file(weights, run / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors is damaged: embed.W_E holds NaN"):
        load_run(run)


def test_weights_of_another_model_are_named(run):
    weights = load_file(run / "model.safetensors")
    save_file({name: w for name, w in weights.items() if name != "embed.b_E"}, run / "model.safetensors")
    with pytest.raises(InputError, match="model.safetensors is of another model: embed.b_E is None in it"):
        load_run(run)


def test_what_is_removed_is_written_again(run):
    before = (run / "model.safetensors").read_bytes(), (run / "layout.json").read_bytes()
    for name in ("model.safetensors", "summary.json"):
        (run / name).unlink()
    resume_run(run, draw=False)
    assert ((run / "model.safetensors").read_bytes(), (run / "layout.json").read_bytes()) == before
    assert load_run(run).state == "finished"
