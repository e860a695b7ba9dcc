"""BIMT on two processes, with the real wrappers of torch.distributed (gloo, CPU): tests/distributed_worker.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).parents[1] / "distributed_worker.py"
LONGEST = 600  # of a message
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the processes are forked")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    run = subprocess.run(
        [sys.executable, WORKER, tmp_path_factory.mktemp("gloo")], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout[run.stdout.index("{") :])


@pytest.mark.parametrize("how", ["proximal", "gradient", "buckets", "divided"])
def test_replicas_keep_the_same_bits(found, how):
    """Through presses, swaps, a bake in the middle, the cut and the finish; each process has data of its own."""
    one = found["ddp"][how]
    assert one["parted"] == []
    assert one["phase"] == "over" and one["moved"] and one["zeros"] > 5


def test_how_the_gradients_are_kept_changes_nothing(found):
    assert found["ddp"]["buckets"]["weights"] == found["ddp"]["proximal"]["weights"]


def test_a_divided_optimizer_trains_as_a_whole_one(found):
    """ZeroRedundancyOptimizer: each process baked its own part of the state, or the moments would be others'."""
    assert found["ddp"]["divided"]["weights"] == found["ddp"]["gradient"]["weights"]


def test_a_loop_without_hooks_keeps_the_same_bits(found):
    """Accumulated gradients, add_cost_grad_, step_, and one layout for all after swaps that differed."""
    assert found["by hand"]


def test_a_divided_optimizer_is_refused_where_its_moments_are_needed(found):
    assert found["zero"]["proximal"].startswith("InputError: ZeroRedundancyOptimizer divides its second moments")
    assert "bake_(optimizer.optim)" in found["zero"]["bake_"]


def test_split_weights_are_refused_in_one_line(found):
    assert len(found["fsdp"]) == 6
    for kind, said in found["fsdp"].items():
        assert said.startswith("InputError: ") and "train with DistributedDataParallel" in said, (kind, said)
        assert ("DTensor" in said) == ("fsdp2" in kind)
        assert len(said) <= LONGEST and "\n" not in said


def test_weights_split_after_wiring_are_refused_by_every_call(found):
    """FSDP1 leaves freed memory in the place of parameters: reading it ended the process."""
    assert len(found["after"]) == 15
    for call, said in found["after"].items():
        if call == "fsdp1 step_":  # said first: the optimizer holds the flattened parameter
            assert (
                said == "InputError: 6 of the parameters that the connection cost charges are in none of the optimizers"
            )
        else:
            assert said.startswith("InputError: ") and "load the gathered state_dict" in said, (call, said)


def test_the_advice_ends_in_a_right_model(found):
    assert found["gathered"]
