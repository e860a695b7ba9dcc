"""Gradients that a scaler has scaled, autocast, and float16 weights: the penalty is what it is without them."""

from __future__ import annotations

import warnings

import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry, attach, lightning_callback
from bimt_tf.errors import InputError

STEPS, BATCH, SCALE = 12, 16, 2.0**14
BOTH = pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])


def made(dtype=torch.float32):
    model = MLP([3, 8, 8, 1], seed=0).to(dtype)
    return model, BIMT(model, Geometry(width=1.0, layer_gap=0.1), reduction="sum")


def data():
    x = torch.rand(STEPS * BATCH, 3, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1] * x[:, 1:2]


def loss_of(model, x, y, dtype):
    with torch.autocast("cpu", dtype):
        return (model(x) - y).square().mean()


def by_hand(dtype, scale=None, *, penalty="gradient", lam=0.02, fused=False, wrap=lambda one, _: one):
    """A plain loop under autocast, with a real scaler or none."""
    model, bimt = made()
    one = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    stepping = wrap(one, scaler)
    attached = attach(bimt, stepping, steps=STEPS, lam=lam, penalty=penalty, swap_every=5, finish=0)
    x, y = data()
    for i in range(STEPS):
        one.zero_grad()
        at = slice(i * BATCH, (i + 1) * BATCH)
        scaler.scale(loss_of(model, x[at], y[at], dtype)).backward()
        if stepping is one:
            scaler.step(one)
            scaler.update()
        else:
            stepping.step()
    assert attached.phase == "over"
    return weights(model)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def apart(a, b):
    return float((a - b).abs().max())


@BOTH
def test_a_scale_does_not_weaken_the_penalty(fused):
    """float16 rounds the loss's gradients otherwise at another scale, by far less than the penalty moves weights."""
    without, one = by_hand(torch.float16, 1.0, lam=0.0, fused=fused), by_hand(torch.float16, 1.0, fused=fused)
    assert apart(one, without) > 0.05
    assert apart(one, by_hand(torch.float16, SCALE, fused=fused)) < 0.005


@BOTH
def test_accelerate_steps_as_the_scaler_does(fused):
    """Its wrapper of an optimizer has hooks of its own that nobody calls: they go on the optimizer inside."""
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer

    Accelerator(cpu=True)
    found = by_hand(torch.float16, SCALE, fused=fused, wrap=lambda one, s: AcceleratedOptimizer(one, scaler=s))
    assert torch.equal(found, by_hand(torch.float16, SCALE, fused=fused))


def lightning(precision, penalty, fused):
    """The same training by Lightning, with its own plugin and, for float16, a real scaler."""
    from lightning.pytorch import LightningModule, Trainer
    from lightning.pytorch.plugins import MixedPrecision

    model, bimt = made()

    class Lit(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model

        def training_step(self, batch, _):
            return (self.net(batch[0]) - batch[1]).square().mean()

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=0.0, fused=fused)

    half = precision == "16-mixed"
    plugin = MixedPrecision(precision, "cpu", torch.amp.GradScaler("cpu", init_scale=SCALE) if half else None)
    callback = lightning_callback(bimt, lam=0.02, penalty=penalty, swap_every=5, finish=0)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=BATCH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Trainer(
            max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, callbacks=[callback],
            enable_model_summary=False, enable_checkpointing=False, plugins=[plugin],
        ).fit(Lit(), loader)  # fmt: skip
    assert callback.attached.phase == "over"
    return weights(model)


@BOTH
@pytest.mark.parametrize("penalty", ["proximal", "gradient"])
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_lightning_in_mixed_precision_trains_as_the_plain_loop_does(precision, penalty, fused):
    """A fused optimizer unscales in its step, after Lightning's hook: there the penalty was divided by the scale."""
    dtype, scale = (torch.float16, SCALE) if precision == "16-mixed" else (torch.bfloat16, None)
    found = lightning(precision, penalty, fused)
    assert apart(found, by_hand(dtype, scale, penalty=penalty, fused=fused)) < 1e-5
    assert apart(found, by_hand(dtype, scale, lam=0.0, fused=fused)) > 0.03


def test_transformers_with_a_real_scaler(tmp_path):
    """accelerate has no float16 on the CPU, so the scaler is put in by hand; steps go through it as on a GPU."""
    from transformers import Trainer, TrainingArguments

    from bimt_tf import BIMTTrainerCallback

    class Around(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x, labels):
            return {"loss": loss_of(self.net, x, labels, torch.float16)}

    model, bimt = made()
    x, y = data()
    arguments = TrainingArguments(
        str(tmp_path), max_steps=STEPS, per_device_train_batch_size=BATCH, learning_rate=1e-2, report_to=[],
        lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=0.0, use_cpu=True, disable_tqdm=True,
        save_strategy="no", logging_strategy="no", optim="adamw_torch", train_sampling_strategy="sequential",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        examples = [{"x": a, "labels": b} for a, b in zip(x, y, strict=True)]
        callback = BIMTTrainerCallback(bimt, lam=0.02, penalty="gradient", swap_every=5, finish=0)
        trainer = Trainer(model=Around(model), args=arguments, train_dataset=examples, callbacks=[callback])
        trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)
        trainer.train()
    assert callback.attached.phase == "over"
    assert apart(weights(model), by_hand(torch.float16, SCALE)) < 1e-5


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.NAdam])
def test_an_eps_that_is_nothing_in_float16_is_refused(optimizer):
    """The step divides 0 by 0 for a weight whose gradient is 0; torch does not say so."""
    model, bimt = made(torch.float16)
    one = optimizer(model.parameters(), lr=1e-2)
    said = "eps=1e-08 of .* is 0 in float16.*eps=1e-4"
    with pytest.raises(InputError, match=said):
        attach(bimt, one, steps=3, lam=0.01)
    with pytest.raises(InputError, match=said):
        bimt.step_(one, 0.01)


def test_the_advised_eps_trains_float16_weights():
    model, bimt = made(torch.float16)
    one = torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-4)
    attached = attach(bimt, one, steps=STEPS, lam=0.01, swap_every=4)
    x, y = data()
    for _ in range(STEPS):
        one.zero_grad()
        (model(x.half()) - y.half()).square().mean().backward()
        one.step()
    assert attached.phase == "over" and weights(model).isfinite().all()
    bimt.step_(torch.optim.SGD(model.parameters(), lr=1e-3), 0.01)  # has no eps


def test_the_usual_eps_is_what_breaks_float16(monkeypatch):
    """What the refusal is for: the same loop without it."""
    monkeypatch.setattr("bimt_tf.training.attached.require_eps", lambda _: None)
    model, bimt = made(torch.float16)
    one = torch.optim.AdamW(model.parameters(), lr=1e-2)
    attach(bimt, one, steps=STEPS, lam=0.01, swap_every=0)
    model(torch.zeros(4, 3).half()).sum().backward()  # inputs of zero: the first weights have no gradient
    one.step()
    assert not weights(model).isfinite().all()
