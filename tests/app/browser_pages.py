"""A page of the app in a headless Chromium, which keeps a record of its errors and requests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page, Request, Response, sync_playwright

from euromine.app.app_settings import AppSettings
from euromine.app.server import create_app
from euromine.app.serving import BackgroundServer, address_of, listen

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = (
    "found no Chromium on the PATH; expected one for the app's views. Install it: apt-get install chromium."
)
WIDE, NARROW = (1280, 800), (390, 844)
_WORDS = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) found.push(walker.currentNode.textContent.trim());
  for (const name of ["aria-label", "title", "alt", "placeholder", "aria-valuetext", "label"])
    for (const node of document.querySelectorAll(`[${name}]`)) found.push(node.getAttribute(name).trim());
  return found.filter(Boolean);
}"""
_LOADED = "#content:not([aria-busy])"


class AppPage:
    """One page, visited view after view.

    Attributes:
        page: Playwright's page.
        address: The app's address.
        problems: Errors of the console, of scripts and of requests since the last `forget`.
    """

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.problems: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error.stack}"))
        page.on("request", self._on_request)
        page.on("response", self._on_response)

    def visit(self, route: str) -> Page:
        """Show a view, as a link to it does, and wait until it is complete."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#{route}")
        self.settle()
        return self.page

    def settle(self) -> None:
        """Wait until the view and what it loads are there."""
        self.page.wait_for_selector(_LOADED)
        self.page.wait_for_load_state("networkidle")

    def choose_language(self, language: str) -> None:
        """Choose a language in the header, which draws the view anew."""
        self.page.select_option("select.language", language)
        self.page.wait_for_selector(f"html[lang={language}]")
        self.settle()

    def resize(self, size: tuple[int, int]) -> None:
        """Change the window's size."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def forget(self) -> list[str]:
        """The problems so far, which are then forgotten."""
        found, self.problems = self.problems, []
        return found

    def accessibility_findings(self, *rules: str, within: str | None = None) -> list[str]:
        """The findings of axe-core.

        Args:
            *rules: Rules to check; all by default.
            within: A selector of the part of the page to check; all of it by default.
        """
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = list(rules)
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(Axe().axe_script)
        run = "([within, options]) => axe.run(within ?? document, options)"
        found = self.page.evaluate(run, [within, options])["violations"]
        return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]

    def words(self) -> list[str]:
        """All texts of the page, and those of attributes that are read aloud or shown."""
        return list(self.page.evaluate(_WORDS))

    def overflow(self) -> int:
        """The pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(self.address).netloc:
            self.problems.append(f"another host: {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"status {response.status}: {response.url}")


@contextmanager
def opened_page(address: str) -> Iterator[AppPage]:
    """A page in a browser of its own; it ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        # axe-core is injected as an inline script, which the app's policy forbids.
        context = browser.new_context(bypass_csp=True, locale="en-GB", reduced_motion="reduce")
        context.set_default_timeout(20_000)
        try:
            yield AppPage(context.new_page(), address)
        finally:
            browser.close()


@contextmanager
def served_page(settings: AppSettings) -> Iterator[AppPage]:
    """A page of the app on a server in a thread; both end with the block."""
    listening = listen(settings)
    server = BackgroundServer(create_app(settings), listening)
    try:
        with opened_page(address_of(listening, settings)) as page:
            yield page
    finally:
        server.close()
