"""A headless browser for the pages: the system's Chromium or Chrome, or Playwright's own where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
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
        return url.split("#")[0] == self.page.url.split("#")[0] or self.page.url == "about:blank"


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
