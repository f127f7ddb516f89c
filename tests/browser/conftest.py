"""One Chromium for all browser tests, on the built book, with the network cut.

Loading a page takes longer than most tests of it. So the tests of one page run one
after another, in one worker (`--dist loadgroup`), and share what is loaded already.
"""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "_build" / "html"
HEIGHT = 800  # of the window, in pixels
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


# What the button in the page's header does, at once and not by and by.
CHANGE_COLOURS = """
async (theme) => {
  const style = document.head.appendChild(document.createElement("style"));
  style.textContent = "* { transition: none !important }";
  for (const name of ["theme", "mode"]) {
    localStorage.setItem(name, theme);
    document.documentElement.dataset[name] = theme;
  }
  await new Promise(requestAnimationFrame);
}
"""


def pages() -> list[str]:
    """Return all pages but the one for lost visitors, which needs a web address."""
    found = {str(path.relative_to(BOOK)) for path in BOOK.rglob("*.html")}
    # In _static the theme leaves pieces of its templates, which are no pages.
    return sorted(
        each for each in found - {"404.html"} if not each.startswith("_static/")
    )


def looked_at() -> list[str]:
    """Return the pages that are opened in the browser.

    An exercise is its solution without some cells, so its solution is enough.
    """
    return [page for page in pages() if not page.startswith("exercises/")]


def holding(text: str) -> list[str]:
    return [page for page in looked_at() if text in (BOOK / page).read_text("utf-8")]


# What a test asks for by the name of its argument: all pages, or those with something.
SELECTIONS = {
    "address": pages,
    "looked_at_page": looked_at,
    "explorer_page": lambda: holding('class="initlab-explorer"'),
    "maths_page": lambda: holding('class="math'),
}


def pytest_generate_tests(metafunc):
    for name, select in SELECTIONS.items():
        if name in metafunc.fixturenames:
            found = [
                pytest.param(page, marks=pytest.mark.xdist_group(page))
                for page in select() or ["the book is not built"]
            ]
            metafunc.parametrize(name, found)


def pytest_collection_modifyitems(items):
    """Bring the tests of one page together, and of these the ones of one view."""

    def page_and_view(item):
        values = getattr(item, "callspec", None)
        values = values.params if values else {}
        page = next((values[name] for name in SELECTIONS if name in values), "")
        return page, values.get("view", "desktop")

    items.sort(key=page_and_view)


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        message = "Chromium is not installed (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    assert pages(), f"there is no book in {BOOK}: run `make book` first"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visit(chromium):
    """Open a page of the book from disk and keep watch over it.

    The page gets two more attributes: `errors`, what its scripts threw, and `outside`,
    what it asked for that is not in the book. The page that was asked for last is given
    again, as the last test left it, with the width and the colours that are asked for
    now; ``fresh`` loads it anew.
    """
    opened = {}

    def open_page(
        address, *, width=1280, theme="light", scripts=True, still=False, fresh=False
    ):
        wanted = address, scripts, still
        if fresh or wanted not in opened:
            while opened:
                opened.popitem()[1].context.close()
            opened[wanted] = load(chromium, address, width, theme, scripts, still)
        page = opened[wanted]
        if page.viewport_size["width"] != width:
            page.set_viewport_size({"width": width, "height": HEIGHT})
        if page.theme != theme:
            page.emulate_media(color_scheme=theme)
            page.evaluate(CHANGE_COLOURS, theme)
            page.theme = theme
        return page

    yield open_page
    for page in opened.values():
        page.context.close()


def load(chromium, address, width, theme, scripts, still):
    """Load a page in a context of its own, and wait until it is ready.

    Formulas wait for a reader who moves; ``still`` leaves them waiting.
    """
    context = chromium.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=theme,
        java_script_enabled=scripts,
        offline=True,
    )
    page = context.new_page()
    page.errors, page.outside, page.theme = [], [], theme
    page.on("pageerror", lambda error: page.errors.append(error.message))

    def watch(request):
        url = request.url
        inside = url.startswith(BOOK.as_uri() + "/")
        if not inside and not url.startswith(("data:", "blob:", "about:")):
            page.outside.append(url)

    page.on("request", watch)
    page.add_init_script(
        f"localStorage.setItem('mode', '{theme}');"
        f"localStorage.setItem('theme', '{theme}');"
    )
    page.goto((BOOK / address).as_uri())
    if scripts:
        page.wait_for_function(
            "() => [...document.querySelectorAll('.initlab-explorer .controls')]"
            ".every((each) => !each.hidden)"
        )
    if scripts and not still:
        page.evaluate("window.dispatchEvent(new Event('scroll'))")
        page.wait_for_function(
            "() => !document.querySelector('.math') "
            "|| document.querySelector('mjx-container')"
        )
    return page
