"""Brain-Inspired Modular Training for TransformerLens models (Liu, Gan and Tegmark, Entropy 2024, 26, 41).

The names below are the public library; each is imported when it is first used, so that ``bimt --help`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bimt_tf.adapters.families import wire as wire
    from bimt_tf.analysis.ablate import ablate as ablate
    from bimt_tf.analysis.ablate_nodes import ablate_nodes as ablate_nodes
    from bimt_tf.analysis.compact import compact as compact
    from bimt_tf.analysis.edge_effects import edge_effects as edge_effects
    from bimt_tf.analysis.exchange import Site as Site
    from bimt_tf.analysis.formula import formula as formula
    from bimt_tf.analysis.graph import connection_graph as connection_graph
    from bimt_tf.analysis.graph_files import read_graph as read_graph
    from bimt_tf.analysis.group_report import group_report as group_report
    from bimt_tf.analysis.group_table import finite_group as finite_group
    from bimt_tf.analysis.interchange import interchange as interchange
    from bimt_tf.analysis.minimal_set import minimal_set as minimal_set
    from bimt_tf.analysis.modularity import modularity as modularity
    from bimt_tf.analysis.patching import activation_patch as activation_patch
    from bimt_tf.analysis.path_patch import path_patch as path_patch
    from bimt_tf.analysis.probe import probe as probe
    from bimt_tf.analysis.probe_map import probe_map as probe_map
    from bimt_tf.analysis.prune import prune as prune
    from bimt_tf.bimt import BIMT as BIMT
    from bimt_tf.core.geometry import Geometry as Geometry
    from bimt_tf.core.layout import Layout as Layout
    from bimt_tf.core.search import SwapReport as SwapReport
    from bimt_tf.core.wiring import Wiring as Wiring
    from bimt_tf.figures.probe_map import probe_map_figure as probe_map_figure
    from bimt_tf.models.mlp import MLP as MLP
    from bimt_tf.models.token_mlp import TokenMLP as TokenMLP
    from bimt_tf.models.transformer import RegressionTransformer as RegressionTransformer
    from bimt_tf.runs.ask.align import align as align
    from bimt_tf.runs.finished_run import FinishedRun as FinishedRun
    from bimt_tf.runs.load import load_run as load_run
    from bimt_tf.runs.load import load_runs as load_runs
    from bimt_tf.runs.train import train as train
    from bimt_tf.training.attached import attach as attach
    from bimt_tf.training.callbacks import BIMTTrainerCallback as BIMTTrainerCallback
    from bimt_tf.training.callbacks import lightning_callback as lightning_callback
    from bimt_tf.training.eliminate import eliminate as eliminate

_HOMES = {
    "BIMT": "bimt",
    "BIMTTrainerCallback": "training.callbacks",
    "FinishedRun": "runs.finished_run",
    "Geometry": "core.geometry",
    "Layout": "core.layout",
    "MLP": "models.mlp",
    "RegressionTransformer": "models.transformer",
    "Site": "analysis.exchange",
    "SwapReport": "core.search",
    "TokenMLP": "models.token_mlp",
    "Wiring": "core.wiring",
    "ablate": "analysis.ablate",
    "ablate_nodes": "analysis.ablate_nodes",
    "activation_patch": "analysis.patching",
    "align": "runs.ask.align",
    "attach": "training.attached",
    "compact": "analysis.compact",
    "connection_graph": "analysis.graph",
    "edge_effects": "analysis.edge_effects",
    "eliminate": "training.eliminate",
    "finite_group": "analysis.group_table",
    "formula": "analysis.formula",
    "group_report": "analysis.group_report",
    "interchange": "analysis.interchange",
    "lightning_callback": "training.callbacks",
    "load_run": "runs.load",
    "load_runs": "runs.load",
    "minimal_set": "analysis.minimal_set",
    "modularity": "analysis.modularity",
    "path_patch": "analysis.path_patch",
    "probe": "analysis.probe",
    "probe_map": "analysis.probe_map",
    "probe_map_figure": "figures.probe_map",
    "prune": "analysis.prune",
    "read_graph": "analysis.graph_files",
    "train": "runs.train",
    "wire": "adapters.families",
}

__version__ = "0.2.0"
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bimt_tf' has no attribute {name!r}; it has {', '.join(sorted(__all__))}")
    return getattr(importlib.import_module(f"bimt_tf.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
