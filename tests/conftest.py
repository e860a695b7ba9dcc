"""Settings shared by all tests: hypothesis without a deadline, one torch thread, shapes checked at run time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from beartype import beartype
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook
from mnist_files import write_idx

torch.set_num_threads(1)
settings.register_profile(
    "bimt",
    deadline=None,
    max_examples=25,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("bimt")


def shapes(function: Callable[..., object]) -> Callable[..., object]:
    """Check a function's tensor shapes and nothing else: a user's mistakes keep their InputError."""
    if function.__name__ == "__init__":  # a dataclass's, whose values check() and __post_init__ judge
        return function
    kept = {name: hint for name, hint in function.__annotations__.items() if "[Tensor" in str(hint)}
    function.__annotations__ = kept
    return beartype(function) if kept else function


sys.modules["bimt_shapes"] = sys.modules[__name__]
CHECKED = ("core", "bimt")  # models compile whole, and refuse a bad input themselves
install_import_hook([f"bimt_tf.{name}" for name in CHECKED], "bimt_shapes.shapes")


@pytest.fixture(scope="session")
def mnist_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small MNIST."""
    return write_idx(tmp_path_factory.mktemp("mnist"))
