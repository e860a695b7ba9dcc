"""YAML 1.2 in and out, by ruamel.yaml: ``1e-3`` is a number, ``no`` a word, and a key given twice an error.

What is written reads the same in YAML 1.1 (PyYAML): words such as ``no`` stand in quotes, numbers have their point.
"""

from __future__ import annotations

import math
import stat
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import SafeRepresenter

from bimt_tf.errors import InputError

__all__ = ["read_yaml", "yaml_text", "yaml_value"]


MOST_BYTES = 1_000_000  # of a config: a longer file is another one
MOST_VALUES = 100_000  # in a file, those behind an alias counted each time: a small file can stand for billions

_TRUTH_VALUES = ("y", "n", "yes", "no", "on", "off", "true", "false")  # of YAML 1.1, in any case


class _Representer(SafeRepresenter):
    """Writes words; those that YAML 1.1 reads as truth values in quotes."""

    def words(self, text: str) -> ScalarNode:
        """A word as a node."""
        style = "'" if text.lower() in _TRUTH_VALUES else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    def numbers(self, number: float) -> ScalarNode:
        """A number as a node; ``1e-05`` as ``1.0e-05``, which YAML 1.1 does not take for a word."""
        text = repr(number)
        if not math.isfinite(number):
            text = ".nan" if math.isnan(number) else ".inf" if number > 0 else "-.inf"
        elif "e" in text and "." not in text:
            text = text.replace("e", ".0e")
        return self.represent_scalar("tag:yaml.org,2002:float", text)


_Representer.add_representer(str, _Representer.words)
_Representer.add_representer(float, _Representer.numbers)


def read_yaml(path: Path, what: str) -> Any:
    """The content of a YAML file, ``what`` it is being said in errors.

    Raises:
        InputError: if it is no plain file, cannot be read, is not YAML, gives a key twice, or is larger than anything
            of ours; one line, with the line's number.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # reading it may never end
            raise InputError(f"cannot read {what} {path}: it is a device, a pipe or a socket, a file is needed")
        if found.st_size > MOST_BYTES:
            raise InputError(f"{what} {path} has {found.st_size:,} bytes, too many for a {what}")
        value = _yaml().load(path.read_text(encoding="utf-8"))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {error.strerror}") from error
    except DuplicateKeyError as error:
        raise InputError(f"{what} {path} gives a key twice: {_problem(error)}") from error
    except (YAMLError, ValueError, RecursionError) as error:  # ValueError: bytes that are no UTF-8, dates that are none
        raise InputError(f"{what} {path} is not YAML: {_problem(error)}") from error
    if _is_endless(value):
        raise InputError(f"{what} {path} holds more than {MOST_VALUES:,} values, those behind its aliases counted")
    return value


def yaml_text(value: Any) -> str:
    """Dicts, lists, words and numbers as YAML, in their order; tuples are written as lists."""
    out = StringIO()
    _yaml().dump(_plain(value), out)
    return out.getvalue()


def yaml_value(text: str) -> Any:
    """What :func:`yaml_text` wrote, as it would be read back."""
    return _yaml().load(text)


def _is_endless(value: Any) -> bool:
    """Whether a value holds more than MOST_VALUES others, or itself."""
    waiting, seen = [value], 0
    while waiting and seen <= MOST_VALUES:
        one = waiting.pop()
        seen += 1
        if isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, (list, tuple, set)):
            waiting += one
    return seen > MOST_VALUES


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # its stub says None
    yaml.allow_unicode = True
    yaml.width = 1_000_000
    return yaml


def _problem(error: Exception) -> str:
    """What is wrong, and in which line."""
    if isinstance(error, MarkedYAMLError) and error.problem:
        mark = error.problem_mark or error.context_mark
        return " ".join(str(error.problem).split()) + (f" (line {mark.line + 1})" if mark else "")
    return " ".join(str(error).split()) or type(error).__name__


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
