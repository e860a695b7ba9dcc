import math
from dataclasses import fields

import pytest
import torch
from sklearn.datasets import load_digits

from bimt_tf import wire
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.tasks.groups import S4Options, permutation_table
from bimt_tf.tasks.in_context import InContextOptions
from bimt_tf.tasks.registry import TASKS, task

IN_CONTEXT = task("in-context")


@pytest.mark.parametrize(("dim", "examples"), [(1, 1), (3, 1), (1, 4), (2, 3)])
def test_tokens_are_the_papers(dim, examples):
    options = InContextOptions(dim=dim, examples=examples, samples=50)
    split = IN_CONTEXT.data(options, seed=0, dtype=torch.float64)
    data = split.train
    assert data.inputs.shape == (40, 2 * examples + 1, 1 + dim) and split.test.inputs.shape[0] == 10
    assert data.targets.shape == (40, examples + 1)
    w = torch.stack([data.quantities["w" if dim == 1 else f"w_{i + 1}"] for i in range(dim)], dim=1)
    for sequence in range(5):
        for k in range(examples + 1):
            token = data.inputs[sequence, 2 * k]
            assert token[0] == 0
            y = sum(float(w[sequence, i] * token[1 + i]) for i in range(dim))
            assert y == pytest.approx(float(data.targets[sequence, k]))
            if k < examples:
                after = data.inputs[sequence, 2 * k + 1]
                assert float(after[0]) == pytest.approx(y) and (after[1:] == 0).all()


def test_ranges_and_seeds():
    plain = IN_CONTEXT.data(InContextOptions(), 0, torch.float32)
    assert plain.train.inputs[:, 0::2, 1].min() >= 1 and plain.train.inputs[:, 0::2, 1].max() <= 3
    assert plain.train.quantities["w"].abs().max() <= 1
    singular = task("in-context-singular")
    options = InContextOptions(**singular.presets["best"]["data"])
    x = singular.data(options, 0, torch.float32).train.quantities["x1"]
    assert x.min() < -0.9 and x.max() > 0.9 and x.abs().min() < 0.01
    again = IN_CONTEXT.data(InContextOptions(), 0, torch.float32)
    other = IN_CONTEXT.data(InContextOptions(), 1, torch.float32)
    assert torch.equal(plain.train.inputs, again.train.inputs)
    assert not torch.equal(plain.train.inputs, other.train.inputs)


def test_loss_reads_the_x_tokens_and_reports_the_last():
    options = InContextOptions(samples=20)
    data = IN_CONTEXT.data(options, 0, torch.float64).train
    outputs = torch.zeros(16, 3, 2, dtype=torch.float64)
    outputs[:, 0, 0] = data.targets[:, 0] + 1
    outputs[:, 2, 0] = data.targets[:, 1] + 3
    outputs[:, 1] = 100  # the outputs at the y token count for nothing
    outputs[:, :, 1] = 100  # nor the other feature
    assert float(IN_CONTEXT.loss(options, outputs, data.targets)) == pytest.approx(5)
    last = InContextOptions(samples=20, read="last")
    assert float(IN_CONTEXT.loss(last, outputs, data.targets)) == pytest.approx(9)
    assert IN_CONTEXT.metrics(options, outputs, data.targets) == pytest.approx({"loss": 9, "loss_all": 5})
    true, predicted = IN_CONTEXT.reported(options, outputs, data.targets)
    assert torch.allclose(predicted - true, torch.tensor(3.0, dtype=torch.float64))


# of the tasks that take as many examples, or as much text, as they are told
SMALL = {"samples": 60, "max_text": 900, "context": 8}


def options_of(name, mnist_dir=None):
    """A task with options for few examples."""
    found = task(name)
    small = {**SMALL, "data_dir": str(mnist_dir), "train_samples": 30}
    chosen = {key: value for key, value in small.items() if key in {f.name for f in fields(found.Options)}}
    return found, found.Options(**chosen)


