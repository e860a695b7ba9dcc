"""Mirrored signs: a neuron that is used as a sign turns every product, a copy that nothing reads turns none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_groups import KLEIN
from transformer_lens import HookedRootModule
from transformer_lens.hook_points import HookPoint

from bimt_tf.analysis.group_mirror import mirror
from bimt_tf.errors import InputError


class Klein(HookedRootModule):
    """Multiplies a = 2 q + r in Klein's group by two signs, neurons 0 (of r) and 1 (of q); 2 copies 0 and is unread."""

    def __init__(self, shift: float = 0.0):
        super().__init__()
        r, q = 1.0 - 2.0 * (torch.arange(4) % 2), 1.0 - 2.0 * (torch.arange(4) // 2)
        self.table, self.shift = torch.stack([r, q, r], 1) + shift, shift
        self.hook_embed = HookPoint()
        self.setup()

    def forward(self, pairs):
        held = self.hook_embed(self.table[pairs]) - self.shift
        r, q = held[:, 0, 0] * held[:, 1, 0], held[:, 0, 1] * held[:, 1, 1]
        return torch.stack([(1 + x * q) * (1 + y * r) for x in (1, -1) for y in (1, -1)], 1)


PAIRS = torch.cartesian_prod(torch.arange(4), torch.arange(4))
PRODUCTS = torch.tensor(KLEIN)[PAIRS[:, 0], PAIRS[:, 1]]
SIGNS = np.array([1.0, -1, 1, -1])


def asked(neurons, shift=0.0):
    predict = torch.Tensor.argmax
    return mirror(Klein(shift), "hook_embed", neurons, [shift] * len(neurons), PAIRS, PRODUCTS, SIGNS,
                  lambda outputs: predict(outputs, 1))  # fmt: skip


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_a_sign_that_is_used_turns_every_product(shift):
    found = asked([0, 1, 2], shift)
    assert (found.turned, found.right, found.turned_before, found.right_before) == (1.0, 1.0, 0.0, 1.0)
    assert (found.neuron, found.others, found.examples) == (0, 0.0, 16) and "100.0% of the products turn" in repr(found)


def test_an_unread_copy_turns_none_and_the_control_sees_the_one_that_is_read():
    found = asked([2, 0, 1])
    assert found.turned == 0.0 and found.right == 1.0 and found.others == 1.0
    assert asked([2]).others is None


def test_the_model_stays_as_it_is():
    model = Klein()
    before = model(PAIRS)
    with pytest.raises(RuntimeError):
        mirror(model, "hook_embed", [0], [0.0], PAIRS, PRODUCTS, SIGNS, fail)
    assert torch.equal(model(PAIRS), before) and not model.hook_embed.fwd_hooks


def fail(outputs):
    raise RuntimeError


def test_what_cannot_be_mirrored():
    with pytest.raises(InputError, match="equally many"):
        mirror(Klein(), "hook_embed", [0, 1], [0.0], PAIRS, PRODUCTS, SIGNS, fail)
    with pytest.raises(InputError, match=r"\+1 or -1"):
        mirror(Klein(), "hook_embed", [0], [0.0], PAIRS, PRODUCTS, 2 * SIGNS, fail)
    with pytest.raises(InputError, match="hook_embed"):
        mirror(Klein(), "hook_embd", [0], [0.0], PAIRS, PRODUCTS, SIGNS, fail)
