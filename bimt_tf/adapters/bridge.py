"""TransformerLens's TransformerBridge: native models, and Hugging Face models behind TransformerLens's component names.

Parameters are named by the bridge's components, ``blocks.0.attn.q.weight``, whatever the wrapped model calls them, and
reached by object: a tied parameter comes once, under its first name. nn.Linear is [out, in], Conv1D [in, out]: the
module's type decides. Where the bridge splits a fused projection (qkv, gate and up), its halves are what the model
computes with and what is trained; the fused original is a leftover (a view of the same storage in GPT-2, a stale
copy in GPT-NeoX) that is left out here and written anew on the way back (``hugging_face.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from bimt_tf.adapters import images
from bimt_tf.adapters.anatomy import LATENT, NO_HEAD, NOTHING, Block, Given, Rotary, gain, heads_of, stack, wired
from bimt_tf.adapters.head_geometry import geometry, width
from bimt_tf.adapters.known_buffers import free_of_order
from bimt_tf.adapters.parts import is_latent, parts_of_block, parts_outside
from bimt_tf.adapters.transformer_lens import rotary
from bimt_tf.core.axes import ANY
from bimt_tf.core.model_tree import Held, held
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["components", "fused", "homes", "linear", "matches", "places", "require_unprocessed", "tensors", "wiring"]

_NORM = re.compile(r"(^|\.)(ln\w*|embed_ln|[qk]_norm|\w+_layernorm|\w+_sub_norm|lm_head\.norm)\.(weight|bias)$")


def matches(model: object) -> bool:
    """Whether the model is a TransformerBridge, told without importing TransformerLens."""
    return any(
        c.__name__ == "TransformerBridge" and c.__module__.startswith("transformer_lens.") for c in type(model).__mro__
    )


def components(bridge: Any) -> Iterator[tuple[str, Any]]:
    """(path, component) of everything the bridge names, depth first; blocks are ``blocks.{i}``."""
    for key in bridge.adapter.component_mapping:
        top = getattr(bridge, key, None)
        for i, item in enumerate(top) if isinstance(top, nn.ModuleList) else [(None, top)]:
            if item is not None:
                yield from _below(key if i is None else f"{key}.{i}", item)


def _below(path: str, component: Any) -> Iterator[tuple[str, Any]]:
    yield path, component
    for key, declared in getattr(component, "submodules", {}).items():
        yield from _below(f"{path}.{key}", component._modules.get(key, declared))


def places(bridge: Any) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of everything that holds weights or computes, each once, but once for every component.

    By component; what no component holds comes under the wrapped model's own path. A module behind two components is
    used twice, and comes under both.
    """
    seen: set[int] = set()
    for path, component in components(bridge):
        module = _original(component)
        if module is not None:
            seen.add(id(module))
            yield path, module
    for path, module in bridge.original_model.named_modules():
        if id(module) not in seen:
            yield path, module


def tensors(bridge: Any, attributes: bool = True) -> Iterator[Held]:
    """Every tensor by its component's name, or the wrapped model's for what is in no component.

    The bridge's own modules compute with the wrapped modules' tensors and keep references to them: those are no others.
    """
    inside = list(bridge.modules())
    for path, module in places(bridge):
        own = type(module).__module__.startswith("transformer_lens.")
        for one in held([(path, module)], attributes=attributes and not own, inside=inside):
            yield one._replace(name=one.name.replace("._original_component", "").removeprefix("_original_component."))


def homes(bridge: Any) -> dict[str, tuple[nn.Module, str]]:
    """Parameter -> the module that holds it, and under what name; each once, by its first name (:func:`tensors`)."""
    found: dict[str, tuple[nn.Module, str]] = {}
    seen: set[int] = set()
    for one in tensors(bridge):
        if one.kind == "parameter" and id(one.tensor) not in seen:
            seen.add(id(one.tensor))
            found[one.name] = (one.module, one.own)
    return found


def _original(component: Any) -> nn.Module | None:
    return component._modules.get("_original_component") if isinstance(component, nn.Module) else None