@pytest.mark.parametrize("name", TASKS)
def test_models_labels_and_probes_fit_the_data(name, mnist_dir):
    found, options = options_of(name, mnist_dir)
    split = found.data(options, 0, torch.float32)
    model = found.model(found.Model(), options, 0, torch.float32)
    with torch.no_grad():
        outputs = model(split.train.inputs)
    assert torch.isfinite(found.loss(options, outputs, split.train.targets))
    populations = wire(model).populations
    assert {key: len(words) for key, words in found.labels(options).items()}.items() <= {
        key: p.size for key, p in populations.items()
    }.items()
    true, predicted = found.reported(options, outputs, split.train.targets)
    assert true.shape == predicted.shape and true.ndim == 1
    metrics = found.metrics(options, outputs, split.train.targets)
    assert ("accuracy" in metrics) == (found.kind == "classification") and "loss" in metrics
    assert all(len(v) == len(split.train.inputs) for v in split.train.quantities.values())
    for probe in found.probes(options):
        assert probe.hook in model.hook_dict and probe.target in split.train.quantities
        _, cache = model.run_with_cache(split.train.inputs)
        assert 0 <= probe.position < cache[probe.hook].shape[1]


@pytest.mark.parametrize("name", [name for name in TASKS if name != "lm"])  # a text is the same for all seeds
def test_a_seed_gives_its_own_data_and_the_parts_share_no_example(name, mnist_dir):
    found, options = options_of(name, mnist_dir)
    first, again, other = (found.data(options, seed, torch.float64) for seed in (3, 3, 4))
    assert torch.equal(first.train.inputs, again.train.inputs) and torch.equal(first.test.targets, again.test.targets)
    assert not torch.equal(first.train.inputs, other.train.inputs)
    train, test = ({tuple(x) for x in part.inputs.flatten(1).tolist()} for part in first)
    assert not train & test


def plain(name, x):
    x1, x2, x3 = x[:3]
    x4 = x[3] if len(x) > 3 else None
    return {
        "products": lambda: [x1 * x4 + x2 * x3, x1 * x4 - x2 * x3],
        "symbolic-a": lambda: [x2**2 + math.sin(math.pi * x4), (x1 + x3) ** 3],
        "symbolic-b": lambda: [x1**2, x1**2 + x2**2, x1**2 + x2**2 + x3**2],
        "symbolic-c": lambda: [math.sqrt((x1 - x2) ** 2 + (x3 - x4) ** 2)],
    }[name]()


@pytest.mark.parametrize("name", ["products", "symbolic-a", "symbolic-b", "symbolic-c"])
def test_formulas(name):
    found, options = options_of(name)
    data = found.data(options, 0, torch.float64).train
    assert data.inputs.abs().max() <= 1 and data.inputs.min() < -0.8
    for x, y in zip(data.inputs.tolist(), data.targets.tolist(), strict=True):
        assert y == pytest.approx(plain(name, x))
    assert torch.equal(data.quantities["x2"], data.inputs[:, 1]) and torch.equal(
        data.quantities["y1"], data.targets[:, 0]
    )


@pytest.mark.parametrize("preset", ["best", "paper", "notebook"])
def test_formulas_train_on_100_and_test_on_100(preset):
    split = task("symbolic-a").data(make("symbolic-a", preset).data, 0, torch.float32)
    assert [len(part.inputs) for part in split] == [100, 100]


@pytest.mark.parametrize("modulus", [2, 7, 59])
def test_modular_addition_cuts_all_pairs_in_two(modulus):
    found = task("modular-addition")
    options = found.Options(modulus=modulus)
    train, test = found.data(options, 0, torch.float64)
    assert len(train.inputs) == round(0.8 * modulus**2)
    pairs = [tuple(pair) for part in (train, test) for pair in part.inputs.tolist()]
    assert sorted(pairs) == [(a, b) for a in range(modulus) for b in range(modulus)]
    for (a, b), c in zip(train.inputs.tolist(), train.targets.tolist(), strict=True):
        assert (a + b) % modulus == c
    model = found.model(found.Model(), options, 0, torch.float64)
    assert model.cfg.sizes == (50, 50, modulus) and model.embed.weight.shape == (modulus, 32)


