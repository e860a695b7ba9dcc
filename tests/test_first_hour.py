"""docs/first-hour.md is run as it stands, in its order, with fewer steps; what it shows is what is printed."""

from __future__ import annotations

import contextlib
import io
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from bimt_tf.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "first-hour.md"
BLOCK = re.compile(
    r'(<!-- press Ctrl-C -->\n)?```(sh|python)(?: title="(.+?)")?\n(.*?)```\n(?:\n```text\n(.*?)```\n)?', re.DOTALL
)
FEWER = [
    ("--steps 3000", "--steps 600"),
    ("--steps 10000", "--steps 4000"),
    ("steps=3000", "steps=600"),
    ('"steps": 3_000', '"steps": 600'),
]


class Block(NamedTuple):
    """A block of the page: ``file`` is its name if it is a file to be written, ``shown`` the output below it."""

    interrupted: bool
    kind: str
    file: str
    code: str
    shown: str


def blocks() -> list[Block]:
    return [Block(bool(stop), *rest) for stop, *rest in BLOCK.findall(PAGE.read_text())]


def words(text: str) -> set[str]:
    """The words of an output. Numbers differ from machine to machine, and with the steps."""
    return set(re.findall(r"[A-Za-z_]{3,}", text))


def bimt(line: str) -> None:
    """A command of the page, in this process."""
    name, *arguments = line.split()
    assert name == "bimt", f"the page has a command that this test does not know: {line}"
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code in (0, None), line


def interrupted(line: str) -> str:
    """The output of a command to which Ctrl-C is sent once it logs steps."""
    command = [sys.executable, "-m", "bimt_tf.cli.main", *line.split()[1:]]
    seen: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for printed in process.stdout:
            if " step " in printed and not any(" step " in before for before in seen):
                process.send_signal(signal.SIGINT)
            seen.append(printed)
    assert process.returncode == 130, "".join(seen)
    return "".join(seen)


def output_of(block: Block) -> str:
    """Run a block; what it prints, on both streams."""
    code = block.code
    for old, new in FEWER:
        code = code.replace(old, new)
    if block.file:
        Path(block.file).write_text(code)
        return ""
    if block.interrupted:
        return interrupted(code)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        if block.kind == "python":
            exec(compile(code, PAGE.name, "exec"), {"__name__": "__main__"})
        else:
            for line in code.splitlines():
                bimt(line)
    return printed.getvalue()


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    install, *rest = blocks()
    assert install.code.splitlines()[-1] == "bimt --version"
    for block in [install._replace(code="bimt --version\n"), *rest]:
        missing = words(block.shown) - words(output_of(block))
        assert not missing, f"the page shows {sorted(missing)}, which is not printed by\n{block.code}"
    for made in ("network.png", "compare.png", "graph.json", "runs/own/summary.json"):
        assert (tmp_path / made).stat().st_size > 0


def test_the_page_holds_what_a_first_hour_needs():
    found = blocks()
    code = "".join(block.code for block in found)
    for command in ("train", "list", "show", "probe", "ablate", "compare", "export", "resume"):
        assert f"bimt {command}" in code
    for needed in ("bimt train my_task.py:TASK", "load_run(", "bimt_tf.train(", "model=network()"):
        assert needed in code
    assert all(block.shown or block.file for block in found)


def test_it_installs_as_the_readme_does():
    readme = (PAGE.parents[1] / "README.md").read_text()
    install = blocks()[0].code.splitlines()
    assert f"{install[0]} && {install[1].removesuffix(' .')}" in readme
