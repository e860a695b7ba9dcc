"""Make docs/gallery.md and its pictures: ``python docs/scripts/gallery.py --runs runs/reproduce --heads4 runs/heads4``.

The pictures are made by the very lines that stand on the page. ``--runs`` holds the runs of ``bimt reproduce table1``,
``--heads4`` those of the sweep that the page names. ``--only NAME ...`` draws some again, ``--page`` writes the text
alone.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PAGE, PICTURES = ROOT / "docs" / "gallery.md", ROOT / "docs" / "gallery"
RUNS, HEADS4 = "runs/reproduce", "runs/heads4"  # where the page says that runs are
LARGEST, WIDEST = 150_000, 1_100  # bytes and pixels of a picture
COLOURS = (256, 96, 96, 96, 64, 64, 64)  # of a picture, one after another until it is small enough


class Picture(NamedTuple):
    """A picture: the file's name, a heading, what there is to see, and the lines of Python that give the Figure."""

    name: str
    title: str
    text: str
    code: str


PRUNED = """
with torch.no_grad():  # the largest {share:.0%} of each matrix, of these what is on a path from input to output
    for weights in (p for p in model.parameters() if p.ndim > 1):
        weights[weights.abs() < weights.abs().flatten().quantile(1 - {share})] = 0.0
    bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5))
    for name, mask in active_masks(bimt, 0.0).items():
        bimt.parameters[name].mul_(mask)
bimt.swap()
network_figure(bimt, title="{title}")"""

SHAPED = """import torch
from bimt_tf import BIMT, Geometry, RegressionTransformer
from bimt_tf.analysis.active import active_masks
from bimt_tf.figures.network import network_figure

model = RegressionTransformer(d_model={d}, n_layers={layers}, n_heads={heads}, d_mlp={mlp}, seed=100)"""


def shaped(layers: int, heads: int, d: int, mlp: int, share: float) -> str:
    """The lines that draw an untrained network of a shape, most of whose weights are cut."""
    title = f"{layers} block{'s' * (layers > 1)}, {heads} heads: untrained, {share:.0%} of the weights"
    model = SHAPED.format(layers=layers, heads=heads, d=d, mlp=mlp)
    return model + PRUNED.format(share=share, title=title)


def figure_of(run: str, name: str) -> str:
    """The lines that draw a figure of a run."""
    return f'run = bimt_tf.load_run("{run}")\nrun.figure("{name}")'


LANGUAGE_MODEL = """import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge
from bimt_tf import BIMT, Geometry
from bimt_tf.analysis.active import active_masks
from bimt_tf.figures.network import network_figure

torch.manual_seed(100)
config = TransformerBridgeConfig(
    d_model=48,
    d_head=12,
    n_heads=4,
    n_layers=2,
    n_ctx=16,
    d_vocab=65,
    d_mlp=96,
    act_fn="gelu",
    normalization_type="LN",
)
model = TransformerBridge.boot_native(config)""" + PRUNED.format(
    share=0.04, title="65 tokens, 16 positions: untrained, 4% of the weights"
)

