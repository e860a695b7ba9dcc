"""Which family a model is of, and so its wiring, and its parameters by the wiring's names.

Each family is one file with ``matches(model)`` and ``wiring(model, given)``; adding one is adding its name to FAMILIES.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from bimt_tf.adapters import bridge, convolutional, encoder_decoder, mlp, token_mlp, transformer_lens, unsplit
from bimt_tf.adapters.anatomy import UNKNOWN, Given
from bimt_tf.adapters.unknown_parts import what_is_missing
from bimt_tf.adapters.wrappers import known_parts, unwrapped
from bimt_tf.core.from_table import question_marks
from bimt_tf.core.model_tree import Held, held, paths
from bimt_tf.core.review import review
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, names_of, require_text, unknown

__all__ = ["FAMILIES", "homes", "parameters", "places", "tensors", "wire"]

FAMILIES = (encoder_decoder, bridge, transformer_lens, mlp, convolutional, token_mlp, unsplit)
PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def wire(
    model: nn.Module,
    fixed: Iterable[str] = (),
    *,
    axes: Mapping[str, str] | None = None,
    left_out: Iterable[str] = (),
    order_free: Iterable[str] = (),
) -> Wiring:
    """The wiring of a known model.

    Known are TransformerBridge (``boot_native``, ``boot_transformers``, ``build_bridge_from_module``), models with
    TransformerLens 2/3 parameter names (RegressionTransformer among them), MLP, TokenMLP and nn.Sequential;
    docs/architectures.md lists the architectures that were tried.

    Args:
        model: the module to wire; torch.compile, DataParallel and DistributedDataParallel are looked through.
        fixed: populations whose neurons keep their slots, e.g. ``("input", "output")``.
        axes: axis strings of parameters that the family does not know, or knows otherwise (core/wiring.py).
        left_out: parameters to leave alone: names, paths of modules, patterns such as ``"blocks.*.mlp.*"``, or "?" for
            all that are not known. bake_ holds in place every population that one may stand on by its shape.
        order_free: parameters left out, buffers and modules of which you know that they rely on no population's order.

    Raises:
        InputError: when no family knows the model (parts that are known are named), or it has a parameter that its
            family does not name (the message says how to name it or leave it out); for two parameters on the same
            memory whose axes differ; when parameters are on the meta device, quantised or split over devices; for a
            bridge with processed weights.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"wire takes a torch.nn.Module, found {type(model).__name__}")
    model = unwrapped(model)
    named = parameters(model)
    for name, p in named.items():
        if p.is_meta:
            raise InputError(f"parameter {name!r} is on the meta device and holds no numbers: load the weights first")
        if p.dtype not in PRECISIONS:
            raise InputError(
                f"parameter {name!r} is {str(p.dtype).removeprefix('torch.')}: a quantised model cannot be trained; "
                "load it in float32, bfloat16 or float16"
            )
    more = {} if axes is None else axes
    require_text("axes", more)
    given = Given(dict(more), _matching(left_out, named), names_of("order_free", order_free))
    for family in FAMILIES:
        if family.matches(model):
            return review(family.wiring(model, given), tensors(model)).fixing(fixed)
    raise _unknown(model)


def _unknown(model: nn.Module) -> InputError:
    """What is said of a model that is of no family."""
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    kind, missing, hint = type(model).__name__, "", ""
    if type(model).__module__.startswith("transformers."):
        if bridged := _bridged(kind):
            name = "" if bridged == kind else f", as {bridged!r}"
            hint = f"put TransformerLens's bridge around it (build_bridge_from_module{name}), or "
        else:
            missing = f", and TransformerLens has no bridge for it{what_is_missing(list(shapes))}"
    hint += known_parts(model, lambda part: any(family.matches(part) for family in FAMILIES))
    rows = question_marks(shapes, room=200 if missing else 300)
    return InputError(
        f"no adapter knows a {kind}{missing}; {hint}wire it with Wiring.from_table({rows}, model), a word an axis"
    )


def _bridged(kind: str) -> str | None:
    """The name under which TransformerLens lists a class of transformers; None if it has no adapter for it."""
    from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES  # takes seconds

    return next((name for name in SUPPORTED_ARCHITECTURES if name.lower() == kind.lower()), None)


def _matching(left_out: Iterable[str], named: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The parameters that names, paths of modules or patterns stand for; InputError for one that stands for none."""
    found: dict[str, None] = {}
    for given in names_of("left_out", left_out):
        if given == UNKNOWN:
            found[given] = None
            continue
        fit = [name for name in named if fnmatchcase(name, given) or fnmatchcase(name, f"{given}.*")]
        if not fit:
            raise unknown("parameter in left_out", given, named)
        found |= dict.fromkeys(fit)
    return tuple(found)


def places(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """(path, module) of everything in the model that may hold a tensor, under every path that counts (core/review.py).

    A TransformerBridge's are its components' (``blocks.0.attn.q``), and the wrapped model's for what is in none.
    """
    return list(bridge.places(model) if bridge.matches(model) else paths(model))


def tensors(model: nn.Module, attributes: bool = True) -> list[Held]:
    """Every tensor of the model by the names that its wiring uses; a shared one comes under each of its names.

    ``attributes``: those that are neither parameter nor buffer too.
    """
    return list(bridge.tensors(model, attributes) if bridge.matches(model) else held(paths(model), attributes))


def homes(model: nn.Module) -> dict[str, tuple[nn.Module, str]]:
    """Parameter -> the module that holds it, and under what name there; each parameter once.

    Names are ``model.named_parameters()``'s, but for a TransformerBridge its components' (``blocks.0.attn.q.weight``).
    """
    if bridge.matches(model):
        return bridge.homes(model)
    found = {}
    for name, _ in model.named_parameters():
        path, _, own = name.rpartition(".")
        found[name] = (model.get_submodule(path), own)
    return found


def parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The model's parameters by the names that its wiring uses (:func:`homes`)."""
    return {name: getattr(module, own) for name, (module, own) in homes(model).items()}
