"""BIMT on a training loop of one's own: any nn.Module, here an nn.Sequential that learns x1 x4 + x2 x3."""

import argparse

import torch
from torch import nn

from bimt_tf import BIMT, Geometry

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=4_000)
options = parser.parse_args()

torch.manual_seed(0)
x = torch.rand(1000, 4) * 2 - 1
y = (x[:, 0] * x[:, 3] + x[:, 1] * x[:, 2])[:, None]
model = nn.Sequential(nn.Linear(4, 20), nn.SiLU(), nn.Linear(20, 20), nn.SiLU(), nn.Linear(20, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

bimt = BIMT(model, Geometry(width=1.0, layer_gap=0.1), reduction="sum")
for step in range(options.steps):
    loss = (model(x) - y).square().mean()
    optimizer.zero_grad()
    (loss + 1e-3 * bimt.cost()).backward()
    optimizer.step()
    if step % 200 == 199:
        report = bimt.swap()
        print(f"step {step + 1}: loss {loss.item():.4f}, cost {report.cost_before:.2f} -> {report.cost_after:.2f}")
bimt.bake_(optimizer)  # neurons into slot order; training may go on
