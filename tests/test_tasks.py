import pytest
import torch

from bimt_tf.tasks import TASKS, task
from bimt_tf.tasks.in_context import InContextOptions, TransformerOptions

IN_CONTEXT = task("in-context")


@pytest.mark.parametrize(("dim", "examples"), [(1, 1), (3, 1), (1, 4), (2, 3)])
def test_tokens_are_the_papers(dim, examples):
    options = InContextOptions(dim=dim, examples=examples, samples=50)
    split = IN_CONTEXT.data(options, seed=0, dtype=torch.float64)
    data = split.train
    assert data.inputs.shape == (40, 2 * examples + 1, 1 + dim) and split.test.inputs.shape[0] == 10
    assert data.targets.shape == (40, examples + 1)
    w = torch.stack([data.latents["w" if dim == 1 else f"w_{i + 1}"] for i in range(dim)], dim=1)
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
    assert plain.train.latents["w"].abs().max() <= 1
    singular = task("in-context-singular")
    options = InContextOptions(**singular.presets["best"]["data"])
    x = singular.data(options, 0, torch.float32).train.latents["x1"]
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
    outputs[:, 1] = 100  # nobody reads the y token
    outputs[:, :, 1] = 100  # nor the other feature
    assert float(IN_CONTEXT.loss(options, outputs, data.targets)) == pytest.approx(5)
    last = InContextOptions(samples=20, read="last")
    assert float(IN_CONTEXT.loss(last, outputs, data.targets)) == pytest.approx(9)
    assert IN_CONTEXT.metrics(options, outputs, data.targets) == pytest.approx({"loss": 9, "loss_all": 5})
    true, predicted = IN_CONTEXT.reported(options, outputs, data.targets)
    assert torch.allclose(predicted - true, torch.tensor(3.0, dtype=torch.float64))


@pytest.mark.parametrize("name", TASKS)
def test_models_labels_and_probes_fit_the_data(name):
    found = task(name)
    options = found.Options(samples=20)
    data = found.data(options, 0, torch.float32).train
    model = found.model(TransformerOptions(n_heads=7), options, 0, torch.float32)
    outputs = model(data.inputs)
    assert torch.isfinite(found.loss(options, outputs, data.targets))
    labels = found.labels(options)
    assert len(labels["input"]) == data.inputs.shape[-1] and len(labels["output"]) == outputs.shape[-1]
    for probe in found.probes(options):
        assert probe.hook in model.hook_dict and probe.target in data.latents
        assert 0 <= probe.position < data.inputs.shape[1]
