import dataclasses
import math

import pytest

from bimt_tf.config import reading, settings
from bimt_tf.config.fields import sentences
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
    classes = [settings.Config, settings.GeometryConfig, settings.TrainingConfig, settings.EliminationConfig]
    classes += [cls for task in TASKS.values() for cls in (task.Options, task.Model)]
    for cls in classes:
        named = {field.name for field in dataclasses.fields(cls)}
        if cls is settings.Config:
            named -= {"data", "model", "geometry", "training", "elimination"}
        assert named <= set(sentences(cls)), cls


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("training", "stepz", 10, "did you mean 'steps'"),
        ("training", "steps", 0, "steps must be above 0"),
        ("training", "steps", -5, "steps must be above 0"),
        ("training", "steps", "many", "training.steps must be a valid integer"),
        ("training", "steps", True, "training.steps must be a valid integer"),
        ("training", "steps", "10", "training.steps must be a valid integer"),
        ("training", "steps", 2**63, "training.steps must be below 2\\*\\*63"),
        ("training", "steps", 10**400, "training.steps must be below 2\\*\\*63"),
        ("training", "lr", 1e300, "training.lr must be below 3e38"),
        ("training", "lam", [[0, 1e300]], "training.lam must be below 3e38"),
        ("geometry", "layer_gap", 1e300, "geometry.layer_gap must be below 3e38"),
        ("data", "x_low", -1e300, "data.x_low must be below 3e38"),
        ("training", "threads", 100_000, "threads must be at most 1024"),
        ("training", "lr", True, "training.lr must be a valid number"),
        ("training", "lr", "1e-3", "training.lr must be a valid number"),
        ("training", "fixed", "input", "training.fixed must be a valid tuple"),
        ("training", "fixed", [1], "training.fixed must be a valid string"),
        ("training", "lam", [[0, "a"]], "training.lam must be a valid number"),
        ("geometry", "shapes", {"output": 3}, "geometry.shapes must be a valid string"),
        ("training", "steps", 1.5, "training.steps must be a valid integer"),
        ("training", "swap_every", 0, "swap_every must be above 0"),
        ("training", "lam", -0.1, "must be at least 0"),
        ("training", "lam", math.nan, "must be finite"),
        ("training", "lam", [[0.5, 0.1]], "lam must start at 0"),
        ("training", "lam", "a:b", "START:VALUE"),
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
        ("task: in-context\ntask: s4", "gives a key twice: .*line 2"),
        ("task: in-context\ntraining: {lr: 1, lr: 2}", "gives a key twice: .*line 2"),
        ("task: !!python/object:os.x 1", "is not YAML"),
        ("task: in-context\ndate: 2020-99-99", "is not YAML"),
        ("task: in-context\nseed: true", "seed must be a valid integer"),
        ("task: in-context\nseed: 9223372036854775808", "seed must be below 2"),
        ("- 1", "must be a YAML mapping"),
        ("task: in-context\ntrainin: {}", "did you mean 'training'"),
        ("task: in-context\ntraining: 3", "must hold keys and values"),
        ("task: 7", "task must be a valid string"),
        ("task: in-context\nseed: x", "seed must be a valid integer"),
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


def test_a_config_of_version_0_1_still_loads(tmp_path):
    path = tmp_path / "old.yaml"
    path.write_text("task: mnist\npreset: notebook\nmethod: l1\nseed: 4\ngeometry: {unlocal: [output], width: 3.0}\n")
    config = reading.load(path)
    assert config.geometry.distance_free == ("output",) and config.geometry.width == 3 and config.seed == 4


def test_words_of_yaml_1_1_are_words(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("task: in-context\ntraining: {compile: no, lr: 1e-3}")
    assert reading.load(path).training.compile == "no"


@pytest.mark.parametrize("bytes_", [b"\xff\xfe", b"task: a\x00", b"", b"[" * 5000], ids=["utf", "nul", "empty", "deep"])
def test_what_is_no_yaml_is_said_in_one_line(bytes_, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(bytes_)
    with pytest.raises(InputError, match=r"c\.yaml") as caught:
        reading.load(path)
    assert "\n" not in str(caught.value)


def test_a_directory_is_no_config(tmp_path):
    with pytest.raises(InputError, match="cannot read config"):
        reading.load(tmp_path)


def test_sentences_are_inherited():
    assert sentences(TASKS["lm"].Model)["d_head"] == "neurons of a head; d_model // n_heads unless given"
    assert sentences(TASKS["lm"].Model)["act_fn"].startswith("activation: gelu_new, gelu")
