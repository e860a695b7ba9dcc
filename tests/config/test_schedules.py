import math

import pytest
import yaml

from bimt_tf.config import reading
from bimt_tf.config.schedules import (
    Varying,
    VaryingSteps,
    curve,
    parse_schedule,
    require_schedule,
    scaled,
    spell_schedule,
)
from bimt_tf.config.values import checked, read_word, spelled
from bimt_tf.errors import InputError
from bimt_tf.sweeps.axes import parse_axis
from bimt_tf.sweeps.lambda_search import scaled as scaled_config


def test_points_are_joined_by_lines_in_the_value_or_in_its_logarithm():
    line = curve("linear:0:0.1,0.3:0.1,0.7:0")
    assert [line.at(step, 100) for step in (0, 30, 50, 70, 99, 100)] == pytest.approx([0.1, 0.1, 0.05, 0, 0, 0])
    log = curve("log:0:0.04,0.5:0.01,1:1e-4")
    assert [log.at(step, 100) for step in (0, 25, 50, 75, 100)] == pytest.approx([0.04, 0.02, 0.01, 1e-3, 1e-4])


def test_two_points_at_one_start_are_a_jump_and_a_logarithm_holds_beside_zero():
    jump = curve("linear:0:1,0.5:2,0.5:8,1:4")
    assert [jump.at(step, 100) for step in (0, 49, 50, 75)] == pytest.approx([1, 1.98, 8, 6])
    log = curve("log:0:0,0.25:1e-3,0.5:1e-1,0.75:0")
    assert [log.at(step, 100) for step in (0, 24, 25, 60, 75, 99)] == pytest.approx([0, 0, 1e-3, 0.1, 0, 0])
    assert log.at(49, 100) == pytest.approx(1e-1, rel=0.25)


def test_values_beyond_all_measure_are_not_joined_by_a_logarithm():
    with pytest.raises(InputError, match="lr joins values that differ by more than"):
        require_schedule("lr", "log:0:1e-300,1:1e300")
    require_schedule("lr", "log:0:1e-50,0.5:0,1:1e40")


def test_pairs_hold_from_their_start_to_the_next():
    steps = curve(((0.0, 1.0), (0.5, 2.0)))
    assert [steps.at(step, 10) for step in (0, 4, 5, 9, 10, 99)] == [1, 1, 2, 2, 2, 2]
    assert curve(3).at(5, 10) == 3 and not curve(3).varies and steps.varies


@pytest.mark.parametrize("word", ["0.1", "0:0.1,0.5:0.2", "linear:0:0.1,1:0.2", "log:0:0.04,0.5:0.0300000000000001"])
def test_a_schedule_is_read_and_spelled_back(word):
    value = read_word(Varying, word, "--lr")
    assert spelled(value) == word and checked(Varying, value, "lr") == value
    assert parse_schedule(word) == parse_schedule(spell_schedule(parse_schedule(word)))


def test_numbers_stay_numbers():
    assert read_word(Varying, "1e-3", "--lr") == 1e-3 and type(read_word(VaryingSteps, "200", "--swap-every")) is int
    assert checked(Varying, "linear:0:1.0,1.0:2e0", "lr") == "linear:0:1,1:2"
    assert parse_schedule("0:1,0.5:2") == ((0.0, 1.0), (0.5, 2.0))


FIELDS = {
    "training": {
        "lr": "log:0:0.04,0.5:0.03,1:0.0005", "lam": "log:0:0,0.1:0.001,1:4", "weight_decay": "0:0.1,0.5:0.2",
        "swap_every": "linear:0:50,1:200", "betas": [0.9, 0.99], "fresh_moments": [0.1, 1.0], "finish_lam": 0.3,
    },
    "geometry": {"width": "linear:0:0,0.2:0,0.6:8"},
}  # fmt: skip


def test_a_config_with_schedules_is_written_and_read_back(tmp_path):
    config = reading.make("symbolic-a", overrides=FIELDS)
    path = tmp_path / "config.yaml"
    path.write_text(reading.dump(config))
    assert reading.load(path) == config
    assert yaml.safe_load(path.read_text())["training"]["lr"] == "log:0:0.04,0.5:0.03,1:0.0005"
    assert config.training.betas == (0.9, 0.99) and config.geometry.width == "linear:0:0,0.2:0,0.6:8"


