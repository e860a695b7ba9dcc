"""The config of a run: dataclasses in, YAML out and back; every field carries its own sentence.

Sections ``data`` and ``model`` are the task's own dataclasses. No torch at import.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import yaml

from bimt_tf.errors import InputError, require_non_negative, require_positive, unknown
from bimt_tf.tasks import task as find_task

__all__ = [
    "METHODS",
    "Config",
    "GeometryConfig",
    "Method",
    "TrainingConfig",
    "dump",
    "load",
    "make",
    "parse_schedule",
    "sentences",
    "spell",
]

Schedule = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Method:
    """One row of the paper's comparison: whether weights pay, whether by length, whether neurons move."""

    penalised: bool
    local: bool
    swaps: bool


METHODS = {
    "vanilla": Method(penalised=False, local=False, swaps=False),
    "l1": Method(penalised=True, local=False, swaps=False),
    "l1-local": Method(penalised=True, local=True, swaps=False),
    "l1-swap": Method(penalised=True, local=False, swaps=True),
    "bimt": Method(penalised=True, local=True, swaps=True),
}


@dataclass(frozen=True)
class GeometryConfig:
    """Where the neurons are."""

    width: float = 2.0
    """extent A of every population; 0 makes the penalty a plain L1"""
    layer_gap: float = 0.5
    """distance y_star between neighbouring layers, and what a bias pays"""
    norm: Literal["l1", "l2"] = "l1"
    """norm of the distance"""
    shapes: dict[str, str] = field(default_factory=dict)
    """population -> line, grid or ring, e.g. hidden*=grid,output=ring; those not named lie on a line"""
    unlocal: tuple[str, ...] = ()
    """weights that pay by size only, not by length: parameters, or populations for all theirs, e.g. output"""

    def __post_init__(self) -> None:
        require_non_negative("width", self.width)
        require_non_negative("layer_gap", self.layer_gap)


