"""For the page: examples and what neurons do on them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from bimt_tf.errors import InputError
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.neuron_values import RowValues, values_of_rows
from bimt_tf.runs.page.sample import (
    MOST_EXAMPLES,
    Quantity,
    class_names,
    held_out_of,
    is_language,
    quantities_of,
)
from bimt_tf.scene.rows import Row
from bimt_tf.scene.scene import scene_of
from bimt_tf.tasks.base import Data
from bimt_tf.viewer.packing import CHARACTERS, base64_of, packed

__all__ = ["activity_part"]

BUDGET = 1_300_000
"""Characters that the values of neurons may take; fewer examples, then fewer neurons a row, where they would not do."""
LEAST_EXAMPLES = 100
MOST_PIXELS = 1_024  # of an image
WINDOWS = 8  # of a text
CONTEXT = 24  # characters or tokens that are shown before a place in a text


class _Seen(NamedTuple):
    """Examples, the values of rows on them, what is named of them, and the text that each is a place in."""

    examples: int
    of: int
    values: RowValues
    quantities: list[Quantity]
    texts: list[str] | None
    images: Tensor | None


def activity_part(run: OpenedRun) -> dict[str, Any] | None:
    """Examples, their quantities, and the value of every active neuron on them; None where there are no examples.

    Keys: ``n`` examples ``of`` held-out ones; ``tokens`` and ``answers``, how many positions there are and which one
    answers (None without positions); ``quantities``: name, of, classes, values (packed); ``rows``: row name -> hook,
    tokens, neurons (indices), values (packed [neurons][tokens][examples]); ``texts``, ``images``; ``said``: what was
    thinned; ``quantity`` and ``target``: those that are shown first.
    """
    data = held_out_of(run)
    if data is None or not len(data.inputs):
        return None
    scene = scene_of(run.bimt, run.threshold)
    active = {
        row.name: torch.from_numpy(on_path.nonzero()[0])
        for row, on_path in zip(scene.rows, scene.on_paths, strict=True)
    }
    try:
        seen = _seen_text(run, data, scene.rows) if is_language(data) else _seen(run, data, scene.rows, active)
    except InputError:  # a model of the user's whose hooks are none of neurons
        return None
    kept = {name: active[name] for name in seen.values.rows if len(active[name])}
    rows, said = _thinned(seen, kept)
    tokens = max((row["tokens"] or 0 for row in rows.values()), default=0) or None
    first = next((one.name for one in seen.quantities), None)
    targets = [one.name for one in seen.quantities if one.of == "target"]
    return {
        "n": seen.examples, "of": seen.of, "tokens": tokens, "answers": None if tokens is None else tokens - 1,
        "quantities": [{**one._asdict(), "values": packed(one.values)} for one in seen.quantities],
        "quantity": _usual(run, seen.quantities) or first, "target": targets[0] if targets else first,
        "rows": rows, "texts": seen.texts, "images": _images(seen.images), "said": said,
    }  # fmt: skip


def _seen(run: OpenedRun, data: Data, rows: tuple[Row, ...], active: dict[str, Tensor]) -> _Seen:
    """The first examples, as many as there is room for."""
    few = values_of_rows(run.bimt, rows, data.inputs[:1]).rows
    numbers = sum(len(active[name]) * (v.shape[1] if v.ndim == 3 else 1) for name, v in few.items())
    room = int(BUDGET / CHARACTERS / max(numbers, 1))
    n = min(len(data.inputs), max(LEAST_EXAMPLES, min(room, MOST_EXAMPLES)))
    first = Data(data.inputs[:n], data.targets[:n], {k: v[:n] for k, v in data.quantities.items()})
    values = values_of_rows(run.bimt, rows, first.inputs)
    pixels = first.inputs.shape[1] if first.inputs.ndim == 2 and first.inputs.is_floating_point() else 0
    side = int(pixels**0.5)
    is_image = side * side == pixels and 16 < pixels <= MOST_PIXELS
    images = first.inputs.reshape(n, side, side) if is_image else None
    return _Seen(n, len(data.inputs), values, quantities_of(run, first, values.output), None, images)


def _seen_text(run: OpenedRun, data: Data, rows: tuple[Row, ...]) -> _Seen:
    """Places in a text, evenly spaced in some of its windows: each is an example by itself, without positions."""
    chosen = torch.linspace(0, len(data.inputs) - 1, min(WINDOWS, len(data.inputs))).long()
    inputs, targets = data.inputs[chosen], data.targets[chosen]
    values = values_of_rows(run.bimt, rows, inputs)
    total = inputs.numel()
    places = torch.linspace(0, total - 1, min(MOST_EXAMPLES, total)).long()
    flat = {name: v.flatten(0, 1)[places] for name, v in values.rows.items() if v.ndim == 3}
    output = values.output
    logits = output.flatten(0, 1)[places] if isinstance(output, Tensor) and output.ndim == 3 else None
    count = int(max(inputs.max(), targets.max())) + 1 if logits is None else logits.shape[1]
    names = class_names(run, count)
    now, following = inputs.flatten()[places], targets.flatten()[places]
    found = [Quantity("next token", "target", following, names), Quantity("token here", "input", now, names)]
    if logits is not None:
        found.append(Quantity("predicted token", "output", logits.argmax(-1), names))
        chance = logits.double().log_softmax(-1).gather(1, following[:, None])[:, 0]
        found.append(Quantity("loss of the next token", "task", -chance))
    found.append(Quantity("place in its text", "input", places % inputs.shape[1]))
    texts = [_context(inputs[int(place) // inputs.shape[1]], int(place) % inputs.shape[1], names) for place in places]
    of = data.inputs.numel()
    return _Seen(len(places), of, values._replace(rows=flat), found, texts, None)


def _context(window: Tensor, place: int, names: list[str]) -> str:
    tokens = [names[int(token)] for token in window[max(0, place + 1 - CONTEXT) : place + 1]]
    return "".join(" " if token == "space" else token for token in tokens)


def _thinned(seen: _Seen, active: dict[str, Tensor]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The rows' values, of the neurons that vary most where there is no room for all; and what to say of it."""
    what = "held-out examples" if seen.texts is None else "places in the held-out text"
    said = [] if seen.examples == seen.of else [f"{seen.examples:,} of {seen.of:,} {what}"]
    tokens = {name: v.shape[1] if v.ndim == 3 else 1 for name, v in seen.values.rows.items()}
    most = max((len(neurons) for neurons in active.values()), default=0)
    room = BUDGET / CHARACTERS / max(seen.examples, 1)
    while most > 1 and sum(min(len(active[name]), most) * tokens[name] for name in active) > room:
        most -= max(1, most // 20)
    if any(len(neurons) > most for neurons in active.values()):
        said.append(f"of each row the {most} active neurons that vary most")
    rows = {}
    for name, neurons in active.items():
        values = seen.values.rows[name].cpu()[..., neurons]
        if len(neurons) > most:
            spread = values.double().flatten(0, -2).std(0)
            chosen = spread.topk(most).indices.sort().values
            neurons, values = neurons[chosen], values[..., chosen]
        if bool(values.isfinite().all()):
            rows[name] = {
                "hook": seen.values.hooks.get(name), "tokens": values.shape[1] if values.ndim == 3 else None,
                "neurons": neurons.tolist(), "values": packed(values.movedim(0, -1).movedim(-2, 0)),
            }  # fmt: skip
    return rows, said


def _usual(run: OpenedRun, quantities: list[Quantity]) -> str | None:
    """The quantity that the task's own first probe looks for, if it is one of these."""
    wanted = [probe.target for probe in run.task.probes(run.config.data)]
    return next((name for name in wanted if name in {one.name for one in quantities}), None)


def _images(images: Tensor | None) -> dict[str, Any] | None:
    """Pixels from 0 to 255, a byte each."""
    if images is None:
        return None
    low, high = float(images.min()), float(images.max())
    shades = ((images.double() - low) / ((high - low) or 1.0) * 255).round()
    return {"side": images.shape[1], "pixels": base64_of(shades, "u1")}