def fused(bridge: Any) -> Iterator[tuple[str, Any, nn.Module, tuple[str, ...]]]:
    """(path, component, the fused module, the names of its parts) wherever the bridge splits a projection."""
    for path, component in components(bridge):
        if hasattr(component, "split_qkv_matrix") and "qkv" in component.submodules:
            module = _original(component._modules["qkv"])
            parts: tuple[str, ...] = ("q", "k", "v")
        elif hasattr(component, "split_gate_up_matrix"):
            module = getattr(_original(component), component.fused_attr)
            module = _original(module) or module
            parts = ("gate", "in")
        else:
            continue
        assert module is not None
        yield path, component, module, parts


def wiring(model: Any, given: Given = NOTHING) -> Wiring:
    """The wiring of a bridge, native or around a Hugging Face model; ``given``: what the user adds.

    Raises:
        InputError: after weight processing (folded weights are another model's), for heads that do not fit the
            shapes, or parameters that are no part of a plain transformer.
    """
    require_unprocessed(model)
    everything = list(tensors(model))
    named = {one.name: (one.module, one.own) for one in everything}
    at = {one.name: named[one.name] for one in everything if one.kind == "parameter"}
    parameters = {name: _tensor(home) for name, home in at.items()}
    leftover = {id(p) for *_, module, _ in fused(model) for p in module.parameters()}
    left_out = ["unembed.bias", *(name for name, p in parameters.items() if id(p) in leftover)]
    cfg = model.cfg
    names = [f"blocks.{i}" for i in range(len(getattr(model, "blocks", ())))]
    parallel = bool(getattr(cfg, "parallel_attn_mlp", False))
    wanted = {name: home for name, home in at.items() if name not in given.left_out}
    heads = {name: geometry(f"{name}.attn", model, {} if is_latent(model) else wanted) for name in names}
    counts = {name: (one.queries, one.keys) for name, one in heads.items()}
    anatomy = stack(
        [(name, any(other.startswith(f"{name}.mlp.") for other in at), parallel) for name in names],
        [heads_of(name, *counts[name]) for name in names],
    )
    table = _ends(at, anatomy.first, anatomy.last)
    layers = {"embed.weight": "embed", "unembed.weight": "unembed"}
    outside = parts_outside(model, at, anatomy.first, anatomy.last)
    table, left_out = table | outside.axes, left_out + outside.free
    positions, free, exchangeable, counted = {}, list(free_of_order(everything)), [], set[str]()
    for block in anatomy.blocks:
        table |= _block(block, at, parallel)
        layers |= {f"{block.name}.attn.{x}.{own}": f"{block.name}.attn.qkv" for x in "qkv" for own in _OWN}
        single = [f"{block.name}.{x}" for x in ("attn.o", "mlp.in", "mlp.gate", "mlp.out")]
        layers |= {f"{x}.{own}": x for x in single for own in _OWN}
        shared = [f"{block.name}.attn.{x}_norm.{own}" for x in "qk" for own in _OWN]
        parts = parts_of_block(block, block.before if parallel else block.middle, model, named)
        table |= parts.axes
        layers |= {name: _LAYER.sub("", name) for name in parts.axes}
        shared = [name for name in shared if name in at and name not in table] + parts.inside_heads
        found = _rotary(model, heads[block.name].size, bool(shared))
        positions[block.name] = found._replace(anchored=found.anchored or bool(parts.by_head + parts.inside_heads))
        free += parts.routers + parts.free
        exchangeable += [block.name] * parts.exchangeable
        counted |= parts.axes.keys()
        left_out += [*shared, *parts.free, *parts.by_head]
    made = wired(
        table,
        parameters,
        anatomy,
        layers,
        positions=positions,
        heads={name: n_kv for name, (_, n_kv) in counts.items() if n_kv},
        norms=[name for name in table if _NORM.search(name)],
        left_out=left_out,
        order_free=free,
        given=given,
        buffers={one.name: one.tensor for one in everything if one.kind == "buffer" and one.name in counted},
        exchangeable=exchangeable,
    )
    return _held(made, outside.held, "unembed.weight" in at)


def require_unprocessed(model: Any) -> None:
    """Raise InputError for a bridge whose weights are folded and centred: they are another model's."""
    if getattr(model, "_weights_processed", False):
        raise InputError(
            "this TransformerBridge's weights are processed (enable_compatibility_mode folds and centres them): wire "
            "it before, or use enable_compatibility_mode(no_processing=True)"
        )


