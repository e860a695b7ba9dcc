"""The tree itself: git must know every file of the package."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def git(*words: str, given: str = "") -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, input=given, capture_output=True, text=True, check=False)
    if "not a git repository" in done.stderr:
        pytest.skip(f"not a git checkout: {done.stderr.strip()}")
    return done.stdout.split("\0")[:-1]


def test_git_ignores_no_file_of_the_package():
    """A pattern such as ``runs/`` in .gitignore would swallow bimt_tf/runs."""
    ignored = git("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "bimt_tf", "tests", "docs")
    assert [path for path in ignored if not path.endswith(".pyc") and "cache" not in path] == []


@pytest.mark.parametrize("room", ["runs", "sweeps", "pool", "config", "core"])
def test_git_would_track_a_new_file_of_a_room(room):
    paths = f"bimt_tf/{room}/new_file.py\0runs/some-run/config.yaml\0"
    assert git("check-ignore", "-z", "--no-index", "--stdin", given=paths) == ["runs/some-run/config.yaml"]
