"""Inputs that bimt must refuse: a kind of mistake is written once and tried on every option that can have it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_origin

from bimt_tf.config.fields import ConfigField, config_fields
from bimt_tf.config.schedules import Schedule, Varying, VaryingSteps
from bimt_tf.config.values import without_none

TASKS = ("symbolic-a", "two-moon", "s4", "s4-transformer", "modular-addition", "digits", "mnist", "lm")

WORDS = {
    int: ("ten", "1.5", "nan", "", "1e30", "-1", "0x10", "1" + "0" * 30, "-" + "9" * 30),
    float: ("ten", "nan", "-inf", "", "1e39", "1,2"),
    "choice": ("", "nonee"),
    "sizes": ("ten", "20,,20", "1.5", "20,-1", "20,0", "1e30", "20;20", ","),
    "numbers": ("ten", "nan", "-1", "2", "0.5,,1", "1e39"),
    "names": ("inptu", ",", "input,,output"),
    "mapping": ("output", "=", "output=", "=ring", "output=ring,output=grid", "outptu=ring", "output=rign"),
    "schedule": (
        "ten", "nan", "inf", "", "-1", "0:1,0:2", "0.5:1", "0:1,0.7:2,0.5:3", "0:1,1:2", "0:1,,0.5:2", "0:", "0:1:2",
        "0:nan", "0:1;0.5:2",
    ),
}  # fmt: skip
"""Kind of a setting -> words that are none of its values."""

POSITIVE = {
    "steps", "lr", "finish_lr", "swap_every", "top_k", "threads", "log_every", "checkpoint_every", "dim", "examples",
    "samples", "d_model", "n_layers", "n_heads", "d_head", "d_mlp", "train_share", "modulus", "d_embed", "context",
}  # fmt: skip
"""Settings for which 0 is none of their values."""


def kind_of(field: ConfigField) -> object:
    """The key of WORDS for a setting; None for a word of any kind."""
    kind = {Varying: float, VaryingSteps: int}.get(field.kind, without_none(field.kind))
    if kind == Schedule:
        return "schedule"
    if kind is bool:  # --name and --no-name take no word
        return None
    if kind in (int, float):
        return kind
    shaped = {tuple[int, ...]: "sizes", tuple[str, ...]: "names"}
    shaped |= {tuple[float, ...]: "numbers", tuple[float, float]: "numbers"}
    if kind is str:
        return "choice" if field.name == "act_fn" else None
    return shaped.get(kind) or ("mapping" if get_origin(kind) is dict else "choice")


def bad_options() -> Iterator[tuple[str, str, str]]:
    """(task, option, word): every option of in-context, and of the other tasks those that are special to them."""
    usual = {field.name for field in config_fields("in-context")}
    for task in ("in-context", *TASKS):
        for field in config_fields(task):
            if task != "in-context" and (field.name in usual or field.section in ("geometry", "training")):
                continue
            kind = kind_of(field)
            words = WORDS[kind] if kind is not None else ()
            for word in (*words, "0") if field.name in POSITIVE else words:
                yield task, f"--{field.name.replace('_', '-')}", word
        usual |= {field.name for field in config_fields(task)}


BOMB = "task: in-context\ndata:\n  samples:\n  - &a0 [1, 1]\n" + "".join(
    f"  - &a{i + 1} [*a{i}, *a{i}, *a{i}]\n" for i in range(40)
)
HEAD = "task: in-context\n"
CONFIGS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "must be a YAML mapping"),
    "a list": ("- 1\n- 2", "must be a YAML mapping"),
    "binary": (b"\x00\x01\xff", "is not YAML"),
    "UTF-16": ("task: in-context".encode("utf-16"), "is not YAML"),
    "Latin-1": (b"task: in-context # \xe9", "is not YAML"),
    "broken": ("task: [in-context", "is not YAML"),
    "a tab": ("task:\n\t- x", "is not YAML"),
    "two documents": (HEAD + "---\n" + HEAD, "is not YAML"),
    "a tag": ("task: !foo in-context", "is not YAML"),
    "a Python object": ("task: !!python/object/apply:os.system ['false']", "is not YAML"),
    "too deep": ("[" * 50_000, "is not YAML"),
    "aliases by the billion": (BOMB, "aliases"),
    "an alias of itself": (HEAD + "preset: &a [*a]", "aliases"),
    "too long": ("#" * 1_100_000, "too many for a config"),
    "a key twice": (HEAD + "seed: 1\nseed: 2", "a key twice"),
    "an inner key twice": (HEAD + "training: {steps: 1, steps: 2}", "a key twice"),
    "an unknown key": (HEAD + "sede: 1", "did you mean 'seed'"),
    "an unknown section": (HEAD + "trainin: {}", "did you mean 'training'"),
    "an unknown field": (HEAD + "training: {stepz: 3}", "did you mean 'steps'"),
    "a number as key": (HEAD + "data: {3: x}", "unknown key in data '3'"),
    "a section that is a list": (HEAD + "data: [1]", "must hold keys and values"),
    "a section that is a word": (HEAD + "data: x", "must hold keys and values"),
    "a word for steps": (HEAD + "training: {steps: twenty}", "training.steps must be"),
    "a fraction for steps": (HEAD + "training: {steps: 20.5}", "training.steps must be"),
    "a truth value for steps": (HEAD + "training: {steps: true}", "training.steps must be"),
    "quoted steps": (HEAD + "training: {steps: '20'}", "training.steps must be"),
    "no steps": (HEAD + "training: {steps: null}", "training.steps must be"),
    "NaN": (HEAD + "training: {lr: .nan}", "lr must be finite"),
    "infinite": (HEAD + "training: {lr: .inf}", "lr must be finite"),
    "another task": ("task: two-moon", "is of task 'two-moon'"),
    "an unknown task": ("task: in-contxt", "did you mean 'in-context'"),
    "no task": ("task:", "task must be"),
    "a date as seed": (HEAD + "seed: 2020-01-01", "seed must be"),
    "a date that is none": (HEAD + "seed: 2020-99-99", "is not YAML"),
    "a seed below 0": (HEAD + "seed: -1", "seed must be a whole number of at least 0"),
    "a preset": (HEAD + "preset: papr", "did you mean 'paper'"),
    "a method": (HEAD + "method: bmit", "did you mean 'bimt'"),
    "a shape": (HEAD + "geometry: {shapes: {output: 3}}", "geometry.shapes"),
    "a schedule": (HEAD + "training: {lam: [[0, 1], [0.5]]}", "training.lam"),
    "a late schedule": (HEAD + "training: {lam: [[0.5, 1]]}", "lam must start at 0"),
    "an empty schedule": (HEAD + "training: {lam: []}", "lam must start at 0"),
}
"""What a config file holds, and what is said of it."""

TASK_FILES: dict[str, tuple[str, str]] = {
    "it is empty": ("", "unknown task in"),
    "a syntax error": ("def (", "does not run: SyntaxError"),
    "it raises": ("raise ValueError('no')", "does not run: ValueError: no"),
    "it ends Python": ("raise SystemExit(0)", "does not run: SystemExit"),
    "a number": ("TASK = 3", "is a int"),
    "a class": ("from bimt_tf.tasks.formulas import FormulaTask as TASK", "is the class FormulaTask"),
    "no preset": ("{}, presets={{}})", "has no preset"),
    "presets that are none": ("{}, presets=3)", "has no preset"),
    "a preset's section": ("{}, presets={{'best': {{'trainin': {{}}}}}})", "did you mean 'training'"),
    "a preset's field": ("{}, presets={{'best': {{'training': {{'stepz': 1}}}}}})", "did you mean 'steps'"),
    "a name that is a path": ("{}, name='a/../b')", "has the name 'a/../b'"),
    "options that are none": ("{}, Options=int)", "a dataclass of settings is needed"),
    "another name": ("TASKS = 3", "unknown task in"),
}
"""What a task's file holds ({} begins a call of replace), and what is said of it."""

