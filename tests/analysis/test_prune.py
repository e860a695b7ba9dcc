import json
import math

import networkx as nx
import pytest
import torch

from bimt_tf import BIMT
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.paths import live
from bimt_tf.analysis.prune import THRESHOLDS, cut_, prune, severed, widest_path
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer


def _transformer(n_heads=2):
    return BIMT(RegressionTransformer(d_model=4, n_layers=1, n_heads=n_heads, d_mlp=6, seed=0))


def _snapshot(bimt):
    return {name: parameter.detach().clone() for name, parameter in bimt.parameters.items()}


def _same(bimt, snapshot):
    return all(
        torch.equal(parameter.detach().view(torch.int32), snapshot[name].view(torch.int32))
        for name, parameter in bimt.parameters.items()
    )


def _path_by_loops(bimt, threshold=0.0):
    """Whether networkx finds a path of weights above the threshold; wiring read entry by entry."""
    wiring, graph = bimt.wiring, nx.DiGraph()
    for stage in wiring.stages:
        graph.add_nodes_from((stage.name, i) for i in range(wiring.populations[stage.population].size))
    residual = sorted((s for s in wiring.stages if s.population == "residual"), key=lambda s: s.depth)
    for before, after in zip(residual, residual[1:], strict=False):
        for i in range(wiring.populations["residual"].size):
            graph.add_edge((before.name, i), (after.name, i))
    for connection in wiring.connections:
        for matrix in connection.flatten(bimt.parameters[connection.parameter].detach()).tolist():
            for i, row in enumerate(matrix):
                for j, weight in enumerate(row):
                    if abs(weight) > threshold:
                        graph.add_edge((connection.source.name, i), (connection.target.name, j))
    depths = [stage.depth for stage in wiring.stages]
    first = {s.name for s in wiring.stages if s.depth == min(depths)}
    last = {s.name for s in wiring.stages if s.depth == max(depths)}
    reached = {node for start in graph if start[0] in first for node in nx.descendants(graph, start)}
    return any(name in last for name, _ in reached)


def _strengths(bimt):
    return {c.parameter: bimt.parameters[c.parameter].detach().double().abs() for c in bimt.wiring.connections}


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("make", [lambda: BIMT(MLP([3, 4, 4, 2], seed=0)), _transformer], ids=["mlp", "transformer"])
def test_paths_agree_with_loops_on_sparse_models(make, seed):
    bimt = make()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in bimt.parameters.values():
            parameter.mul_(torch.rand(parameter.shape, generator=generator) < 0.06 + 0.012 * seed)
    widest = widest_path(bimt.wiring, _strengths(bimt))
    assert (widest > 0) == _path_by_loops(bimt)
    for threshold in (0.1, 0.3):
        assert (widest > threshold) == _path_by_loops(bimt, threshold)


def test_the_sparse_models_are_of_both_kinds():
    found = set()
    for seed in range(25):
        bimt = BIMT(MLP([3, 4, 4, 2], seed=0))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in bimt.parameters.values():
                parameter.mul_(torch.rand(parameter.shape, generator=generator) < 0.06 + 0.012 * seed)
        found.add(_path_by_loops(bimt))
    assert found == {True, False}


def test_prune_counts_evaluates_and_restores_bit_for_bit():
    bimt = _transformer()
    with torch.no_grad():
        bimt.parameters["embed.W_E"][0, 0] = -0.0
    before = _snapshot(bimt)
    thresholds = [0.0, 0.05, 0.2, 0.5, 5.0]
    seen = []

    def evaluate(model):
        assert not torch.is_grad_enabled()
        seen.append({name: parameter.clone() for name, parameter in model.named_parameters()})
        return torch.tensor(1.5)

    points = prune(bimt, evaluate, thresholds)
    assert _same(bimt, before)
    weights = {connection.parameter for connection in bimt.wiring.connections}
    for point, threshold, model in zip(points, thresholds, seen, strict=True):
        graph = connection_graph(bimt, residual="unrolled", threshold=threshold)
        on_path = live(graph)
        active = sum(u in on_path and v in on_path for u, v in graph.edges())
        for name, parameter in before.items():
            wanted = parameter.clone()
            if name in weights:
                wanted[parameter.abs() <= threshold] = 0.0
            assert torch.equal(model[name], wanted)
        assert point == (threshold, active, 1.5, threshold >= 0.5)
    assert points[0].active_weights == sum(before[name].numel() for name in weights) - 1


def test_active_weights_never_rise_over_the_default_thresholds():
    bimt = _transformer()
    x = torch.randn(16, 3, 2, generator=torch.Generator().manual_seed(0))
    wanted = bimt.model(x).detach()
    points = prune(bimt, lambda model: float((model(x) - wanted).square().mean()))
    assert [point.threshold for point in points] == list(THRESHOLDS)
    assert points[0].loss == 0
    assert all(a.active_weights >= b.active_weights for a, b in zip(points, points[1:], strict=False))
    assert all(a.severed <= b.severed for a, b in zip(points, points[1:], strict=False))
    assert points[-1].severed and not points[0].severed


