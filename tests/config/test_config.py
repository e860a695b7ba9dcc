import dataclasses
import math

import pytest

from bimt_tf.config import reading, settings
from bimt_tf.config.methods import METHODS
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import TASKS
from bimt_tf.training.schedule import bias_step, finish_step, lam_at, lr_at, polish_step


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_preset_survives_yaml(task, method, tmp_path):
    for preset in TASKS[task].presets:
        config = reading.make(task, preset, method, seed=3)
        path = tmp_path / f"{preset}.yaml"
        path.write_text(reading.dump(config))
        assert reading.load(path) == config


def test_presets_differ_where_the_paper_and_its_notebooks_do():
    paper = reading.make("in-context", "paper").training
    notebook = reading.make("in-context", "notebook").training
    assert paper.lam == ((0.0, 0.001), (0.25, 0.01), (0.5, 0.1), (0.75, 0.3))
    assert (paper.top_k, paper.swap_every, paper.swap_method) == (30, 200, "greedy")
    assert notebook.lam == ((0.0, 0.001), (0.25, 0.01), (0.75, 0.1))
    assert notebook.swap_every > notebook.steps
    singular = reading.make("in-context-singular", "paper").data
    assert (singular.x_low, singular.x_high, singular.w_low, singular.w_high) == (-1, 1, 1, 3)


def test_every_field_has_its_sentence():
    classes = [settings.Config, settings.GeometryConfig, settings.TrainingConfig]
    classes += [cls for task in TASKS.values() for cls in (task.Options, task.Model)]
    for cls in classes:
        named = {field.name for field in dataclasses.fields(cls)}
        if cls is settings.Config:
            named -= {"data", "model", "geometry", "training"}
        assert named <= set(reading.sentences(cls)), cls


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("training", "stepz", 10, "did you mean 'steps'"),
        ("training", "steps", 0, "steps must be above 0"),
        ("training", "steps", -5, "steps must be above 0"),
        ("training", "steps", "many", "training.steps must be of type int"),
        ("training", "steps", True, "training.steps must be of type int"),
        ("training", "steps", 1.5, "training.steps must be of type int"),
        ("training", "swap_every", 0, "swap_every must be above 0"),
        ("training", "lam", -0.1, "must be at least 0"),
        ("training", "lam", math.nan, "must be finite"),
        ("training", "lam", [[0.5, 0.1]], "lam must start at 0"),
        ("training", "lam", "a:b", "START:LAMBDA"),
        ("training", "lr", math.inf, "lr must be finite"),
        ("training", "finish", 1.0, "finish must be"),
        ("training", "bias_free", -0.5, "bias_free must be"),
        ("training", "penalty", "hard", "unknown training.penalty"),
        ("geometry", "width", -1, "width must be at least 0"),
        ("geometry", "width", math.nan, "width must be finite"),
        ("geometry", "norm", "l3", "unknown geometry.norm"),
        ("data", "samples", 1, "leave none"),
        ("data", "x_low", 5.0, "x_low must be below x_high"),
        ("data", "read", "first", "read must be"),
        ("data", "train_share", 1.0, "train_share must be"),
        ("model", "n_head", 2, "did you mean 'n_heads'"),
        ("moddel", "n_heads", 2, "did you mean 'model'"),
    ],
)
def test_bad_values_are_named(section, key, value, expected):
    with pytest.raises(InputError, match=expected) as caught:
        reading.make("in-context", overrides={section: {key: value}})
    assert "\n" not in str(caught.value)


def test_unknown_task_method_preset():
    with pytest.raises(InputError, match="did you mean 'in-context'"):
        reading.make("in-contxt")
    with pytest.raises(InputError, match="unknown method"):
        reading.make("in-context", method="bmit")
    with pytest.raises(InputError, match="unknown preset"):
        reading.make("in-context", "papr")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task: [", "is not YAML"),
        ("- 1", "must be a YAML mapping"),
        ("task: in-context\ntrainin: {}", "did you mean 'training'"),
        ("task: in-context\ntraining: 3", "must hold keys and values"),
        ("task: 7", "task must be of type str"),
        ("task: in-context\nseed: x", "seed must be of type int"),
    ],
)
def test_bad_files(text, expected, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected) as caught:
        reading.load(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot read config"):
        reading.load(tmp_path / "none.yaml")


def test_numbers_that_yaml_reads_as_text(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: in-context\ntraining: {lr: 1e-3, lam: 0.5}")
    config = reading.load(path)
    assert config.training.lr == 1e-3 and config.training.lam == ((0.0, 0.5),)


def test_schedules():
    config = reading.make(
        "in-context",
        overrides={"training": {"steps": 100, "finish": 0.2, "lr": 1.0, "finish_lr": 4.0, "lam": "0:1,0.5:2"}},
    )
    assert finish_step(config) == 80
    assert [lam_at(config, s) for s in (0, 39, 40, 79, 80, 99)] == [1, 1, 2, 2, 0, 0]
    assert [lr_at(config, s) for s in (0, 79, 80)] == [1, 1, 4]
    assert lr_at(config, 90) == pytest.approx(2)
    assert 0 < lr_at(config, 99) < 0.04
    vanilla = dataclasses.replace(config, method="vanilla")
    assert lam_at(vanilla, 0) == 0
    assert bias_step(config) == 0
    free = dataclasses.replace(config, training=dataclasses.replace(config.training, bias_free=0.75))
    assert bias_step(free) == 60
    no_finish = dataclasses.replace(config, training=dataclasses.replace(config.training, finish=0.0))
    assert finish_step(no_finish) == 100 and lr_at(no_finish, 99) == 1


def test_a_polish_comes_behind_adam():
    config = make("in-context", overrides={"training": {"steps": 100, "finish": 0.25, "finish_lr": 4.0, "polish": 0.2}})
    assert (polish_step(config), finish_step(config)) == (80, 60)
    assert lr_at(config, 70) == pytest.approx(2) and lr_at(config, 80) == 0 and lam_at(config, 80) == 0
    assert polish_step(make("in-context", overrides={"training": {"steps": 100}})) == 100
    with pytest.raises(InputError, match="polish must be at least 0 and below 1"):
        make("in-context", overrides={"training": {"polish": 1.0}})