SWEEPS = [
    ["--set", "lrr=1"], ["--set", "lr"], ["--set", "lr="], ["--set", "=1"], ["--set", ""], ["--set", "lr=1,1"],
    ["--set", "lr=1", "--set", "lr=2"], ["--set", "steps=3,4"], ["--set", "lr=x"], ["--set", "lr=nan"],
    ["--set", "lr=-1"], ["--set", "act_fn=silo"], ["--set", "lr=1,,2"], ["--set", "hidden=20,20;20,20"],
    ["--set", "hidden=;"], ["--set", "hidden=x"], ["--set", "lam=0.5:1"], ["--set", "lam=1;;2"],
    ["--set", "trainin.lr=1"],
    ["--seeds", "a"], ["--seeds", "0-"], ["--seeds", "-1"], ["--seeds", "3-1"], ["--seeds", ""], ["--seeds", ","],
    ["--seeds", "0-1000000000000"], ["--seeds", "1" + "0" * 30], ["--seeds", "1.5"], ["--methods", ""],
    ["--methods", "bmit"], ["--methods", "l1,,bimt"], ["--backend", "procs"], ["--workers", "-1"], ["--workers", "1.5"],
    ["--lam-for", "actve=3"], ["--lam-for", "active"], ["--lam-for", "active=x"], ["--lam-for", "active=-1"],
    ["--lam-for", "active=nan"], ["--lam-for", "loss=0"], ["--lam-for", "active=9", "--methods", "vanilla"],
    ["--lam-for", "active=9", "--tolerance", "nan"], ["--lam-for", "active=9", "--tries", "0"], ["--preset", "bst"],
    ["--threads", "100000"], ["--set", "threads=100000"], ["--sett", "lr=1"], ["--set", "seed=1"], ["--out", ""],
    ["--out", "/dev/null"], ["--out", "/proc/x"], ["--out", "a\0b"], ["--out", "x" * 5000],
    ["--hidden", "20", "--set", "hidden=10"],
]  # fmt: skip
"""Words behind ``bimt sweep two-moon`` that are refused."""

