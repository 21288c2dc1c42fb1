"""A real browser for tests of pages: ``python -m tests.support.chromium install`` installs Debian's Chromium."""

import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import sync_playwright

from tests.support.debian import install as install_package

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


def program():
    """The path of Chromium; ``None`` where there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def install():
    """Install Debian's Chromium if there is none. Raises RuntimeError when that cannot be done."""
    if program() is None:
        install_package("chromium", "the tests need Chromium")


@contextmanager
def browser():
    """Chromium without a window."""
    install()
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program(), args=["--no-sandbox"])
        try:
            yield found
        finally:
            found.close()


class Page:
    """A page whose errors fail the test, whose policy is kept while axe looks at it."""

    def __init__(self, browser, url, **options):
        self.page = browser.new_page(viewport={"width": 1360, "height": 900}, **options)
        self.url = url
        self.problems = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._heard)

    def _heard(self, message):
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.problems.append(message.text)

    def open(self, path=""):
        self.page.goto(f"{self.url}/{path}")
        self.page.locator("main h1").first.wait_for()
        return self.page

    def violations(self):
        """What axe-core finds that is serious or critical, with the elements."""
        # Playwright evaluates in the page's world past its content security policy.
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        return [
            (one["id"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]

    def close(self):
        self.page.close()
        assert self.problems == []


if __name__ == "__main__" and sys.argv[1:] == ["install"]:
    install()