def _ends(at: dict[str, tuple[nn.Module, str]], first: str, last: str) -> dict[str, str]:
    """The axes of what lies before and behind the blocks of a plain transformer."""
    return {
        "embed.weight": f"{ANY} {first}",
        "pos_embed.weight": f"{ANY} {first}",
        "token_type_embed.weight": f"{ANY} {first}",
        **{f"embed_ln.{x}": first for x in _OWN},
        **{f"ln_final.{x}": last for x in _OWN},
        **linear("unembed", at, ANY, last),
    }


def _held(made: Wiring, joins_itself: bool, has_head: bool) -> Wiring:
    """The wiring with the populations held that have no symmetry, and why: latents, a stream that is read by all."""
    inside = [name for name in made.populations if name.rpartition(".")[2] in {x for row in LATENT for x in row}]
    made = made.holding(inside, "latents, keys and values lie in one dimension of a matrix")
    if "residual" not in made.populations or (has_head and not joins_itself):
        return made
    why = "the tied table ties the prediction layer's inputs to its outputs" if joins_itself else NO_HEAD
    return made.holding(["residual"], why)


_OWN = ("weight", "bias")
_LAYER = re.compile(r"([._])(weight|bias)$")


def linear(name: str, at: Mapping[str, tuple[nn.Module, str]], out: str, into: str) -> dict[str, str]:
    """The axes of a linear layer's weight and bias; of a module of another type (a router, experts) none are known."""
    module = at[f"{name}.weight"][0] if f"{name}.weight" in at else None
    if isinstance(module, nn.Linear):
        return {f"{name}.weight": f"{out} {into}", f"{name}.bias": out}
    if any(c.__name__ == "Conv1D" for c in type(module).__mro__):  # Hugging Face's; torch's is Conv1d
        return {f"{name}.weight": f"{into} {out}", f"{name}.bias": out}
    return {}


def _block(b: Block, at: dict[str, tuple[nn.Module, str]], parallel: bool) -> dict[str, str]:
    """The axes of one block's parameters."""
    reads_mlp = b.before if parallel else b.middle
    q, k, v = f"({b.queries} {b.q})", f"({b.head} {b.k})", f"({b.head} {b.v})"
    z = f"({b.queries} {b.v})"
    layers = {
        "attn.q": (q, b.before), "attn.k": (k, b.before), "attn.v": (v, b.before), "attn.o": (b.middle, z),
        "mlp.in": (b.mlp, reads_mlp), "mlp.gate": (b.mlp, reads_mlp), "mlp.out": (b.after, b.mlp),
    }  # fmt: skip
    norms = {"ln1": b.before, "ln1_post": b.middle, "ln2": reads_mlp, "ln2_post": b.after, "mlp.ln": b.mlp}
    table = {f"{b.name}.{norm}.{own}": axes for norm, axes in norms.items() for own in _OWN}
    for short, (out, into) in layers.items():
        table |= linear(f"{b.name}.{short}", at, out, into)
    for x, heads, dims in (("q", b.queries, b.q), ("k", b.head, b.k)):
        for own in _OWN:
            name, weight = f"{b.name}.attn.{x}_norm.{own}", f"{b.name}.attn.{x}.weight"
            if name in at and weight in at:
                axes = gain(_tensor(at[name]).shape, width(at[weight]), heads, dims)
                table |= {name: axes} if axes else {}
    return table


def _tensor(home: tuple[nn.Module, str]) -> nn.Parameter:
    return getattr(*home)


def _rotary(bridge: Any, d_head: int, shared_gain: bool) -> Rotary:
    """How positions enter attention; a gain that all heads share holds q/k dimensions in place as rotations do.

    The rotated dimensions are a head's first; the frequencies of the rotary module say how many. Where it is not known
    how positions enter, neither dimensions nor heads move.
    """
    found = rotary(bridge.cfg, d_head)
    buffers = [pair for path, c in components(bridge) if path == "rotary_emb" for pair in c.named_buffers()]
    rotated = [2 * table.numel() for name, table in buffers if "inv_freq" in name]
    if rotated:
        found = Rotary(pinned=min(max(rotated), d_head))
    kind = str(getattr(bridge.cfg, "positional_embedding_type", None) or "none").lower()
    known = kind in ("rotary", "alibi", "none") or (kind == "standard" and images.known(bridge))
    if not known and not rotated and "pos_embed" not in bridge.adapter.component_mapping:
        found = Rotary(pinned=d_head, anchored=True)
    return found._replace(pinned=d_head) if shared_gain else found
