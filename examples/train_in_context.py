"""Train the paper's in-context regression transformer with BIMT, look for w, and draw the network.

    python examples/train_in_context.py [--steps 40000] [--d-model 32] [--heads 1] [--seed 0] [--out FILE]

The same as ``bimt train in-context`` in outline, spelled with the library's parts.
"""

import argparse

import torch
from rich.progress import track

from bimt_tf import BIMT, Geometry, RegressionTransformer, connection_graph, modularity, probe
from bimt_tf.figures.network import network_figure

SHARE_PRESSED = 0.8  # of the steps under the penalty; the rest finishes without it
LAMBDAS = (0.001, 0.01, 0.1, 0.3)  # a quarter of the pressed steps each
CUT = 1e-3


def sequences(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens [0, x1], [y1, 0], [0, x] with y = w x; gives (tokens [n, 3, 2], y at the last token, w)."""
    w = torch.rand(n, generator=generator) * 2 - 1
    x = torch.rand(n, 2, generator=generator) * 2 + 1
    tokens = torch.zeros(n, 3, 2)
    tokens[:, 0, 1], tokens[:, 1, 0], tokens[:, 2, 1] = x[:, 0], w * x[:, 0], x[:, 1]
    return tokens, w * x[:, 1], w


def main() -> None:
    """Train, probe, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40_000)
    parser.add_argument("--d-model", type=int, default=32)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="network.png")
    options = parser.parse_args()

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(options.seed)
    tokens, y, _ = sequences(8_000, generator)
    test_tokens, test_y, test_w = sequences(2_000, generator)

    model = RegressionTransformer(d_model=options.d_model, n_heads=options.heads, seed=options.seed)
    bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5), reduction="mean")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    pressed = round(SHARE_PRESSED * options.steps)
    finish = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps - pressed)
    zeros = {}
    for step in track(range(options.steps), "training"):
        if step == pressed:
            bimt.swap()
            zeros = {p: p.detach().abs() <= CUT for p in model.parameters()}
        chosen = torch.randint(len(tokens), (64,), generator=generator)
        loss = (model(tokens[chosen])[:, -1, 0] - y[chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step < pressed:
            bimt.shrink_(LAMBDAS[len(LAMBDAS) * step // pressed], optimizer)  # exact zeros
            if step % 200 == 199:
                bimt.swap()
        else:
            finish.step()
            with torch.no_grad():
                for parameter, zero in zeros.items():
                    parameter.masked_fill_(zero, 0)

    with torch.no_grad():
        print(f"test loss {(model(test_tokens)[:, -1, 0] - test_y).square().mean():.2e}")
    print(f"modularity {modularity(connection_graph(bimt)):.3f}")
    print("best pair:", probe(model, "blocks.0.hook_resid_post", test_w, 1, inputs=test_tokens).best_pair)
    network_figure(bimt).savefig(options.out, dpi=200)
    print(f"figure: {options.out}")


if __name__ == "__main__":
    main()
