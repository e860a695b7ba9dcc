"""Convolutional networks: any nn.Sequential, however deep, of convolutions, norms, pools and linear layers.

A convolution's output channels are a population; its kernel has no coordinates, so each of its entries pays for the
distance of the two channels that it joins. Populations ``input`` (the channels of the image), ``channels0``,
``channels1``, ..., ``hidden0``, ..., ``output``. Inputs are batches, [batch, channels, places ...]; what is flattened
holds a channel's places one after the other: ``hidden0 (channels1 _)``. A depthwise kernel hangs on its channel, the
statistics of batch norms move along. Norms over some of the channels, convolutions in groups, and layers that fold
channels (PixelShuffle) are refused by name.

A network that joins layers otherwise (a ResNet) is wired by a table: ``"block.conv2.weight": "residual channels _ _"``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm

from bimt_tf.adapters.anatomy import NOTHING, Given
from bimt_tf.adapters.mlp import ELEMENTWISE
from bimt_tf.core.axes import ANY
from bimt_tf.core.model_tree import held, paths
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["leaves", "matches", "wiring"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_POOLS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
    nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReplicationPad1d,
    nn.ReplicationPad2d, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Upsample,
)  # fmt: skip
"""Layers over the places of every channel alone; on flat neurons, or more places, they would mix what they must not."""

_NORMS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.InstanceNorm1d, nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)  # fmt: skip
_OWN = ("weight", "bias", "running_mean", "running_var")


class _Made(NamedTuple):
    """Parameter or buffer -> its axes; parameter -> its layer; names of norms; the populations, first to last.

    ``free``: parameters that all channels share.
    """

    table: dict[str, str]
    layers: dict[str, str]
    norms: list[str]
    populations: list[str]
    free: list[str]


class _Here(NamedTuple):
    """What a layer reads: the population, how its dimension is spelled, and how many dimensions of places follow."""

    population: str
    axes: str
    places: int


def leaves(model: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Module]]:
    """(path, layer) of everything inside nested nn.Sequential, in the order of computation."""
    for name, child in model._modules.items():
        if isinstance(child, nn.Sequential) and type(child).forward is nn.Sequential.forward:
            yield from leaves(child, f"{path}{name}.")
        elif child is not None:
            yield f"{path}{name}", child


def matches(model: nn.Module) -> bool:
    """Whether the model is an nn.Sequential with a convolution in it."""
    plain = isinstance(model, nn.Sequential) and type(model).forward is nn.Sequential.forward
    return plain and any(isinstance(layer, _ConvNd) for _, layer in leaves(model))


def wiring(model: nn.Module, given: Given = NOTHING) -> Wiring:
    """The wiring of a chain of convolutions and linear layers; ``given``: what the user adds.

    Raises:
        InputError: for a layer that is not known to treat channels alike, a convolution in groups, or a linear layer
            behind channels that were not flattened.
    """
    made = _read(list(leaves(model)))
    parameters = {name for name, _ in model.named_parameters()}
    present = {one.name for one in held(paths(model))}
    left_out = [name for name in (*given.left_out, *made.free) if name in parameters]
    table = {n: a for n, a in {**made.table, **given.axes}.items() if n in present and n not in left_out}
    words = {word for axes in table.values() for word in axes.replace("(", " ").replace(")", " ").split()}
    return Wiring.from_table(
        table,
        model,
        layers={name: layer for name, layer in made.layers.items() if name in table and name in parameters},
        rows=[[name] for name in made.populations if name in words],
        unbakeable=[name for name in ("input", "output") if name in words],
        uncharged=[name for name in made.norms if name in table and name in parameters],
        left_out=left_out,
        order_free=[*made.free, *given.order_free],
    )


def _read(layers: list[tuple[str, nn.Module]]) -> _Made:
    """The axes of all layers, one after the other."""
    made = _Made({}, {}, [], ["input"], [])
    joining = [path for path, layer in layers if _joins(layer)]
    first = next(layer for _, layer in layers if isinstance(layer, _ConvNd))
    here = _Here("input", "input", len(first.kernel_size))
    for path, layer in layers:
        if type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
            here = here._replace(axes=f"({here.population} {ANY})" if here.places else here.axes, places=0)
        elif _joins(layer):
            kind = "hidden" if isinstance(layer, nn.Linear) else "channels"
            count = sum(name.startswith(kind) for name in made.populations)
            after = "output" if path == joining[-1] else f"{kind}{count}"
            made.table.update(_of_weights(path, layer, after, here))
            made.layers.update({f"{path}.{own}": path for own in _OWN[:2]})
            made.populations.append(after)
            here = _Here(after, after, here.places)
        else:
            axes = _by_channel(path, layer, here)
            made.table.update(axes)
            made.norms.extend(axes if not isinstance(layer, _ConvNd) else ())
            made.free.extend([f"{path}.weight"] * (type(layer) is nn.PReLU and not axes))
    return made


def _joins(layer: nn.Module) -> bool:
    """Whether a layer leads from one population to another; a depthwise convolution does not."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, _ConvNd) and not _depthwise(layer))