GALLERY = (
    Picture(
        "one-head",
        "A transformer with one head",
        "In-context regression after its elimination: the first value at the bottom, y = w x at the top.",
        figure_of(f"{RUNS}/in-context/bimt-seed0", "network"),
    ),
    Picture(
        "two-heads", "One block, two heads", "An untrained network, to show the shape.", shaped(1, 2, 16, 32, 0.12)
    ),
    Picture(
        "four-heads",
        "Four heads",
        "Each head is a box; no neuron leaves its head, and heads change places as a whole. "
        "The runs: `bimt sweep in-context --n-heads 4 --seeds 0-4 --out runs/heads4`.",
        figure_of(f"{HEADS4}/bimt-seed0", "network"),
    ),
    Picture("three-blocks", "Three blocks, four heads", "An untrained network.", shaped(3, 4, 16, 32, 0.1)),
    Picture(
        "eight-heads",
        "Four blocks, eight heads",
        "A network of many rows stands in two columns.",
        shaped(4, 8, 32, 64, 0.04),
    ),
    Picture(
        "dense",
        "A dense network",
        "Trained without any penalty. Shading is |w| by neighbouring slots; of the 600 "
        "lines, the strongest between two rows keep all their ink.",
        figure_of(f"{RUNS}/in-context/vanilla-seed0", "network"),
    ),
    Picture(
        "mlp",
        "An MLP",
        "Two independent formulas, side by side.",
        figure_of(f"{RUNS}/symbolic-a/bimt-seed0", "network"),
    ),
    Picture(
        "tokens",
        "Folded tokens",
        "Modular addition: both tokens read the same embedding, so they are two rows that share their slots.",
        figure_of(f"{RUNS}/modular-addition/bimt-seed0", "network"),
    ),
    Picture(
        "images",
        "Images",
        "Digits: pixels and hidden neurons stand on grids, drawn in an oblique projection; the outputs on a ring.",
        figure_of(f"{RUNS}/digits/bimt-seed0", "network"),
    ),
    Picture(
        "language-model",
        "A language model",
        "Vocabulary and positions have no coordinates: cells, shaded by their size.",
        LANGUAGE_MODEL,
    ),
    Picture(
        "highlight",
        "What is pointed out",
        "Two neurons and a wire of the network above are ringed; the others fade.",
        "from bimt_tf.figures.network import network_figure\n\n"
        f'run = bimt_tf.load_run("{RUNS}/symbolic-a/bimt-seed0")\n'
        "graph = bimt_tf.connection_graph(run.bimt, threshold=run.threshold)\n"
        'wire = next(edge for edge in graph.edges if edge[0][0] == "hidden0")\n'
        "network_figure(run.bimt, threshold=run.threshold, highlight=[wire])",
    ),
    Picture(
        "connectivity",
        "The matrices, before and after",
        "Every matrix twice: its neurons in the order of their slots at "
        "the start, and now. Neurons without any weight are left out.",
        figure_of(f"{HEADS4}/bimt-seed0", "connectivity"),
    ),
    Picture(
        "connectivity-mlp",
        "The matrices of an MLP",
        "Modular addition: what was scattered lies along the diagonal.",
        figure_of(f"{RUNS}/modular-addition/bimt-seed0", "connectivity"),
    ),
    Picture(
        "curves",
        "Training",
        "Losses, connection cost and active weights, and the schedules.",
        figure_of(f"{RUNS}/in-context/bimt-seed0", "curves"),
    ),
    Picture(
        "elimination",
        "Elimination",
        "Each point is a network that was kept.",
        figure_of(f"{RUNS}/in-context/bimt-seed0", "elimination"),
    ),
    Picture(
        "prediction",
        "Predictions",
        "Held-out examples, the network's answer against the true one.",
        figure_of(f"{RUNS}/in-context/bimt-seed0", "prediction"),
    ),
    Picture(
        "confusion",
        "Confusions",
        "The same where the answers are classes.",
        figure_of(f"{RUNS}/digits/bimt-seed0", "confusion"),
    ),
    Picture(
        "best-pair",
        "Two neurons and a quantity",
        "How many other pairs tell as much, and what the inputs alone tell, is in the title.",
        figure_of(f"{RUNS}/in-context/bimt-seed0", "best_pair"),
    ),
    Picture(
        "probe-map",
        "Where w can be read",
        "By hook and token, with the gains over inputs, the stage before, and an "
        "untrained network. On the command line: `bimt probe-map DIR --target w --figure w.png`.",
        f'run = bimt_tf.load_run("{RUNS}/in-context/bimt-seed0")\nbimt_tf.probe_map_figure(run.probe_map("w"))',
    ),
    Picture(
        "modules",
        "Modules",
        "In colours, with what each does to the loss. On the command line: `bimt modules DIR --figure modules.png`.",
        f'run = bimt_tf.load_run("{RUNS}/modular-addition/bimt-seed0")\nrun.modules_figure(run.modules(draws=20))',
    ),
    Picture(
        "rings",
        "Rings",
        "Modular addition: embeddings along the directions of their frequencies. On the command line: "
        "`bimt group DIR --figures`.",
        f'run = bimt_tf.load_run("{RUNS}/modular-addition/bimt-seed0")\nrun.group_figures(run.group())["rings"]',
    ),
    Picture(
        "cayley",
        "Cayley graphs",
        "The group S4: elements joined by what generators do to them, coloured by the neurons of the embedding.",
        f'run = bimt_tf.load_run("{RUNS}/s4/bimt-seed0")\nrun.group_figures(run.group())["cayley"]',
    ),
    Picture(
        "aligned",
        "Networks of several seeds in one order",
        "Every neuron stands where its partner stands in the "
        "reference. On the command line: `bimt align DIR DIR DIR --figure aligned.png`.",
        "from bimt_tf.runs.aligned_figure import figure_of\n\n"
        f'runs = [bimt_tf.load_run(f"{RUNS}/symbolic-b/bimt-seed{{seed}}") for seed in range(3)]\n'
        "figure_of(bimt_tf.align(runs), runs)",
    ),
    Picture(
        "compare",
        "Networks side by side",
        "Without a penalty, with L1, and with BIMT and elimination. On the command "
        "line: `bimt compare DIR DIR DIR --figure compare.png`.",
        "from bimt_tf.runs.compare import compare_runs\n\n"
        f'compare_runs([f"{RUNS}/in-context/{{method}}-seed0" for method in ("vanilla", "l1", "bimt")]).figure()',
    ),
)

