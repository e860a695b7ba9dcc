import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
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


def script(name):
    """A module of docs/scripts/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebooks = script("notebooks")


def outputs(notebook):
    """The outputs of a notebook's cells, as text."""
    found = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return json.dumps([{**each.get("data", {}), "image/png": "", "text": each.get("text", "")} for each in found])


def test_every_notebook_is_known():
    assert {path.stem for path in (ROOT / "examples").glob("*.ipynb")} == set(notebooks.NOTEBOOKS)


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_a_notebook_runs_in_quick_mode(name, tmp_path):
    environment = {**os.environ, "BIMT_QUICK": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); import notebooks as n\n"
        "json.dump(n.executed(n.read(sys.argv[2]), sys.argv[2]), open('done.json', 'w'))"
    )
    command = [sys.executable, "-c", code, str(ROOT / "docs" / "scripts"), name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    made, kept = json.loads((tmp_path / "done.json").read_text()), notebooks.read(name)
    for cell, there in zip(made["cells"], kept["cells"], strict=True):
        assert cell["source"] == there["source"]
        if name != "paper_in_pictures":  # of which the quick mode makes one picture alone
            kinds = [sorted({*each.get("data", {}), each["output_type"]}) for each in cell.get("outputs", ())]
            assert kinds == [sorted({*e.get("data", {}), e["output_type"]}) for e in there.get("outputs", ())]


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_a_notebook_keeps_the_outputs_of_its_code_and_no_path_of_a_machine(name):
    notebook, path = notebooks.read(name), ROOT / "examples" / f"{name}.ipynb"
    remedy = f"python docs/scripts/notebooks.py --run {name}"
    assert notebook["metadata"].get("outputs_of") == notebooks.fingerprint(notebook), remedy
    assert path.stat().st_size < 1_000_000
    said = outputs(notebook)
    assert not re.findall(r"(?<![\w.])/(?:work|tmp|home|root|Users|usr)/", said) and str(Path.home()) not in said
    assert not [each for cell in notebook["cells"] for each in cell.get("outputs", ()) if each.get("name") == "stderr"]


@pytest.mark.parametrize("name", notebooks.NOTEBOOKS)
def test_the_page_of_a_notebook_is_of_its_present_text_and_outputs(name):
    text, pictures = notebooks.page_of(notebooks.read(name), name)
    remedy = f"run: python docs/scripts/notebooks.py {name}"
    assert (notebooks.PAGES / f"{name}.md").read_text(encoding="utf-8") == text, remedy
    found = {path.name: path.read_bytes() for path in notebooks.PAGES.glob(f"{name}-*.png")}
    assert found == pictures and pictures, remedy


def test_a_cell_shows_what_it_prints_and_its_last_value():
    names = {}
    source = "%matplotlib inline\nprint('a')\nfrom matplotlib.figure import Figure\nf = Figure(figsize=(1, 1))\nf"
    printed, value = notebooks.run_cell(source, names, "a cell", 3)
    assert printed["text"] == ["a\n"] and value["data"]["image/png"].startswith("iVBOR")
    assert notebooks.run_cell("x = 1", names, "a cell", 4) == notebooks.run_cell("None", names, "a cell", 5) == []
    with pytest.raises(ZeroDivisionError):
        notebooks.run_cell("1 / 0", names, "a cell", 6)


gallery = script("gallery")


def test_the_gallery_is_of_its_script_and_small():
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page(), "run: python docs/scripts/gallery.py --page"
    sizes = {path.stem: path.stat().st_size for path in gallery.PICTURES.glob("*.png")}
    assert sizes.keys() == {picture.name for picture in gallery.GALLERY}
    assert max(sizes.values()) <= gallery.LARGEST and sum(sizes.values()) <= 3_000_000


def test_the_lines_of_the_gallery_that_need_no_run_draw_what_they_say():
    (picture,) = [one for one in gallery.GALLERY if one.name == "two-heads"]
    figure = gallery.drawn(picture, "", "")
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any("untrained" in text.get_text() for text in figure.texts) and "head 1" in words
    assert len(gallery.image_of(figure)) <= gallery.LARGEST


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
