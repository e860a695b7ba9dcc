"""The effects of single weights against slow references that compute the network anew."""

import json

import networkx as nx
import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry, RegressionTransformer, TokenMLP, connection_graph
from bimt_tf.analysis.edge_effects import edge_effects, put_on
from bimt_tf.analysis.moves import Line
from bimt_tf.errors import InputError


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loss(outputs):
    return float(outputs.square().mean())


def sparse(model, share, seed=0):
    """The model with most weights at 0, as an elimination leaves it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed.weight" not in name:
                parameter.mul_(torch.rand(parameter.shape, generator=generator) < share)
    return BIMT(model, Geometry())


@pytest.fixture
def transformer():
    model = RegressionTransformer(d_model=5, n_layers=2, n_heads=2, d_head=2, d_mlp=4, seed=1, dtype=torch.float64)
    return sparse(model, 0.5)


def forward(model, x, other=None, edge=None):
    """A transformer written out; the weight ``edge`` = (parameter, place) reads what stands in ``other`` instead."""
    seen = {}

    def apply(name, weight, value, spell):
        seen[name] = value
        found = torch.einsum(spell, value, weight)
        if edge is not None and edge[0] == name:
            alone = torch.zeros_like(weight)
            alone[edge[1]] = weight[edge[1]]
            found = found + torch.einsum(spell, other[name] - value, alone)
        return found

    residual = apply("embed.W_E", model.embed.W_E, x, "npi,im->npm") + model.embed.b_E
    for i, block in enumerate(model.blocks):
        attn, name = block.attn, f"blocks.{i}"
        q, k, v = (
            apply(f"{name}.attn.W_{x}", getattr(attn, f"W_{x}"), residual, "npm,hme->nphe") + getattr(attn, f"b_{x}")
            for x in "QKV"
        )
        scores = torch.einsum("nqhe,nkhe->nhqk", q, k) / attn.scale
        n = x.shape[1]
        pattern = scores.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)
        z = torch.einsum("nhqk,nkhe->nqhe", pattern, v)
        residual = residual + apply(f"{name}.attn.W_O", attn.W_O, z, "nphe,hem->npm") + attn.b_O
        hidden = apply(f"{name}.mlp.W_in", block.mlp.W_in, residual, "npm,mf->npf") + block.mlp.b_in
        hidden = block.mlp.act_fn(hidden)
        residual = residual + apply(f"{name}.mlp.W_out", block.mlp.W_out, hidden, "npf,fm->npm") + block.mlp.b_out
    return apply("unembed.W_U", model.unembed.W_U, residual, "npm,mo->npo") + model.unembed.b_U, seen


def test_a_transformer_against_a_network_written_out(transformer):
    model = transformer.model
    x, a, b = rand(9, 3, 2), rand(11, 3, 2, seed=1), rand(11, 3, 2, seed=2)

    def read(outputs):
        return outputs[:, 2, 0]

    found = edge_effects(transformer, x, loss, (a, b, None), read=read)
    assert {edge.parameter for edge in found.edges} == {c.parameter for c in transformer.wiring.connections}
    with torch.no_grad():
        assert found.before == loss(model(x))
        (of_b, seen_b), (of_a, _) = forward(model, b), forward(model, a)
        assert torch.allclose(of_a, model(a))
        line = Line(read(of_a), read(of_b))
        for edge in found.edges:
            wanted = line.move(read(forward(model, a, seen_b, (edge.parameter, edge.place))[0])).slope
            assert edge.interchange == pytest.approx(wanted, abs=1e-12), edge
            parameter = transformer.parameters[edge.parameter]
            kept = parameter[edge.place].clone()
            assert edge.weight == float(kept) != 0
            parameter[edge.place] = 0
            assert edge.knock_out == pytest.approx(loss(model(x)) - found.before, abs=1e-14)
            parameter[edge.place] = kept
    assert sum(edge.interchange != 0 for edge in found.edges) > 20
    sizes = [abs(edge.knock_out) for edge in found.edges]
    assert sizes == sorted(sizes, reverse=True)


def test_every_active_weight_stands_in_the_graph(transformer):
    found = edge_effects(transformer, rand(9, 3, 2), loss)
    assert len(found.edges) == len({(edge.parameter, edge.place) for edge in found.edges})
    assert all(edge.interchange is None for edge in found.edges)
    from bimt_tf.analysis.active import active_weights

    assert len(found.edges) == active_weights(transformer, 0.0)
    for residual in ("shared", "unrolled"):
        graph = connection_graph(transformer, residual=residual)
        put_on(graph, found, transformer.wiring)
        marked = [data for *_, data in graph.edges(data=True) if "knock_out" in data]
        assert len(marked) == len(found.edges)
    edge = found.edges[0]
    data = graph.edges[edge.source, edge.target]
    assert data["knock_out"] == edge.knock_out and data["weight"] == abs(edge.weight)
    assert "interchange" not in data
    assert nx.generate_graphml(graph)
    other = connection_graph(sparse(RegressionTransformer(d_model=5, d_head=2, n_heads=2, d_mlp=4), 0.1, seed=9))
    with pytest.raises(InputError, match="another network"):
        put_on(other, found, transformer.wiring)


def test_of_a_linear_network_the_edges_of_a_layer_add_up():
    """Where all is linear, what the edges of one layer carry adds up to the whole way."""
    model = MLP([3, 6, 5, 1], act_fn="identity", seed=2, dtype=torch.float64)
    bimt = sparse(model, 0.7)
    a, b = rand(20, 3), rand(20, 3, seed=3)
    found = edge_effects(bimt, a, loss, (a, b, None))
    for layer in range(3):
        slopes = [edge.interchange for edge in found.edges if edge.parameter == f"layers.{layer}.weight"]
        assert sum(slopes) == pytest.approx(1)


def test_a_folded_embedding_reads_its_own_token():
    model = TokenMLP(7, 3, 2, [4, 7], act_fn="silu", seed=0, dtype=torch.float64)
    bimt = sparse(model, 0.6)
    tokens = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    a, b = tokens, tokens.clone()
    b[:, 1] = (b[:, 1] + 3) % 7  # the second token alone is another
    found = edge_effects(bimt, tokens, loss, (a, b, None))
    first = [edge for edge in found.edges if edge.parameter == "layers.0.weight"]
    assert {edge.copy for edge in first} == {0, 1}
    assert all((edge.interchange == 0) == (edge.copy == 0) for edge in first)
    for edge in first:
        assert edge.place == (edge.target[1], 3 * edge.copy + edge.source[1])
        if edge.copy == 1:
            weight = edge.weight
            with torch.no_grad():
                pre = model.layers[0].bias + model.embed(a).flatten(1) @ model.layers[0].weight.T
                source = model.embed.weight[:, edge.source[1]]
                pre[:, edge.target[1]] += weight * (source[b[:, 1]] - source[a[:, 1]])
                after = model.layers[1](torch.nn.functional.silu(pre))
                wanted = Line(model(a), model(b)).move(after).slope
            assert edge.interchange == pytest.approx(wanted)
    graph = connection_graph(bimt)
    put_on(graph, found, bimt.wiring)
    edge = max(first, key=lambda one: abs(one.knock_out))
    assert (
        graph.edges[(edge.source[0], edge.source[1]), (edge.target[0], edge.target[1])]["knock_out"] == edge.knock_out
    )


def test_weights_hooks_and_modes_are_put_back(transformer):
    model = transformer.model
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, a, b = rand(9, 3, 2), rand(11, 3, 2, seed=1), rand(11, 3, 2, seed=2)
    edge_effects(transformer, x, loss, (a, b, None))
    calls = []

    def fails(outputs):
        calls.append(1)
        if len(calls) == 7:
            raise RuntimeError("stop")
        return loss(outputs) if calls[-1] else 0.0

    with pytest.raises(RuntimeError, match="stop"):
        edge_effects(transformer, x, fails, (a, b, None))
    calls.clear()

    def read(outputs):
        fails(outputs)
        return outputs

    with pytest.raises(RuntimeError, match="stop"):
        edge_effects(transformer, x, loss, (a, b, None), read=read)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(not point.fwd_hooks and not point._forward_hooks for point in model.hook_dict.values())
    assert all(module.training for module in model.modules())


def test_classes_and_any_model_for_knock_outs():
    plain = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    bimt, x = BIMT(plain, Geometry()), torch.rand(8, 2)
    found = edge_effects(bimt, x, loss)
    assert len(found.edges) == 9 and json.loads(json.dumps(found.as_dict()))["edges"][0]["place"]
    assert "9 weights" in repr(found)
    with pytest.raises(InputError, match="MLP, TokenMLP and RegressionTransformer, found a Sequential"):
        edge_effects(bimt, x, loss, (x, x.flip(0), None))


def test_mistakes(transformer):
    x = rand(9, 3, 2)
    for call, message in (
        (lambda: edge_effects(transformer.model, x, loss), "bimt must be a BIMT"),
        (lambda: edge_effects(transformer, x, lambda outputs: float("nan")), "metric gives nan of the whole network"),
        (lambda: edge_effects(transformer, x[:0], loss), "no example"),
        (lambda: edge_effects(transformer, x, loss, (x, x[:3], None)), "source must have the shape"),
        (lambda: edge_effects(transformer, x, loss, threshold=-1), "threshold"),
    ):
        with pytest.raises(InputError, match=message):
            call()