def test_s4_is_a_group_of_permutations():
    elements, signs, table = permutation_table()
    assert len(set(elements)) == 24 and sum(signs) == 0 and signs[:12] == [1] * 12
    everything = list(range(24))
    assert all(sorted(row) == everything for row in table)
    assert all(sorted(column) == everything for column in zip(*table, strict=True))
    (one,) = [e for e in everything if table[e] == everything]
    assert elements[one] == (0, 1, 2, 3)
    for a in everything:
        assert any(table[a][b] == table[b][a] == one for b in everything)
        for b in everything:
            assert elements[table[a][b]] == tuple(elements[a][elements[b][i]] for i in range(4))
            assert signs[table[a][b]] == signs[a] * signs[b]
            assert all(table[table[a][b]][c] == table[a][table[b][c]] for c in everything)
    data = task("s4").data(S4Options(), 0, torch.float64).train
    assert torch.equal(data.quantities["sign"], data.quantities["sign_1"] * data.quantities["sign_2"])
    for (a, b), c in zip(data.inputs.tolist(), data.targets.tolist(), strict=True):
        assert table[a][b] == c


def test_digits_are_the_images():
    found, options = options_of("digits")
    train, test = found.data(options, 0, torch.float64)
    assert (len(train.inputs), len(test.inputs)) == (1438, 359)
    assert train.inputs.min() == 0 and train.inputs.max() == 1 and train.inputs.shape[1] == 64
    images, classes = load_digits(return_X_y=True)
    every = {tuple(image / 16): int(c) for image, c in zip(images, classes, strict=True)}
    for part in (train, test):
        for image, c in zip(part.inputs.tolist(), part.targets.tolist(), strict=True):
            assert every[tuple(image)] == c


def test_two_moons_lie_where_they_should():
    found = task("two-moon")
    train, test = found.data(found.Options(noise=0.0), 0, torch.float64)
    for part in (train, test):
        for (x, y), c in zip(part.inputs.tolist(), part.targets.tolist(), strict=True):
            cx, cy = ((0, 0), (1, 0.5))[c]
            assert math.hypot(x - cx, y - cy) == pytest.approx(1)


def test_classification_counts_what_is_right():
    found, options = options_of("two-moon")
    outputs = torch.tensor([[2.0, 1.0], [0.0, 3.0], [0.0, 1.0], [1.0, 0.0]])
    targets = torch.tensor([0, 1, 0, 0])
    right = [math.exp(2), math.exp(3), math.exp(0), math.exp(1)]
    wrong = [math.exp(1), math.exp(0), math.exp(1), math.exp(0)]
    loss = sum(-math.log(r / (r + w)) for r, w in zip(right, wrong, strict=True)) / 4
    assert found.metrics(options, outputs, targets) == pytest.approx({"loss": loss, "accuracy": 0.75})
    true, predicted = found.reported(options, outputs, targets)
    assert true.tolist() == [0, 1, 0, 0] and predicted.tolist() == [0, 1, 1, 0]
    digits, options = options_of("digits")
    assert digits.metrics(options, torch.zeros(3, 10), torch.tensor([0, 5, 0])) == pytest.approx(
        {"loss": 0.1, "accuracy": 2 / 3}
    )


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("symbolic-a", {"samples": 1}, "leave none"),
        ("symbolic-a", {"x_low": 2.0}, "x_low must be below x_high"),
        ("two-moon", {"noise": -1.0}, "noise must be at least 0"),
        ("modular-addition", {"modulus": 1}, "modulus must be a whole number of at least 2"),
        ("s4", {"train_share": 1.0}, "train_share must be between 0 and 1"),
        ("digits", {"train_share": 0.0}, "train_share must be between 0 and 1"),
    ],
)
def test_bad_options_are_named(name, given, expected):
    with pytest.raises(InputError, match=expected):
        task(name).Options(**given)


@pytest.mark.parametrize("name", ["symbolic-a", "symbolic-b", "symbolic-c"])
def test_circuits_are_eliminated_on_more_examples_and_best_is_as_the_notebooks_data(name):
    best, circuit = make(name, "best"), make(name, "circuit")
    assert not best.training.eliminate and best.data.samples == 200
    assert circuit.training.eliminate and circuit.elimination.max_loss and circuit.data.samples >= 1_000
    assert circuit.training.polish == 0.0 and circuit.training.lam == best.training.lam


@pytest.mark.parametrize("name", ["symbolic-a", "symbolic-b"])
def test_the_modular_preset_ends_with_short_wires(name):
    modular = make(name, "modular")
    assert modular.training.eliminate and modular.elimination.short_wires and modular.elimination.whole_neurons == "no"
    assert modular.data == make(name, "circuit").data
