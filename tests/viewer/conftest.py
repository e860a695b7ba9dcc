"""For the pages' tests: a headless browser (the system's Chromium or Chrome, or Playwright's own), and small runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from bimt_tf.config.reading import make
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.page_file import PAGE, write_page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Browsers that are looked for; .ci/run looks for the same before it installs one."""

NOT_REQUESTS = ("about:srcdoc", "about:blank", "data:")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Started when the first test of a process asks for it."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)
        if found is None:
            pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the path, and Playwright's own is not installed")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in the browser, and what went wrong in it: messages of its console, errors, requests for anything else."""

    def __init__(self, page: Page) -> None:
        self.page, self.wrong = page, list[str]()
        page.on("console", lambda message: self.wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", lambda request: None if self._own(request.url) else self.wrong.append(request.url[:200]))

    def _own(self, url: str) -> bool:
        same = url.split("#")[0] == self.page.url.split("#")[0] or self.page.url == "about:blank"
        return same or url.startswith(NOT_REQUESTS)

    def settle(self) -> None:
        """Wait until what the page does after an event is done: two frames, and what they start."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Opened]]:
    """``open_page(path, width=1280, height=900, theme="light", fragment="")``; nothing may go wrong in it."""
    opened: list[Opened] = []

    def open_(path: Path, width: int = 1280, height: int = 900, theme: str = "light", fragment: str = "") -> Opened:
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
        opened.append(one := Opened(page))
        page.goto(path.absolute().as_uri() + fragment)
        return one

    yield open_
    for one in opened:
        one.page.close()
    assert [wrong for one in opened for wrong in one.wrong] == []


USE = """() => {
  const usable = (one) => one.checkVisibility() && !one.disabled;
  const shown = (kinds) => [...document.querySelectorAll(kinds)].filter(usable);
  const say = (one, ...kinds) => kinds.forEach((kind) => one.dispatchEvent(new Event(kind, { bubbles: true })));
  const uses = {
    "summary, button, a[href], [role=button], input[type=checkbox], input[type=radio]": (one) => {
      one.focus();
      one.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
    },
    "input[type=range], input[type=number]": (one) => {
      for (const value of [one.max || "1e9", one.min || "-1e9", "0.5", ""]) {
        one.value = value;
        say(one, "input", "change");
      }
    },
    "select": (one) => {
      for (const option of [...one.options].slice(0, 12)) { one.value = option.value; say(one, "input", "change"); }
    },
    "input[type=search], input[type=text], input:not([type]), textarea": (one) => {
      for (const value of ["no such <thing>", ""]) { one.value = value; say(one, "input", "change"); }
    },
  };
  window.used = window.used || new Set();
  for (const [kinds, use] of Object.entries(uses)) {
    const left = shown(kinds).filter((one) => !window.used.has(one));
    const every = Math.ceil(left.length / 50);  // neurons are buttons too, and there may be hundreds
    left.forEach((one, i) => {
      if (i % every === 0 && one.isConnected) { use(one); window.used.add(one); }
    });
  }
  return window.used.size;
}"""


def _use_everything(opened: Opened, frame: Page | Frame) -> int:
    """Click buttons, follow links, move sliders, choose choices (of very many, some); gives how many."""
    frame.evaluate(USE)
    opened.settle()
    used: int = frame.evaluate(USE)  # what the first round opened or made
    opened.settle()
    return used


@pytest.fixture(scope="session")
def use_everything() -> Callable[[Opened, Page | Frame], int]:
    """``use_everything(opened, opened.page)``, or a frame of it."""
    return _use_everything


def _trained(path: Path, task: str, *, steps: int, **sections: dict) -> Path:
    """A run directory with its page; training takes a second."""
    usual = {"eliminate": False, "log_every": 50, "checkpoint_every": 10_000, "compile": "no", "steps": steps}
    sections["training"] = {**usual, **sections.get("training", {})}
    train_run(make(task, overrides=sections), path, draw=False)
    write_page(load_run(path), path / PAGE)
    return path


@pytest.fixture(scope="session")
def trained_run() -> Callable[..., Path]:
    """``trained_run(path, task, steps=..., data={...}, model={...}, training={...})``."""
    return _trained


@pytest.fixture(scope="session")
def symbolic_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLP's run directory with report.html; not to be changed."""
    path = tmp_path_factory.mktemp("viewer") / "symbolic"
    return _trained(path, "symbolic-b", steps=300, data={"samples": 300}, model={"hidden": [8, 6]})


@pytest.fixture(scope="session")
def in_context_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A transformer's, two blocks of two heads."""
    path = tmp_path_factory.mktemp("viewer") / "in-context"
    sizes = {"d_model": 8, "n_layers": 2, "n_heads": 2}
    return _trained(
        path, "in-context", steps=120, data={"samples": 300}, model=sizes, training={"batch_size": 32, "finish": 0.3}
    )


@pytest.fixture(params=["symbolic", "in-context"])
def real_page(request: pytest.FixtureRequest) -> Path:
    """The page of one, then of the other."""
    run: Path = request.getfixturevalue({"symbolic": "symbolic_run", "in-context": "in_context_run"}[request.param])
    return run / PAGE
