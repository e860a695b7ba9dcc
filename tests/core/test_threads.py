"""The threads of a search: one for a small model, and afterwards as many as before."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from threadpoolctl import ThreadpoolController

from bimt_tf import BIMT, MLP, Layout
from bimt_tf.core import search
from bimt_tf.core.threads import SMALL, few_threads


def blas() -> list[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return [library["num_threads"] for library in ThreadpoolController().info() if library["user_api"] == "blas"]


@pytest.fixture
def two_threads():
    """Two threads for BLAS and torch while a test runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with ThreadpoolController().limit(limits=2, user_api="blas"):
        yield
    torch.set_num_threads(before)


def test_a_small_model_is_searched_on_one_thread(two_threads):
    before = blas()
    assert 2 in before
    with few_threads(SMALL):
        assert set(blas()) == {1} and torch.get_num_threads() == 1
    assert blas() == before and torch.get_num_threads() == 2
    with few_threads(SMALL + 1):
        assert blas() == before and torch.get_num_threads() == 2


def test_threads_are_given_back_after_an_error(two_threads):
    before = blas()
    with pytest.raises(ZeroDivisionError), few_threads(1):
        1 / 0  # noqa: B018
    assert blas() == before and torch.get_num_threads() == 2


@pytest.mark.parametrize("method", ["assignment", "greedy"])
def test_a_swap_runs_on_one_thread(method, two_threads, monkeypatch):
    seen = []

    def search_exactly(*given):
        seen.append((set(blas()), torch.get_num_threads()))
        return 1

    monkeypatch.setattr(search, "search_exactly", search_exactly)
    monkeypatch.setattr(search, "exchange_greedily", search_exactly)
    bimt = BIMT(MLP([2, 3, 1]))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    bimt.swap(method)
    assert seen == [({1}, 1)] and torch.get_num_threads() == 2
