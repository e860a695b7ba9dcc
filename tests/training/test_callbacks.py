"""The callbacks for Lightning and for the Trainer of transformers, with the real packages."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from bimt_tf import BIMT, MLP, BIMTTrainerCallback, Geometry, attach, lightning_callback
from bimt_tf.errors import InputError

STEPS, EPOCH, BATCH = 40, 20, 16


def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(EPOCH * BATCH, 3, generator=generator)
    return x, x[:, :1] * x[:, 1:2]


def made():
    model = MLP([3, 8, 8, 1], seed=0)
    return model, BIMT(model, Geometry(width=1.0, layer_gap=0.1), reduction="sum")


def by_hand(penalty):
    """The same batches in a plain loop."""
    model, bimt = made()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    attach(bimt, optimizer, steps=STEPS, lam=0.02, penalty=penalty, swap_every=10)
    x, y = data()
    for i in range(STEPS):
        optimizer.zero_grad()
        at = slice(i % EPOCH * BATCH, (i % EPOCH + 1) * BATCH)
        (model(x[at]) - y[at]).square().mean().backward()
        optimizer.step()
    return model, bimt


def same(one, other):
    (model, bimt), (model2, bimt2) = one, other
    for a, b in zip(model.parameters(), model2.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
        assert torch.equal(a == 0, b == 0)
    assert all(torch.equal(bimt.layout.slots[name], slots) for name, slots in bimt2.layout.slots.items())


@pytest.fixture(autouse=True)
def _others_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# ---- Lightning ----


def lit(model):
    from lightning.pytorch import LightningModule

    class Lit(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model

        def training_step(self, batch, _):
            x, y = batch
            return (self.net(x) - y).square().mean()

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=1e-2)

    return Lit()


def lightning_trainer(callback, folder, epochs):
    from lightning.pytorch import Trainer

    return Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, callbacks=[callback],
        enable_model_summary=False, enable_checkpointing=False, default_root_dir=folder,
    )  # fmt: skip


def loader():
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*data()), batch_size=BATCH)


@pytest.mark.parametrize("penalty", ["proximal", "gradient"])
def test_lightning_trains_as_the_plain_loop_does(penalty, tmp_path):
    model, bimt = made()
    callback = lightning_callback(bimt, lam=0.02, penalty=penalty, swap_every=10)
    lightning_trainer(callback, tmp_path, STEPS // EPOCH).fit(lit(model), loader())
    assert callback.attached.phase == "over"
    same((model, bimt), by_hand(penalty))


def test_lightning_goes_on_from_its_checkpoint(tmp_path):
    model, bimt = made()
    first = lightning_trainer(lightning_callback(bimt, steps=STEPS, lam=0.02, swap_every=10), tmp_path, 1)
    first.fit(lit(model), loader())
    first.save_checkpoint(tmp_path / "half.ckpt")
    model, bimt = made()
    callback = lightning_callback(bimt, steps=STEPS, lam=0.02, swap_every=10)
    second = lightning_trainer(callback, tmp_path, STEPS // EPOCH)
    second.fit(lit(model), loader(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    assert callback.attached.step == STEPS
    same((model, bimt), by_hand("proximal"))


def test_lightning_callbacks_refuse_early():
    with pytest.raises(InputError, match="lam must be at least 0"):
        lightning_callback(made()[1], lam=-1.0)
    with pytest.raises(TypeError, match="swap_evry"):
        lightning_callback(made()[1], lam=0.1, swap_evry=1)


# ---- transformers ----


class Wrapped(nn.Module):
    """What the Trainer takes: a loss beside the outputs."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x, labels):
        predicted = self.net(x)
        return {"loss": (predicted - labels).square().mean(), "logits": predicted}


class Examples(torch.utils.data.Dataset):
    def __init__(self):
        self.x, self.y = data()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"x": self.x[i], "labels": self.y[i]}


def hugging_face_trainer(model, callback, folder, steps=STEPS, save_at=0):
    from transformers import Trainer, TrainingArguments

    class InOrder(Trainer):
        def _get_train_sampler(self, *_):
            return torch.utils.data.SequentialSampler(self.train_dataset)

    arguments = TrainingArguments(
        str(folder), max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=1e-2, report_to=[],
        lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=0.0, use_cpu=True, disable_tqdm=True,
        save_strategy="steps" if save_at else "no", save_steps=save_at or 500, logging_strategy="no",
        optim="adamw_torch",
    )  # fmt: skip
    return InOrder(model=Wrapped(model), args=arguments, train_dataset=Examples(), callbacks=[callback])


@pytest.mark.parametrize("penalty", ["proximal", "gradient"])
def test_transformers_train_as_the_plain_loop_does(penalty, tmp_path):
    model, bimt = made()
    callback = BIMTTrainerCallback(bimt, lam=0.02, penalty=penalty, swap_every=10)
    hugging_face_trainer(model, callback, tmp_path).train()
    assert callback.attached.phase == "over"
    same((model, bimt), by_hand(penalty))


def test_transformers_go_on_from_their_checkpoint(tmp_path):
    model, bimt = made()
    first = BIMTTrainerCallback(bimt, steps=STEPS, lam=0.02, swap_every=10)
    hugging_face_trainer(model, first, tmp_path, steps=30, save_at=30).train()
    model, bimt = made()
    second = BIMTTrainerCallback(bimt, steps=STEPS, lam=0.02, swap_every=10)
    trainer = hugging_face_trainer(model, second, tmp_path)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-30"))
    assert second.attached.step == STEPS
    same((model, bimt), by_hand("proximal"))


def test_a_callback_is_not_made_of_a_checkpoint_alone():
    with pytest.raises(InputError, match="give the Trainer the callback again"):
        BIMTTrainerCallback.from_state({"args": {}, "attributes": {}})