def _depthwise(layer: _ConvNd) -> bool:
    return 1 < layer.groups == layer.in_channels == layer.out_channels


def _fits(layer: nn.Module, here: _Here) -> bool:
    """Whether a layer is of a number of dimensions, by its name (Conv2d), and that is the number of places here."""
    dimensions = re.search(r"(\d)d$", type(layer).__name__)
    return here.places > 0 and (dimensions is None or int(dimensions[1]) == here.places)


def _of_weights(path: str, layer: nn.Module, after: str, here: _Here) -> dict[str, str]:
    """The axes of a linear layer, or of a convolution, whose kernel has no coordinates."""
    if isinstance(layer, nn.Linear):
        if here.places:
            raise InputError(f"layer {path!r} reads channels by their last dimension: put nn.Flatten before it")
        return {f"{path}.weight": f"{after} {here.axes}", f"{path}.bias": after}
    assert isinstance(layer, _ConvNd)
    if type(layer) not in _CONVOLUTIONS or layer.groups != 1 or not _fits(layer, here):
        raise InputError(
            f"layer {path!r} is a {type(layer).__name__} in {layer.groups} group(s) on {here.places} dimensions of "
            "places: wired are plain convolutions in one group, or in one for each channel, on their own dimensions"
        )
    ends = f"{here.axes} {after}" if isinstance(layer, _ConvTransposeNd) else f"{after} {here.axes}"
    return {f"{path}.weight": f"{ends}{f' {ANY}' * len(layer.kernel_size)}", f"{path}.bias": after}


def _by_channel(path: str, layer: nn.Module, here: _Here) -> dict[str, str]:
    """The axes of a layer that treats every channel alone: a norm, a depthwise kernel, slopes; {} without any.

    Raises:
        InputError: for a layer of which that is not known.
    """
    kind, flat = type(layer), here.places == 0
    if kind in _CONVOLUTIONS and _fits(layer, here):
        assert isinstance(layer, _ConvNd)
        return {f"{path}.weight": f"{here.axes}{f' {ANY}' * (len(layer.kernel_size) + 1)}", f"{path}.bias": here.axes}
    if kind in _NORMS and (_fits(layer, here) or (flat and kind in (nn.BatchNorm1d, nn.SyncBatchNorm))):
        assert isinstance(layer, (_BatchNorm, _InstanceNorm))
        return {f"{path}.{own}": here.axes for own in _OWN}
    if isinstance(layer, nn.GroupNorm) and layer.num_groups in (1, layer.num_channels):
        return {f"{path}.{own}": here.axes for own in _OWN[:2]}
    if kind is nn.LayerNorm and isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) == here.places + 1:
        return {f"{path}.{own}": here.axes + f" {ANY}" * here.places for own in _OWN[:2]}
    if isinstance(layer, nn.PReLU):
        return {f"{path}.weight": here.axes} if layer.num_parameters > 1 else {}
    if kind in ELEMENTWISE or (kind in _POOLS and _fits(layer, here)):
        return {}
    groups = f" of {layer.num_groups} groups" if isinstance(layer, nn.GroupNorm) else ""
    raise InputError(
        f"layer {path!r} is a {kind.__name__}{groups}, which is not known to treat channels alone and alike here: wire "
        "this network with Wiring.from_table, or put another layer in its place"
    )
