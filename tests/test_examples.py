import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from bimt_tf import RegressionTransformer

ROOT = Path(__file__).parent.parent


def run(script, *arguments, cwd):
    """Output of an example, run as a user runs it."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},  # threads that wait for each other are slow on busy cores
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def length(script):
    """Lines of an example."""
    return len((ROOT / "examples" / script).read_text().splitlines())


def test_train_in_context(tmp_path):
    out = run("train_in_context.py", *"--steps 300 --d-model 12 --heads 4 --out n.png".split(), cwd=tmp_path)
    assert "best pair" in out and (tmp_path / "n.png").stat().st_size > 10_000
    assert length("train_in_context.py") <= 80


def test_own_training_loop(tmp_path):
    out = run("own_training_loop.py", "--steps", "2000", cwd=tmp_path)
    losses = [float(found) for found in re.findall(r"loss ([\d.e-]+)", out)]
    assert losses[-1] < 0.02 and "finish" in out
    (weights,) = re.findall(r"(\d+) weights", out)
    assert int(weights) < 200
    assert length("own_training_loop.py") <= 35


def test_hugging_face_model(tmp_path):
    out = run("hugging_face_model.py", "--steps", "200", "--out", "g", cwd=tmp_path)
    costs = re.findall(r"cost ([\d.]+) -> ([\d.]+)", out)
    assert len(costs) == 2 and float(costs[0][1]) < float(costs[0][0])
    assert float(out.split()[-1]) < 1e-4
    assert (tmp_path / "g" / "model.safetensors").is_file()


def test_train_own_model(tmp_path):
    out = run("train_own_model.py", "--steps", "1500", cwd=tmp_path)
    losses = [float(found) for found in re.findall(r"held out ([\d.]+)", out)]
    assert losses[-1] < 0.01 and "TrainedModel(Sequential by bimt" in out
    assert length("train_own_model.py") < 45


def test_first_look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "examples" / "first_look.ipynb").read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)  # what is committed holds no machine's paths
    names, shown = {}, []
    for cell in cells:
        tree = ast.parse("".join(cell["source"]).replace("steps=3000", "steps=400"))
        last = tree.body.pop()
        exec(compile(tree, "first_look.ipynb", "exec"), names)
        shown.append(eval(compile(ast.Expression(last.value), "first_look.ipynb", "eval"), names))
    trained, run, printed, network, curves, probed, runs = shown
    assert "TrainedModel(MLP by bimt" in repr(trained) and printed is None
    assert "first-look" in run._repr_html_() and "target shuffled" in probed._repr_html_()
    assert network.axes and curves.axes and len(runs) == 1


def readme_block(words):
    """The Python block of the README that has these words."""
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL) if words in b]
    return code


def test_readme_loop_of_your_own():
    exec(compile(readme_block("10_000").replace("10_000", "250"), "README.md", "exec"), {})


def test_readme_train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = torch.rand(50, 3, 2)
    names = {"model": RegressionTransformer(d_model=8, n_heads=2), "x": x, "y": x, "x_test": x, "y_test": x}
    exec(compile(readme_block("bimt_tf.train").replace("3000", "20"), "README.md", "exec"), names)
    assert names["run"].state == "finished"