REPRODUCE = [
    ["tabel1"], ["table1", "--seeds", "a"], ["table1", "--tasks", "symbolc-a"], ["table1", "--methods", "bmit"],
    ["table1", "--workers", "-1"], ["fig2", "--methods", "x"], ["figA1", "--tasks", "a,b"], ["table1", "--seedz", "1"],
    ["table1", "--out", "/dev/null"], ["table1", "--seeds", "-3"], ["table1", "--tasks", ",,"], ["fig99"], [],
]  # fmt: skip
"""Words behind ``bimt reproduce`` that are refused."""

ASKED = [
    "resume --log x", "resume --steps 3", "show --device cuda:9", "show --jsn", "show extra",
    "probe --hook blocks.0.hook_resid_pots", "probe --hook=", "probe --position 5", "probe --position -9",
    "probe --position 1.5", "probe --position x", "probe --position 99999999999999999999", "probe --target ww",
    "probe --target=", "probe --device cuda:9", "probe --device xyz", "probe --hook blocks.0.attn.hook_pattern",
    "ablate --neurons 8", "ablate --neurons -1", "ablate --neurons 1,1", "ablate --neurons 1.5", "ablate --neurons ,",
    "ablate --neurons 99999999999999999999", "ablate --neurons a", "ablate --hook nope", "ablate --hook=",
    "ablate --hook blocks.0.attn.hook_pattern --neurons 0", "prune --device cuda:9", "prune --x",
    "export --format grapml", "export --format", "export --residual both", "export --device cuda:9", "export --out=",
    "compare", "compare --figure x.gif", "train in-context --overwrite --out=",
]  # fmt: skip
"""Words about a finished run, the run put behind the command, that are refused."""

DIVERGED = [
    "--lr 1e30", "--lr 1e30 --steps 1", "--lr 1e30 --steps 1 --finish 0", "--lr 1e7", "--finish-lr 1e30", "--lr 1e38",
    "--finish-lr 1e8", "--weight-decay 1e30", "--penalty subgradient --lr 1e8 --dtype float64", "--x-high 1e30",
    "--polish 0.5 --lr 1e10", "--lr 1e7 --dtype float64 --method vanilla",
]  # fmt: skip
"""Options with which a run begins, and must not end well."""

LARGE = [
    ("in-context", "--samples", 10**15), ("in-context", "--samples", 10**10), ("in-context", "--d-model", 10**9),
    ("in-context", "--d-model", 10**18), ("in-context", "--n-layers", 10**12), ("in-context", "--examples", 10**9),
    ("in-context", "--dim", 10**9), ("in-context", "--d-mlp", 10**12), ("in-context", "--d-head", 10**12),
    ("in-context", "--n-heads", 10**9), ("in-context", "--batch-size", 10**9), ("in-context", "--batch-size", 8001),
    ("in-context", "--seed", 2**63), ("in-context", "--seed", 10**30), ("in-context", "--threads", 100_000),
    ("symbolic-a", "--hidden", 10**9), ("symbolic-a", "--hidden", "100000,100000,100000"),
    ("modular-addition", "--modulus", 10**9), ("two-moon", "--samples", 10**12), ("s4", "--d-embed", 10**12),
    ("lm", "--context", 10**9), ("lm", "--text", "/dev/zero"), ("lm", "--text", "/dev/null"), ("lm", "--text", "/"),
    ("lm", "--text", "nope"), ("lm", "--text", "a\0b"), ("lm", "--text", "x" * 5000), ("mnist", "--data-dir", "/nope"),
]  # fmt: skip
"""(task, option, word): too much for any machine, or not there."""