ELSEWHERE = """## Figures of the paper, and the frontier

`bimt reproduce fig2` compares five ways to train, `bimt reproduce figA1` prunes what they leave, `bimt reproduce figA5`
starts from noise, and `bimt reproduce frontier` draws loss against weights for every method:

![Loss against weights left, by method](results/frontier.png)

![Five ways to train](results/fig2.png)
"""


def page() -> str:
    """The page as Markdown."""
    head = (
        "<!-- made by docs/scripts/gallery.py -->\n\n# Gallery\n\n"
        "Each picture stands with the lines that make it, after `import bimt_tf`. The runs are those of\n"
        "`bimt reproduce table1`, seed 0 unless said; any run will do. In a notebook the last line shows the\n"
        'figure; elsewhere `.savefig("picture.png")` (or `.pdf`, `.svg`) writes it. A run has its own figures in\n'
        "`figures/` after `bimt train`.\n"
    )
    parts = [
        f"## {one.title}\n\n{one.text}\n\n```python\n{one.code}\n```\n\n![{one.title}](gallery/{one.name}.png)\n"
        for one in GALLERY
    ]
    return "\n".join([head, *parts, ELSEWHERE])


def drawn(picture: Picture, runs: str, heads4: str) -> Any:
    """The Figure that a picture's lines give, of runs that are in these folders."""
    tree = ast.parse(f"import bimt_tf\n{picture.code}".replace(RUNS, runs).replace(HEADS4, heads4))
    last = tree.body.pop()
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(tree, picture.name, "exec"), names)
    return eval(compile(ast.Expression(last.value), picture.name, "eval"), names)


def image_of(figure: Any) -> bytes:
    """A Figure as a small PNG: at most WIDEST pixels wide, and of as many colours as LARGEST bytes allow."""
    from PIL import Image

    full = io.BytesIO()
    figure.savefig(full, format="png", dpi=min(110, WIDEST / figure.get_size_inches()[0]))
    image = Image.open(full).convert("RGB")
    for colours in COLOURS:
        small = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
        if small.tell() <= LARGEST:
            break
        image = image.resize((image.width * 9 // 10, image.height * 9 // 10), Image.Resampling.LANCZOS)
    return small.getvalue()


def main() -> None:
    """Draw what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default=RUNS)
    parser.add_argument("--heads4", default=HEADS4)
    parser.add_argument("--only", nargs="*", default=[one.name for one in GALLERY])
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path.insert(0, str(ROOT))
    PICTURES.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    for picture in GALLERY if not given.page else ():
        if picture.name in given.only:
            (PICTURES / f"{picture.name}.png").write_bytes(image_of(drawn(picture, given.runs, given.heads4)))


if __name__ == "__main__":
    main()