@dataclass(frozen=True)
class TrainingConfig:
    """How the network is trained."""

    steps: int = 40_000
    """optimizer steps, the finish phase and the polish included"""
    batch_size: int = 64
    """examples a step; 0 for the full batch"""
    lr: float = 1e-3
    """Adam's learning rate before the finish phase"""
    weight_decay: float = 0.0
    """AdamW's decay: each step takes off lr times this share of every parameter"""
    lam: Schedule = ((0.0, 0.001), (0.12, 0.01), (0.33, 0.1), (0.6, 0.25))
    """lambda of the connection cost: a number, or START:LAMBDA pairs, START a share of the steps before the finish"""
    reduction: Literal["mean", "sum"] = "mean"
    """connection cost averaged over each linear layer (mean) or summed (Eq. 3)"""
    penalty: Literal["proximal", "subgradient"] = "proximal"
    """how the penalty acts: a soft threshold after each step (exact zeros), or its gradient"""
    norms: Literal["as-is", "effective"] = "as-is"
    """what pays behind a norm: weights as they are, or effective ones, times the norm's gain (docs/norms.md)"""
    swap_every: int = 200
    """steps between swaps (the paper's S)"""
    swap_method: Literal["assignment", "greedy"] = "assignment"
    """search for a better layout: exact assignment, or the paper's greedy exchanges"""
    top_k: int = 30
    """neurons a population that the greedy search tries (the paper's k)"""
    bias_free: float = 0.0
    """share of the steps before the finish during which biases pay nothing"""
    fixed: tuple[str, ...] = ()
    """populations whose neurons keep their slots, e.g. input,output"""
    finish_lr: float = 4e-3
    """Adam's learning rate where the finish phase begins; it falls from there to 0"""
    finish: float = 0.4
    """share of Adam's steps that ends them: weights below cut are zero for good, lambda is 0, the rate falls to 0"""
    polish: float = 0.0
    """share of the steps, behind Adam's, that are iterations of L-BFGS on all training examples at once"""
    polish_pull: float = 1e-6
    """weight, in the polish, of the squared distance from the weights before it: less lowers the loss, more keeps Q"""
    cut: float = 1e-2
    """|w| below which a weight is cut when the finish phase begins"""
    active: float = 1e-2
    """|w| above which a weight counts as active"""
    dtype: Literal["float32", "float64"] = "float32"
    """number type of weights and data"""
    device: str = "cpu"
    """where to train: cpu, cuda, cuda:1, mps"""
    compile: Literal["auto", "yes", "no"] = "auto"
    """torch.compile: auto when the run is long enough to earn it back and a C++ compiler is there"""
    threads: int = 1
    """CPU threads of torch; at these sizes one is fastest"""
    log_every: int = 200
    """steps between lines of metrics.jsonl"""
    checkpoint_every: int = 2_000
    """steps between checkpoints"""

    def __post_init__(self) -> None:
        for name in ("steps", "lr", "finish_lr", "swap_every", "top_k", "threads", "log_every", "checkpoint_every"):
            require_positive(name, getattr(self, name))
        for name in ("batch_size", "weight_decay", "cut", "active", "polish_pull"):
            require_non_negative(name, getattr(self, name))
        for name in ("finish", "polish", "bias_free"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 0 and below 1, found {getattr(self, name)!r}")
        starts = [start for start, _ in self.lam]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or not all(0 <= s < 1 for s in starts):
            raise InputError(f"lam must start at 0 and its starts must rise below 1, found {spell(self.lam)}")
        for start, lam in self.lam:
            require_non_negative(f"lam from {start:g} on", lam)


@dataclass(frozen=True)
class Config:
    """Everything a run depends on. ``data`` and ``model`` are the task's dataclasses."""

    task: str
    """what is learned"""
    preset: str
    """the settings this config started from"""
    method: Literal["vanilla", "l1", "l1-local", "l1-swap", "bimt"]
    """row of the paper's comparison"""
    seed: int
    """of the weights, the data and the batches"""
    data: Any
    model: Any
    geometry: GeometryConfig
    training: TrainingConfig

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown("method", str(self.method), METHODS)
        require_non_negative("seed", self.seed)


def make(
    task: str,
    preset: str | None = None,
    method: str = "bimt",
    seed: int = 0,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """A complete config: the task's preset, then ``overrides`` by section (``{"training": {"steps": 100}}``).

    Raises:
        InputError: for an unknown task, preset, method, section or key (naming the near ones), a value of another
            type, or one out of range.
    """
    found = find_task(task)
    preset = preset if preset is not None else next(iter(found.presets))
    if preset not in found.presets:
        raise unknown(f"preset of {task}", str(preset), found.presets)
    sections = {"data": found.Options, "model": found.Model, "geometry": GeometryConfig, "training": TrainingConfig}
    overrides = overrides or {}
    for section in overrides:
        if section not in sections:
            raise unknown("config section", str(section), sections)
    built = {}
    for section, cls in sections.items():
        given = overrides.get(section) or {}
        if not isinstance(given, Mapping):
            raise InputError(f"config section {section!r} must hold keys and values, found {given!r}")
        built[section] = _build(cls, {**found.presets[preset].get(section, {}), **given}, section)
    return Config(
        task=task,
        preset=preset,
        method=cast(Any, method),  # Config checks it
        seed=_fit(seed, int, "seed"),
        **built,
    )


def load(path: Path) -> Config:
    """Read a YAML config; what it does not say comes from its preset.

    Raises:
        InputError: if it cannot be read, is not YAML, or says something :func:`make` refuses.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"config {path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict) or "task" not in read:
        raise InputError(f"config {path} must be a YAML mapping with a 'task', found {_short(read)}")
    heads = {name: read.pop(name) for name in ("task", "preset", "method", "seed") if name in read}
    for name in read:
        if name not in ("data", "model", "geometry", "training"):
            raise unknown("config key", str(name), [f.name for f in dataclasses.fields(Config)])
    for name in ("task", "preset", "method"):
        if name in heads:
            heads[name] = _fit(heads[name], str, name)
    return make(**heads, overrides=read)


def dump(config: Config) -> str:
    """The config as YAML, complete: :func:`load` gives an equal one."""
    text: str = yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)
    return text


def parse_schedule(text: str) -> Schedule:
    """``0.01`` or ``0:0.001,0.5:0.1`` (START:LAMBDA pairs) as a schedule."""
    try:
        if ":" not in text:
            return ((0.0, float(text)),)
        pairs = [part.split(":") for part in text.split(",")]
        return tuple((float(start), float(value)) for start, value in pairs)
    except ValueError as error:
        expected = "a number or START:LAMBDA pairs such as 0:0.001,0.5:0.1"
        raise InputError(f"lam must be {expected}, found {text!r}") from error


def spell(schedule: Schedule) -> str:
    """A schedule as :func:`parse_schedule` reads it."""
    return ",".join(f"{start:g}:{value:g}" for start, value in schedule)


@functools.cache
def sentences(cls: type) -> dict[str, str]:
    """Field -> the sentence that stands under it in the class body, or in that of a class it inherits from."""
    found: dict[str, str] = {}
    for base in reversed([c for c in cls.__mro__ if dataclasses.is_dataclass(c)]):
        found |= _own_sentences(base)
    return found


def _own_sentences(cls: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            found[before.target.id] = " ".join(ast.literal_eval(after.value).split())
    return found


def _build(cls: type, values: Mapping[str, Any], section: str) -> Any:
    types_of = typing.get_type_hints(cls)
    for key in values:
        if key not in types_of:
            raise unknown(f"key in {section}", str(key), types_of)
    return cls(**{key: _fit(value, types_of[key], f"{section}.{key}") for key, value in values.items()})


def _fit(value: Any, kind: Any, where: str) -> Any:
    """``value`` as ``kind``, or InputError; whole numbers pass for floats, lists for tuples, nothing else is bent."""
    if kind == Schedule and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = ((0.0, value),)
    if kind == Schedule and isinstance(value, str):
        value = parse_schedule(value)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        if value not in arguments:
            raise unknown(where, str(value), arguments)
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None:
            return None
        (kind,) = [a for a in arguments if a is not type(None)]
        return _fit(value, kind, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        if arguments[-1] is Ellipsis:
            return tuple(_fit(v, arguments[0], where) for v in value)
        if len(arguments) == len(value):
            return tuple(_fit(v, a, where) for v, a in zip(value, arguments, strict=True))
    elif origin is dict and isinstance(value, dict):
        return {_fit(k, arguments[0], where): _fit(v, arguments[1], where) for k, v in value.items()}
    elif kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif kind is float and isinstance(value, str) and _is_number(value):  # YAML 1.1 reads 1e-3 as text
        return float(value)
    elif isinstance(kind, type) and isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    name = getattr(kind, "__name__", str(kind)) if origin is None else str(kind).replace("typing.", "")
    raise InputError(f"{where} must be of type {name}, found {_short(value)}")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
