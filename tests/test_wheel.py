"""The wheel holds the package and nothing else, and the main job runs from it without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("bimt_tf", "tests", "benchmarks", "examples", "docs", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy of the repository, for a build leaves files beside the sources."""
    pytest.importorskip("build", reason="the builder comes with the dev extra")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("out")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, source / part)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = out.glob("*.whl")
    return found


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    here = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bimt_tf").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == here
    assert "bimt_tf/py.typed" in names


def test_the_wheel_has_the_licence_and_the_command(wheel):
    archive = zipfile.ZipFile(wheel)
    info = {name.split("/", 1)[1]: name for name in archive.namelist() if ".dist-info/" in name}
    assert "licenses/LICENSE" in info
    assert "bimt = bimt_tf.cli.main:main" in archive.read(info["entry_points.txt"]).decode()


def test_the_main_job_runs_from_the_wheel_alone(wheel, tmp_path):
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    code = (
        "import sys, bimt_tf; assert bimt_tf.__file__.startswith(sys.argv[1]), bimt_tf.__file__\n"
        "from bimt_tf.cli.main import main\n"
        "main('train in-context --steps 20 --compile no --d-model 8 --d-mlp 16 --out run'.split())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(place)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1"},  # waiting threads are slow on busy cores
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "model.safetensors").exists() and (tmp_path / "run" / "figures" / "network.png").exists()
