"""In which values two configs differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bimt_tf.config.settings import Config

__all__ = ["Difference", "differences"]


class Difference(NamedTuple):
    """A dotted name such as ``training.lr``, and its two values; a value that one side lacks is None there."""

    name: str
    found: Any
    wanted: Any


def differences(found: Config | Mapping[str, Any], wanted: Config | Mapping[str, Any]) -> Iterator[Difference]:
    """The values in which two configs, or two nested mappings, differ, in the order of the first."""
    yield from _differences(_mapping(found), _mapping(wanted), "")


def _mapping(config: Config | Mapping[str, Any]) -> Mapping[str, Any]:
    return dataclasses.asdict(config) if isinstance(config, Config) else config


def _differences(found: Any, wanted: Any, name: str) -> Iterator[Difference]:
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        for key in {**found, **wanted}:
            yield from _differences(found.get(key), wanted.get(key), f"{name}.{key}" if name else str(key))
    elif found != wanted:
        yield Difference(name, found, wanted)