def test_a_config_without_them_is_written_as_it_was():
    written = yaml.safe_load(reading.dump(reading.make("symbolic-a", overrides={"training": {"lam": "0:1,0.5:2"}})))
    assert written["training"]["lam"] == [[0.0, 1.0], [0.5, 2.0]]
    assert isinstance(written["training"]["lr"], float) and isinstance(written["geometry"]["width"], float)
    assert isinstance(written["training"]["swap_every"], int)


@pytest.mark.parametrize(
    ("section", "field", "value", "expected"),
    [
        ("training", "lr", "linear:0:1,1:0", "lr at 1 must be above 0"),
        ("training", "lr", "linear:0.1:1,1:1", "lr must start at 0 and its starts must rise to 1"),
        ("training", "lr", "linear:0:1,0.7:1,0.5:1", "lr must start at 0 and its starts must rise to 1"),
        ("training", "lr", "linear:0:1,0.5:2,0.5:3,0.5:4", "no three of them the same"),
        ("training", "lr", "linear:0:1,1.5:2", "lr must start at 0 and its starts must rise to 1"),
        ("training", "lr", "linear:0:nan", "lr at 0 must be finite"),
        ("training", "lr", "linear:0:1e300", "training.lr must be below 3e38"),
        ("training", "lr", "cubic:0:1", "training.lr must be a number, START:VALUE pairs"),
        ("training", "lr", "linear:", "training.lr must be a number, START:VALUE pairs"),
        ("training", "lr", [[0.0, 1.0]], "training.lr must be a valid number"),
        ("training", "weight_decay", "linear:0:1,1:-1", "weight_decay at 1 must be at least 0"),
        ("training", "lam", "0:1,1:2", "lam must start at 0 and its starts must rise below 1"),
        ("training", "swap_every", "linear:0:0,1:9", "swap_every at 0 must be above 0"),
        ("training", "swap_every", "1.5", "training.swap_every must be a valid integer"),
        ("training", "betas", [0.9], "training.betas has too few items, found \\(0.9,\\)"),
        ("training", "betas", [0.9, 0.99, 0.5], "training.betas has too many items, found \\(0.9, 0.99, 0.5\\)"),
        ("training", "lam", [[0, 1], [0.5]], "training.lam has too few items, found \\(0.5,\\)"),
        ("training", "betas", [0.9, 1.0], "betas must be at least 0 and below 1, found 0.9,1.0"),
        ("training", "fresh_moments", [1.5], "fresh_moments must be from 0 to 1, found 1.5"),
        ("training", "finish_lam", -1.0, "finish_lam must be at least 0"),
        ("geometry", "width", "linear:0:1,1:-2", "width at 1 must be at least 0"),
    ],
)
def test_mistakes_are_named(section, field, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        reading.make("symbolic-a", overrides={section: {field: value}})
    assert "\n" not in str(caught.value)


def test_a_sweep_of_schedules():
    axis = parse_axis("symbolic-a", "lr=log:0:0.04,1:0.001;1e-3")
    assert axis.values == ("log:0:0.04,1:0.001", 1e-3)
    assert parse_axis("symbolic-a", "lam=linear:0:0,1:1;0.5").values == ("linear:0:0,1:1", 0.5)


def test_lambda_is_scaled_in_every_spelling():
    assert scaled("log:0:0,0.5:1,1:4", 2.0) == "log:0:0,0.5:2,1:8"
    config = reading.make("symbolic-a", overrides={"training": {"lam": "linear:0:0,1:0.5"}})
    assert scaled_config(config, 4.0).training.lam == "linear:0:0,1:2"
    none = reading.make("symbolic-a", overrides={"training": {"lam": "linear:0:0,1:0"}})
    with pytest.raises(InputError, match="needs a penalty"):
        scaled_config(none, 4.0)


def test_a_step_before_a_start_is_before_it_to_the_last_digit():
    """What START * steps is by multiplication decided, before there were other schedules, decides still."""
    for steps in range(1, 200):
        for start in (0.12, 0.33, 0.6, 1 / 3):
            first = next(step for step in range(steps + 1) if step >= start * steps or step == steps)
            found = [curve(((0.0, 1.0), (start, 2.0))).at(step, steps) for step in range(steps)]
            assert found == [1.0] * first + [2.0] * (steps - first)
    assert math.isfinite(curve("log:0:1e-30,1:1e30").at(1, 3))