def test_weights_come_back_after_an_exception_and_after_evaluate_meddled():
    bimt = _transformer()
    before = _snapshot(bimt)

    def fails(model):
        raise KeyboardInterrupt

    def meddles(model):
        model.embed.W_E.mul_(2)
        return 0.0

    with pytest.raises(KeyboardInterrupt):
        prune(bimt, fails, [0.3])
    assert _same(bimt, before)
    prune(bimt, meddles, [0.3])
    assert _same(bimt, before)
    with pytest.raises(InputError, match="evaluate must give a number"):
        prune(bimt, lambda model: None, [0.3])
    assert _same(bimt, before)


def test_cut_reports_what_it_did():
    bimt = _transformer()
    before = _snapshot(bimt)
    weights = {connection.parameter for connection in bimt.wiring.connections}
    report = cut_(bimt, 0.1)
    kept = sum(int((before[name].abs() > 0.1).sum()) for name in weights)
    assert report == (kept, sum(before[name].numel() for name in weights) - kept, False)
    for name, parameter in bimt.parameters.items():
        wanted = torch.where(before[name].abs() > 0.1, before[name], 0.0) if name in weights else before[name]
        assert torch.equal(parameter, wanted)
    assert cut_(bimt, 0.1) == (kept, 0, False)


def test_a_cut_that_severs_is_refused_unless_allowed():
    bimt = BIMT(MLP([2, 3, 1], seed=0))
    before = _snapshot(bimt)
    widest = widest_path(bimt.wiring, _strengths(bimt))
    with pytest.raises(InputError, match="leaves no path from 'input' to 'output'; give one below") as caught:
        cut_(bimt, widest)
    assert "\n" not in str(caught.value)
    assert _same(bimt, before)
    assert not cut_(bimt, math.nextafter(widest, 0)).severed
    report = cut_(bimt, 10.0, allow_severed=True)
    assert report.severed and report.kept == 0
    with pytest.raises(InputError, match="none as they are"):
        cut_(bimt, 0.0)
    assert prune(bimt, lambda model: 0.0, [0.0])[0].severed


def test_queries_and_keys_are_no_way_through():
    """Attention whose values are cut leaves the residual stream, and nothing else, as a path."""
    bimt = _transformer()
    with torch.no_grad():
        for name, parameter in bimt.parameters.items():
            if name in ("embed.W_E", "unembed.W_U", "blocks.0.attn.W_V", "blocks.0.mlp.W_in"):
                parameter.zero_()
        bimt.parameters["embed.W_E"][0, 1] = 1.0
        bimt.parameters["unembed.W_U"][2, 0] = 1.0
    assert widest_path(bimt.wiring, _strengths(bimt)) == 0
    with torch.no_grad():
        bimt.parameters["unembed.W_U"][1, 0] = 0.25
    assert widest_path(bimt.wiring, _strengths(bimt)) == 0.25


@pytest.mark.parametrize("threshold", [-0.1, math.nan, math.inf, "0.1"])
def test_thresholds_are_checked(threshold):
    bimt = _transformer()
    before = _snapshot(bimt)
    with pytest.raises(InputError, match="threshold must be"):
        cut_(bimt, threshold)
    with pytest.raises(InputError, match="threshold must be"):
        prune(bimt, lambda model: 0.0, [0.1, threshold])
    assert _same(bimt, before)


def test_no_threshold_and_nan_weights():
    bimt = _transformer()
    with pytest.raises(InputError, match="thresholds is empty"):
        prune(bimt, lambda model: 0.0, [])
    with torch.no_grad():
        bimt.parameters["embed.W_E"][0, 0] = math.nan
    with pytest.raises(InputError, match="'embed.W_E' holds NaN"):
        cut_(bimt, 0.1)


def test_severed_tells_a_cut_network():
    model = MLP([2, 3, 1], seed=0)
    bimt = BIMT(model)
    assert not severed(bimt)
    with torch.no_grad():
        model.layers[1].weight.zero_()
    assert severed(bimt)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_undefined_is_said_with_the_threshold(loss):
    bimt = _transformer()
    before = _snapshot(bimt)
    losses = iter([1.0, loss])
    with pytest.raises(InputError, match=f"evaluate gives {loss} at threshold 0.1") as caught:
        prune(bimt, lambda model: next(losses), [0.0, 0.1])
    assert _same(bimt, before) and "\n" not in str(caught.value)


def test_a_nonzero_weight_that_leads_nowhere_is_not_active():
    bimt = BIMT(MLP([1, 2, 1], seed=0))
    with torch.no_grad():
        bimt.model.layers[1].weight[0, 1] = 0.0
    (point,) = prune(bimt, lambda model: 0.0, [0.0])
    assert point.active_weights == 2
    assert json.loads(json.dumps(point.as_dict())) == point._asdict()
