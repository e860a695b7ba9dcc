"""GPT-2's shape with q, k and v in one projection, ``c_attn``: nanoGPT, minGPT, and transformers' GPT-2 without bridge.

``transformer.wte``, ``wpe``, ``transformer.h.{i}.ln_1 .attn.c_attn .attn.c_proj .ln_2 .mlp.c_fc .mlp.c_proj``,
``transformer.ln_f``, ``lm_head``. q, k and v of a block are one population, ``h.{i}.qkv``: the three parts of
``c_attn`` are folded onto it, so that their dimensions share one order and one set of slots (a bridge, which splits
them, gives q/k and v an order each). nn.Linear is [out, in], Hugging Face's Conv1D [in, out]: the module's type
decides.

A model is of this family if it has these parameters and no others, and each block says how many heads it has. Names do
not say in what order ``c_attn`` holds q, k, v and heads (GPT-BigCode puts heads outside), so a copy of the first
block's attention is tried: its heads and dimensions are exchanged, and its outputs must stay.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bimt_tf.adapters.anatomy import NO_HEAD, NOTHING, Given, second_names
from bimt_tf.core.axes import ANY
from bimt_tf.core.model_tree import held, paths
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["matches", "wiring"]

_BLOCK = re.compile(r"(.*\.)?h\.(\d+)\.attn\.c_attn\.weight$")
_BUFFERS = re.compile(r"\.attn\.(bias|masked_bias|mask)$")
_LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")


def matches(model: nn.Module) -> bool:
    """Whether the model has these parameters, all that such a model needs and none beside them."""
    names = {one.name for one in held(paths(model), attributes=False) if one.kind == "parameter"}
    found = [match for name in names if (match := _BLOCK.match(name))]
    if not found or len({match[1] or "" for match in found}) > 1:
        return False
    root = found[0][1] or ""
    blocks = [f"{root}h.{i}" for i in range(len(found))]
    needed = {f"{root}wte.weight", f"{root}wpe.weight", f"{root}ln_f.weight"}
    needed |= {f"{b}.{x}.weight" for b in blocks for x in (*_LINEAR, "ln_1", "ln_2")}
    more = {f"{name.removesuffix('weight')}bias" for name in needed if not name.endswith(("wte.weight", "wpe.weight"))}
    more |= {"lm_head.weight", "lm_head.bias"}
    return needed <= names <= needed | more


def wiring(model: nn.Module, given: Given = NOTHING) -> Wiring:
    """The wiring of a model of GPT-2's shape; ``given``: what the user adds.

    Raises:
        InputError: for a block that does not say how many heads it has, or whose ``c_attn`` is not three times as wide
            as the residual stream (fewer keys than queries).
    """
    everything = list(held(paths(model), attributes=False))
    tensors = {one.name: one.tensor for one in everything if one.kind == "parameter"}
    modules = dict(model.named_modules())
    root, count = next(
        (found[1] or "", sum(bool(_BLOCK.match(name)) for name in tensors))
        for name in tensors
        if (found := _BLOCK.match(name))
    )
    residual = [f"residual@Res{i}" for i in range(2 * count + 1)]
    table = {f"{root}wte.weight": f"{ANY} {residual[0]}", f"{root}wpe.weight": f"{ANY} {residual[0]}"}
    heads, sizes, rows = {}, {}, [["Res0"]]
    for i in range(count):
        block, short = f"{root}h.{i}", f"h.{i}"
        before, middle, after = residual[2 * i : 2 * i + 3]
        three, z = f"({ANY} {short}.head {short}.qkv)", f"({short}.head {short}.qkv)"
        heads[f"{short}.qkv"], sizes[f"{short}.head"] = f"{short}.head", _heads(block, modules, tensors)
        ends = ((three, before), (middle, z), (f"{short}.mlp", middle), (after, f"{short}.mlp"))
        for name, (out, into) in zip(_LINEAR, ends, strict=True):
            linear = isinstance(modules[f"{block}.{name}"], nn.Linear)
            table[f"{block}.{name}.weight"] = f"{out} {into}" if linear else f"{into} {out}"
            table[f"{block}.{name}.bias"] = out
        for own in ("weight", "bias"):
            table |= {f"{block}.ln_1.{own}": before, f"{block}.ln_2.{own}": middle}
        rows += [[f"{short}.qkv"], [f"Res{2 * i + 1}"], [f"{short}.mlp"], [f"Res{2 * i + 2}"]]
    table |= {f"{root}ln_f.{own}": residual[-1] for own in ("weight", "bias")}
    table |= {"lm_head.weight": f"{ANY} {residual[-1]}"}
    left_out = {*given.left_out, *(name for name in ("lm_head.bias",) if name in tensors)}
    table = {name: axes for name, axes in {**table, **given.axes}.items() if name in tensors and name not in left_out}
    stages = {word.split("@")[-1] for axes in table.values() for word in re.findall(r"[\w.@]+", axes)}
    words = {word.split("@")[0] for axes in table.values() for word in re.findall(r"[\w.@]+", axes)}
    norms = [name for name in table if re.search(r"\.ln_\w\.(weight|bias)$", name)]
    masks = [one.name for one in everything if one.kind == "buffer" and _BUFFERS.search(one.name)]
    _try(f"{root}h.0", modules, sizes["h.0.head"])
    made = Wiring.from_table(
        table,
        {name: tensors[name] for name in tensors},
        heads={name: axis for name, axis in heads.items() if name in words},
        sizes={axis: size for axis, size in sizes.items() if axis in words},
        layers={name: name.rpartition(".")[0] for name in table if name not in norms},
        rows=[kept for row in rows if (kept := [stage for stage in row if stage in stages])],
        uncharged=norms,
        left_out=[name for name in tensors if name in left_out],
        carried=second_names(tensors),
        order_free=["lm_head.bias", *masks, *given.order_free],
    )
    return made if "lm_head.weight" in tensors else made.holding(["residual"], NO_HEAD)


def _heads(block: str, modules: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> int:
    """How many heads a block has, by its attention module."""
    attention = modules[f"{block}.attn"]
    found = (getattr(attention, own, None) for own in ("num_heads", "n_head", "n_heads"))
    sizes = [size for size in found if isinstance(size, int)]
    if not sizes:
        raise InputError(f"{block}.attn has no num_heads or n_head that says how many heads it has: set one")
    shape = list(tensors[f"{block}.attn.c_attn.weight"].shape)
    if max(shape) != 3 * min(shape):
        raise InputError(
            f"{block}.attn.c_attn.weight has shape {shape}: its q, k and v are not equally many, and in one projection "
            "such are not wired; give each a projection of its own"
        )
    return sizes[0]


def _try(block: str, modules: Mapping[str, nn.Module], heads: int) -> None:
    """Raise InputError unless a copy of an attention, with random weights, takes an exchange of heads and dimensions.

    Both are exchanged as the table says, [three parts, heads, dimensions]; any other order of these changes the output.
    """
    generator = torch.Generator().manual_seed(0)
    attention = copy.deepcopy(modules[f"{block}.attn"]).double().cpu().eval()
    with torch.no_grad():
        for p in attention.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=p.dtype))
    named = dict(attention.named_parameters())
    width = min(named["c_attn.weight"].shape)
    size = width // heads
    order = torch.stack([torch.randperm(size, generator=generator) + size * h for h in range(heads)])
    order = order[torch.randperm(heads, generator=generator)].flatten()
    x = torch.randn(2, 5, width, generator=generator, dtype=torch.float64)
    try:
        before = _first(attention, x)
        with torch.no_grad():
            three = torch.cat([order + width * i for i in range(3)])
            for own, places, writes in (("c_attn", three, True), ("c_proj", order, False)):
                dim = 0 if isinstance(attention.get_submodule(own), nn.Linear) == writes else 1
                named[f"{own}.weight"].copy_(named[f"{own}.weight"].index_select(dim, places))
            if "c_attn.bias" in named:
                named["c_attn.bias"].copy_(named["c_attn.bias"][three])
        after = _first(attention, x)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{block}.attn could not be tried on [2, 5, {width}] numbers: {error!s:.120}") from error
    if not torch.allclose(before, after, rtol=1e-6, atol=1e-6 * float(before.abs().max())):
        raise InputError(
            f"{block}.attn does not hold q, k and v one after the other, each head by head, in c_attn, or depends on "
            "the order of heads otherwise: it is not wired"
        )


def _first(attention: nn.Module, x: Tensor) -> Tensor:
    """The attention's output, or the first of several."""
    with torch.no_grad():
        found = attention(x)
    found = found[0] if isinstance(found, tuple) else found
    if not isinstance(found, Tensor) or not bool(found.isfinite().all()):
        raise InputError(f"a {type(attention).__name__} does not give finite numbers for numbers, and is not wired")
    return found
