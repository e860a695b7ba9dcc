"""The model card of a shared run: a README.md with Hugging Face's front matter, made of the run's own numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bimt_tf import __version__
from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["model_card"]

NUMBERS = {
    "test_loss": "loss on held-out examples",
    "test_accuracy": "accuracy on held-out examples",
    "train_loss": "loss on training examples",
    "active_weights": "active weights",
    "total_weights": "weights of the wiring",
    "modularity_shared": "modularity Q (shared residual stream)",
    "wiring_length": "mean wiring length",
    "seconds": "seconds of training",
}
"""Key of summary.json -> what the card calls it."""


def model_card(run: OpenedRun, file: str, license: str = "unknown") -> str:
    """The card as Markdown.

    Args:
        run: the run.
        file: what the reader opens, for the lines that say how.
        license: an identifier of the Hugging Face Hub's list, such as "mit"; "unknown" where none was chosen.
    """
    from huggingface_hub import ModelCardData

    config, task = run.config, run.task
    data = ModelCardData(
        license=license,
        library_name="bimt_tf",
        tags=["mechanistic-interpretability", "brain-inspired-modular-training", "transformer-lens", task.name],
        base_model=getattr(config.data, "model", None) if task.pretrained else None,
    )
    rows = "".join(f"| {name} | {_spelled(value)} |\n" for name, value in _numbers(run.summary).items())
    versions = run.summary.get("versions") or {"bimt_tf": __version__}
    made = ", ".join(f"{name} {version}" for name, version in versions.items())
    model = type(run.model).__name__
    return f"""---
{data.to_yaml().strip()}
---

# {task.name}, {config.method}, seed {config.seed}

A {model} trained on: {task.summary}. Method `{config.method}`, preset `{config.preset}`, seed {config.seed},
{config.training.steps:,} steps, {run.state}. Brain-Inspired Modular Training (Liu, Gan and Tegmark, Entropy 2024,
26, 41) gives every neuron a place and charges each weight for its length, so that the circuit can be seen.

| | |
| --- | --- |
{rows}
## Open it

```python
from bimt_tf import load_run

run = load_run("{file}")
run.model            # the network; run.bimt has its wiring and layout
run.evaluate("test") # its numbers on held-out examples, which are drawn anew from the config
```

The package bimt_tf reads it; no file needs pickle. From the Hugging Face Hub:
`load_run(huggingface_hub.snapshot_download("USER/NAME"))`.

## Files

`model.safetensors` (weights), `layout.json` (where the neurons stand), `config.yaml` (everything that it was trained
with; `bimt train {config.task} --config config.yaml --out NEW` trains it again), `summary.json` (the numbers), answers
to questions that were asked of it (`probes.json`, `interventions.json`, `modules.json`, `formulas.json`, where there
are any), `elimination/` (every point on its way to fewer weights, if it had one), `figures/`, and `report.html` (one
page that any browser opens without a network: the circuit to explore; where it is missing, `bimt report` makes it).

## Made with

{made}. Packed with bimt_tf {__version__}.
"""


def _numbers(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {said: summary[name] for name, said in NUMBERS.items() if summary.get(name) is not None}


def _spelled(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)
