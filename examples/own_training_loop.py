"""BIMT on a training loop of one's own: any nn.Module, here an nn.Sequential that learns x1 x4 + x2 x3."""

import argparse

import torch
from torch import nn

from bimt_tf import BIMT, Geometry, attach, connection_graph, modularity

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=10_000)
options = parser.parse_args()

torch.manual_seed(0)
x = torch.rand(1000, 4) * 2 - 1
y = (x[:, 0] * x[:, 3] + x[:, 1] * x[:, 2])[:, None]
model = nn.Sequential(nn.Linear(4, 20), nn.SiLU(), nn.Linear(20, 20), nn.SiLU(), nn.Linear(20, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

bimt = BIMT(model, Geometry(width=1.0, layer_gap=0.1), reduction="sum")
attached = attach(bimt, optimizer, steps=options.steps, lam=((0.0, 1e-3), (0.25, 1e-2), (0.75, 1e-3)))
for step in range(options.steps):
    if attached.phase == "finish":  # the learning rate is the loop's own: here it falls to 0 at the end
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / options.steps) / 0.4
    loss = (model(x) - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()  # the hooks shrink weights, move neurons, and from the finish on keep zeros at zero
    if step % (options.steps // 10) == 0:
        print(f"step {step}, {attached.phase}: loss {loss.item():.2e}, cost {bimt.cost().item():.2f}")
attached.remove()

graph = connection_graph(bimt)
print(f"loss {loss.item():.1e}, {graph.number_of_edges()} weights, Q {modularity(graph):.2f}")
bimt.bake_(optimizer)  # neurons into slot order; training may go on
