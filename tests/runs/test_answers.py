"""Answers that last: kept beside the run, replaced when asked again, read back as they were."""

import json

import pytest
import torch

from bimt_tf.analysis.plain import plain
from bimt_tf.errors import InputError
from bimt_tf.runs.answers import answers, how_made, keep
from bimt_tf.runs.load import load_run


@pytest.fixture
def run(whole_run, tmp_path):
    found = load_run(whole_run)
    found.path = tmp_path
    return found


def test_an_answer_is_kept_with_how_it_was_made(run):
    made = how_made(run, examples=7)
    path = keep(run, "interventions", "interchange", {"target": "w"}, made, {"slope": torch.tensor(1.5)})
    (found,) = answers(path.parent, "interventions")
    assert found["result"] == {"slope": 1.5} and found["asked"] == {"target": "w"} and found["made"] == plain(made)
    assert made["seed"] == run.config.seed and made["weights"] == run.active_weights and made["examples"] == 7


def test_asked_again_the_new_answer_takes_the_place_of_the_old_one(run):
    for number in range(2):
        keep(run, "modules", "modules", {"runs": 1}, how_made(run), number)
        keep(run, "modules", "modules", {"runs": 2}, how_made(run), number)
    assert [one["result"] for one in answers(run.path, "modules")] == [1, 1]


def test_the_probes_of_training_stay(run):
    (run.path / "probes.json").write_text(json.dumps({"probes": [1]}))
    assert answers(run.path, "probes") == []
    keep(run, "probes", "probe", {}, how_made(run), 3)
    assert json.loads((run.path / "probes.json").read_text())["probes"] == [1]


@pytest.mark.parametrize("content", ["{", '{"answers": 3}', '{"answers": [{}]}', '{"answers": [{"made": 1}]}'])
def test_a_damaged_file_is_refused_and_left(run, content):
    (run.path / "modules.json").write_text(content)
    with pytest.raises(InputError, match="damaged"):
        keep(run, "modules", "modules", {}, how_made(run), 1)
    assert (run.path / "modules.json").read_text() == content


def test_plain_values():
    assert plain({("a", 1): {3, 2}, "x": float("nan"), 4: (torch.arange(2), None, True)}) == {
        "a, 1": [2, 3], "x": None, "4": [[0, 1], None, True],
    }  # fmt: skip
