"""Train a model of your own with BIMT: an nn.Sequential on tensors, here to learn x1 x4 + x2 x3."""

import argparse

import torch
from torch import nn

import bimt_tf

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=3_000)
given = parser.parse_args()

torch.manual_seed(0)
x = torch.rand(1000, 4) * 2 - 1
y = (x[:, 0] * x[:, 3] + x[:, 1] * x[:, 2])[:, None]
model = nn.Sequential(nn.Linear(4, 20), nn.SiLU(), nn.Linear(20, 20), nn.SiLU(), nn.Linear(20, 1))

trained = bimt_tf.train(
    model,
    (x, y),  # a fifth is held out; a Dataset or a DataLoader will do as well
    "squared",
    steps=given.steps,
    batch_size=100,
    lr=5e-3,
    lam="0:0.1,0.3:1,0.7:0.3",  # lambda over the steps before the finish phase
    width=1.0,
    layer_gap=0.1,
    log_every=500,
)
for record in trained.metrics:
    print(f"step {record['step']}: loss {record['loss']:.4f}, held out {record['test_loss']:.4f}")
print(trained)
print(f"Q {bimt_tf.modularity(bimt_tf.connection_graph(trained.bimt)):.2f}")
assert trained.model is model  # trained in place
