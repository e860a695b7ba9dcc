"""Run the notebooks of examples/ and render them as pages: ``python docs/scripts/notebooks.py [--run] [NAME ...]``.

``--run`` executes the notebooks, each in a folder of its own, and keeps their outputs in them; without it the pages of
docs/notebooks are made from the outputs that are there. Cells are run as a notebook program runs them: the value of
the last line is shown, a Figure as a picture (``%matplotlib inline``), what prints as text.
"""

from __future__ import annotations

import argparse
import ast
import base64
import hashlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLES, PAGES = ROOT / "examples", ROOT / "docs" / "notebooks"
NOTEBOOKS = ("first_look", "own_transformer_lens_model", "is_it_causal", "paper_in_pictures")
DPI, COLOURS = 90, 128  # of a picture


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def fingerprint(notebook: dict[str, Any]) -> str:
    """What tells the code of a notebook from any other; kept with its outputs, so that those of older code are seen.

    Comments, docstrings of one line and spaces do not count: they change no output.
    """
    code = "\n".join(source_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "code")
    lines = [line for line in map(str.strip, code.splitlines()) if not line.startswith(("#", '"""'))]
    return hashlib.sha256(re.sub(r"\s+", "", "".join(lines)).encode()).hexdigest()[:16]


def executed(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The notebook with the outputs of its cells, run in the present folder."""
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = run_cell(source_of(cell), names, f"{name}, cell {count}", count)
    notebook["metadata"]["outputs_of"] = fingerprint(notebook)
    return notebook


def run_cell(source: str, names: dict[str, Any], where: str, count: int) -> list[dict[str, Any]]:
    """What a cell prints, and the value of its last line."""
    code = "\n".join("" if line.startswith("%") else line for line in source.splitlines())
    tree, last = ast.parse(code), None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = tree.body.pop()
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(tree, where, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if value is not None:
        data = {kind: content if kind == "image/png" else content.splitlines(keepends=True)
                for kind, content in data_of(value).items()}  # fmt: skip
        outputs.append({"output_type": "execute_result", "execution_count": count, "data": data, "metadata": {}})
    return outputs


def data_of(value: Any) -> dict[str, str]:
    """A value in the forms that a notebook keeps."""
    from matplotlib.figure import Figure

    if isinstance(value, Figure):
        from PIL import Image

        full, image = io.BytesIO(), io.BytesIO()
        value.savefig(full, format="png", dpi=DPI)
        Image.open(full).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(image, "png", optimize=True)
        width, height = (round(side * DPI) for side in value.get_size_inches())
        return {
            "image/png": base64.b64encode(image.getvalue()).decode(),
            "text/plain": f"<Figure size {width}x{height}>",
        }
    found = {"text/plain": repr(value)}
    for kind, method in (("text/html", "_repr_html_"), ("text/latex", "_repr_latex_")):
        made = getattr(value, method, lambda: None)()
        if made:
            found[kind] = made
    return found


def page_of(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """(a notebook as Markdown, its pictures by file name)."""
    parts, pictures, count = [], {}, 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            parts.append(linked(source_of(cell)))
            continue
        lines = [line for line in source_of(cell).splitlines() if not line.startswith("%")]  # which no Python reads
        parts.append("```python\n{}\n```".format("\n".join(lines)))
        for output in cell["outputs"]:
            data = output.get("data", {})
            if output["output_type"] == "stream":
                parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
            elif "image/png" in data:
                count += 1
                picture = f"{name}-{count}.png"
                pictures[picture] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![{title_of(parts)}]({picture})")
            elif "text/latex" in data:
                parts.append(f"```latex\n{''.join(data['text/latex']).strip()}\n```")
            elif "text/html" in data:
                parts.append(without_styles("".join(data["text/html"])))
            else:
                parts.append(f"```text\n{''.join(data['text/plain'])}\n```")
    head = f"<!-- made by docs/scripts/notebooks.py of examples/{name}.ipynb -->"
    return "\n\n".join([head, *parts]) + "\n", pictures


def linked(text: str) -> str:
    """Links to other notebooks as links to their pages."""
    return re.sub(r"\((\w+)\.ipynb\)", r"(\1.md)", text)


def without_styles(html: str) -> str:
    """A table without the style sheet that pandas gives it, on lines that Markdown takes for one block."""
    bare = re.sub(r"<style.*?</style>|<script.*?</script>", "", html, flags=re.DOTALL)
    return "\n".join(line for line in bare.splitlines() if line.strip())


def title_of(parts: list[str]) -> str:
    """The heading that a picture stands under."""
    headings = [line for part in parts for line in part.splitlines() if re.match(r"#{1,3} ", line)]
    return headings[-1].lstrip("# ") if headings else "a figure"


def read(name: str) -> dict[str, Any]:
    """A notebook."""
    return json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))


@contextmanager
def inside(folder: str) -> Iterator[None]:
    """The folder as the present one."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(name: str, folder: str | None) -> None:
    """Execute a notebook in a folder, an empty one unless given, and keep its outputs in it."""
    with tempfile.TemporaryDirectory() as empty, inside(folder or empty):
        notebook = executed(read(name), name)
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    (EXAMPLES / f"{name}.ipynb").write_text(text + "\n", encoding="utf-8")


def write_page(name: str) -> None:
    """Make a notebook's page of docs/notebooks."""
    text, pictures = page_of(read(name), name)
    PAGES.mkdir(exist_ok=True)
    for old in PAGES.glob(f"{name}-*.png"):
        old.unlink()
    (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
    for picture, content in pictures.items():
        (PAGES / picture).write_bytes(content)


def main() -> None:
    """Run what is asked for, and render it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="store_true", help="execute the notebooks first")
    parser.add_argument("--folder", help="where to execute them, with the runs that are there [an empty folder each]")
    parser.add_argument("names", nargs="*", default=list(NOTEBOOKS), help="which [all]")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.path.insert(0, str(ROOT))
    for name in given.names:
        if given.run:
            run(name, given.folder)
        write_page(name)


if __name__ == "__main__":
    main()
