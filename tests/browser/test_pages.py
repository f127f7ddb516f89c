"""What a reader on a train sees: every page from disk, without a network."""

import functools
import json
import re
from pathlib import Path

import pytest
import yaml
from conftest import BOOK, ROOT, holding, pages
from fontTools.ttLib import TTFont

from tools import lighthouse

pytestmark = pytest.mark.browser

VIEWS = {
    "desktop": {"width": 1280},
    "phone": {"width": 360},
    "dark": {"width": 1280, "theme": "dark"},
    "scripts off": {"width": 1280, "scripts": False},
}
EXPLORER_BYTES, PAGE_BYTES = 300_000, 1_000_000

SHOWN = """
(explorer) => {
  const frame = explorer.querySelector(".frame");
  const figure = frame.innerHTML.trim();
  let hash = 0;
  for (let i = 0; i < figure.length; i++)
    hash = (31 * hash + figure.charCodeAt(i)) % 4294967291;
  return [hash, frame.getAttribute("aria-label")];
}
"""

PLACES = """
() => [...document.querySelectorAll("main p, main img, main table, .math, .frame svg")]
  .map((each) => {
    const { x, width, height } = each.getBoundingClientRect();
    return [x, width, height].map(Math.round);
  })
"""

# Moves the focused control once; tells whether its figure changed before the browser
# could do anything else. How many milliseconds that takes: benchmarks/explorers.py.
MOVE_AT_ONCE = """
(explorer) => {
  const frame = explorer.querySelector(".frame");
  const control = document.activeElement;
  const before = frame.getAttribute("aria-label");
  if (control.options) control.selectedIndex += 1;
  else control.value = +control.value + 1;
  control.dispatchEvent(new Event("input", { bubbles: true }));
  return frame.getAttribute("aria-label") !== before;
}
"""


# The characters of icons on a page, with the font that each asks for.
ICONS = """
() => [...document.querySelectorAll("body *")].flatMap((each) =>
  ["::before", "::after"].flatMap((place) => {
    const { content, fontFamily, fontWeight } = getComputedStyle(each, place);
    const isIcon = content.length === 3 && fontFamily.includes("Font Awesome");
    return isIcon ? [[content[1], fontFamily, fontWeight]] : [];
  }))
"""

# How far what a reader sees was pushed about while the page loaded (0: not at all).
SHIFTED = """
() => new Promise((resolve) => {
  new PerformanceObserver((list) =>
    resolve(list.getEntries().reduce((sum, each) => sum + each.value, 0))
  ).observe({ type: "layout-shift", buffered: true });
  setTimeout(() => resolve(0), 500);
})
"""


def explorers(page):
    return page.query_selector_all(".initlab-explorer")


def shown(explorer):
    """Return a number that stands for the figure, and the text that describes it."""
    return tuple(explorer.evaluate(SHOWN))


def wait_for_formulas(page):
    page.wait_for_function(
        "() => [...document.querySelectorAll('.math')]"
        ".every((each) => each.querySelector('mjx-container'))"
    )


@pytest.mark.parametrize("view", ["desktop", "phone", "dark"])
def test_the_page_stands_alone_and_fits(visit, looked_at_page, view):
    page = visit(looked_at_page, **VIEWS[view])
    page.wait_for_load_state("load")
    assert page.outside == []
    assert page.errors == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= VIEWS[view]["width"], "the page scrolls sideways"
    for explorer in explorers(page):
        box = explorer.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= VIEWS[view]["width"]


# Why the tests of a phone may narrow the window of a page that is loaded already.
@pytest.mark.parametrize(
    "page", ["book/index.html", "notebooks/s06-he-kaiming.html", "book/claims.html"]
)
def test_a_narrowed_page_is_the_page_that_a_phone_loads(visit, page):
    places = []
    for fresh in (True, False):
        if not fresh:
            visit(page, width=1280, fresh=True)
        loaded = visit(page, width=360, fresh=fresh)
        wait_for_formulas(loaded)
        places.append(loaded.evaluate(PLACES))
    assert len(places[0]) > 10
    assert places[0] == places[1]


COLOURS = """
() => [...document.querySelectorAll("body *")].map((each) => {
  const { color, backgroundColor, borderTopColor, fill, display } =
    getComputedStyle(each);
  return [each.tagName, color, backgroundColor, borderTopColor, fill, display].join();
})
"""


# Why the tests of the dark may change the colours of a page that is loaded already.
@pytest.mark.parametrize(
    "page", ["book/index.html", "notebooks/s06-he-kaiming.html", "book/claims.html"]
)
def test_a_darkened_page_is_the_page_that_loads_dark(visit, page):
    seen = {}
    for start in ("dark", "light"):
        visit(page, theme=start, fresh=True)
        loaded = visit(page, theme="dark")
        wait_for_formulas(loaded)
        seen[start] = loaded.evaluate(COLOURS)
    assert len(seen["dark"]) > 100
    assert seen["dark"] == seen["light"]
    assert loaded.evaluate(COLOURS) != visit(page).evaluate(COLOURS)


# In the dark only colours differ, and a test of their own looks at those.
@pytest.mark.parametrize("view", ["desktop", "phone"])
def test_the_maths_is_set(visit, maths_page, view):
    page = visit(maths_page, **VIEWS[view])
    wait_for_formulas(page)
    assert page.query_selector_all("mjx-merror") == []
    formulas = page.evaluate(
        "[...document.querySelectorAll('.math')].map((each) => each.innerText)"
    )
    assert formulas
    for formula in formulas:
        assert "\\" not in formula
    sizes = page.evaluate(
        """() => [...document.querySelectorAll("mjx-container[display]")].map(
          (each) => [each.querySelector("mjx-math, svg"), each.parentElement].map(
            (part) => part.getBoundingClientRect().width))"""
    )
    for formula, place in sizes:
        assert formula <= place + 10, "a formula is cut off; break it into lines"


def test_formulas_wait_until_the_reader_comes_near(visit):
    page = visit("book/api-mathematics.html", still=True)
    engine = "script[src*='mathjax']"
    first = page.query_selector(".math")
    assert first.bounding_box()["y"] > 1200, "choose a page without an early formula"
    page.wait_for_timeout(500)
    assert page.query_selector(engine) is None
    page.evaluate("scrollTo(0, 10)")
    page.wait_for_selector(engine, state="attached")
    page.wait_for_function("() => document.querySelector('.math mjx-container')")


# Keys do the same in every view; that controls fit a phone has a test of its own.
def test_every_control_moves_its_figure_by_keyboard(visit, explorer_page):
    page = visit(explorer_page)
    for explorer in explorers(page):
        first = shown(explorer)
        for control in explorer.query_selector_all("input, select"):
            slider = control.get_attribute("type") == "range"
            back, forward = (
                ("ArrowLeft", "ArrowRight") if slider else ("ArrowUp", "ArrowDown")
            )
            value = control.evaluate("each => each.value")
            control.focus()
            page.keyboard.press("Home")
            seen = {shown(explorer)}
            while True:
                before = control.evaluate("each => each.value")
                page.keyboard.press(forward)
                if control.evaluate("each => each.value") == before:
                    break
                seen.add(shown(explorer))
            count = control.evaluate(
                "each => each.options ? each.options.length : +each.max + 1"
            )
            assert len({label for _, label in seen}) == count, "a state has no label"
            assert len({figure for figure, _ in seen}) > 1, "the figure never changes"
            while control.evaluate("each => each.value") != value:
                page.keyboard.press(back)
        assert shown(explorer) == first, "the first state cannot be reached again"


def test_tab_goes_from_control_to_control_and_out_again(visit, explorer_page):
    page = visit(explorer_page)
    for explorer in explorers(page):
        controls = explorer.query_selector_all("input, select")
        controls[0].focus()
        for control in controls[1:]:
            page.keyboard.press("Tab")
            assert control.evaluate("each => each === document.activeElement")
        page.keyboard.press("Tab")
        assert not explorer.evaluate("each => each.contains(document.activeElement)")


def test_a_figure_follows_its_control_at_once(visit, explorer_page):
    page = visit(explorer_page)
    for explorer in explorers(page):
        for control in explorer.query_selector_all("input, select"):
            control.focus()
            page.keyboard.press("Home")
            assert explorer.evaluate(MOVE_AT_ONCE)


@pytest.mark.parametrize("view", ["scripts off"])
def test_the_figure_is_there_without_scripts(visit, explorer_page, view):
    page = visit(explorer_page, **VIEWS[view])
    for explorer in explorers(page):
        picture = explorer.query_selector(".frame svg, .frame img")
        box = picture.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
        assert not explorer.query_selector(".controls").is_visible()
        assert explorer.query_selector(".frame").get_attribute("aria-label")


@pytest.mark.parametrize("view", ["dark"])
def test_figures_are_readable_in_the_dark(visit, explorer_page, view):
    page = visit(explorer_page, **VIEWS[view])
    for explorer in explorers(page):
        ink = explorer.evaluate("each => getComputedStyle(each).color")
        paper = explorer.evaluate(
            """each => {
              for (let at = each; at; at = at.parentElement) {
                const colour = getComputedStyle(at).backgroundColor;
                if (!/, 0\\)$/.test(colour)) return colour;
              }
            }"""
        )
        assert brightness(paper) < 60, "a light card on a dark page"
        assert brightness(ink) > 180


def test_a_browser_that_cannot_unpack_the_figures_says_so(chromium):
    context = chromium.new_context(offline=True)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(error.message))
    page.add_init_script("delete window.DecompressionStream")
    page.goto((BOOK / "book" / "index.html").as_uri())
    explorer = page.query_selector(".initlab-explorer")
    assert "need a browser of 2023 or later" in explorer.inner_text()
    assert explorer.query_selector(".frame svg").is_visible()
    assert not explorer.query_selector("input, select"), "a control that moves nothing"
    assert not [each for each in errors if "THEBE_JS_URL" not in each]
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_the_first_page_does_not_move_while_it_loads(chromium, width):
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    # By a server: from disk everything is there before the first picture is drawn.
    with lighthouse.served() as address:
        page.goto(address + "book/index.html", wait_until="networkidle")
        page.wait_for_selector(".initlab-explorer .controls:not([hidden])")
        assert page.evaluate(SHIFTED) < 0.01
    context.close()


def brightness(colour):
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return 0.3 * red + 0.59 * green + 0.11 * blue


def test_the_fonts_have_every_icon_of_the_page(visit, looked_at_page):
    fonts = icon_fonts()
    icons = visit(looked_at_page).evaluate(ICONS)
    assert icons
    for character, family, weight in icons:
        style = "brands" if "Brands" in family else "solid" if weight == "900" else ""
        assert ord(character) in fonts[style or "regular"], f"no icon {character!a}"


@functools.cache
def icon_fonts():
    """Return the characters of each font, by the name of its style."""
    found = {}
    for path in BOOK.glob("_static/vendor/fontawesome/*/webfonts/fa-*00.woff2"):
        with TTFont(path) as opened:
            found[path.name.split("-")[1]] = set(opened.getBestCmap() or {})
        assert path.stat().st_size < 5000, "the theme's font with all icons"
    return found


def test_every_figure_has_a_text_for_those_who_do_not_see_it(visit, looked_at_page):
    page = visit(looked_at_page)
    pictures = page.evaluate(
        """[...document.querySelectorAll(".cell_output img")].map(
          (each) => [each.getAttribute("src"), each.alt])"""
    )
    for source, alt in pictures:
        assert len(alt) > 20, f"{source[:80]} has the alt text {alt!r}"


def test_pages_and_explorers_are_light(address):
    html = (BOOK / address).read_text(encoding="utf-8")
    for start in re.finditer(r'<div class="initlab-explorer"', html):
        end = html.index("</script>\n</div>", start.end())
        assert end - start.start() <= EXPLORER_BYTES
    images = re.findall(r'<img[^>]+src="([^":]+)"', html)
    files = [(BOOK / address).parent / image for image in set(images)]
    total = len(html.encode()) + sum(file.stat().st_size for file in files)
    assert total <= PAGE_BYTES


def test_internal_links_and_anchors_resolve(address):
    page = BOOK / address
    for link in re.findall(r'<a [^>]*href="([^"]*)"', page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{link} leads nowhere"
        if anchor and target.suffix == ".html":
            assert anchor in anchors(target), link


@functools.cache
def anchors(page):
    return set(re.findall(r'id="([^"]+)"', page.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("https://colab.research.google.com/", "github/{own}/blob/main/"),
        ("https://mybinder.org/", "v2/gh/{own}/main?urlpath=lab/tree/"),
    ],
)
def test_notebooks_have_buttons_that_resolve_and_other_pages_none(address, host, path):
    html = (BOOK / address).read_text(encoding="utf-8")
    links = re.findall(rf'href="({re.escape(host)}[^"]*)"', html)
    kind = Path(address).parts[0]
    if kind not in ("notebooks", "exercises", "solutions"):
        assert links == []
        return
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    own = config["repository"]["url"].removeprefix("https://github.com/")
    start = host + path.format(own=own)
    assert links
    for link in links:
        assert link.startswith(start)
        assert (ROOT / link.removeprefix(start)).is_file()


def test_pages_tell_search_engines_and_previews_what_they_are(address):
    head = (BOOK / address).read_text(encoding="utf-8").partition("</head>")[0]
    if address == "index.html":  # leads on to the landing page
        assert 'url=book/index.html"' in head
        return
    described = re.findall(r'<meta name="description" content="([^"]+)"', head)
    assert len(described) == 1
    assert 40 <= len(described[0]) <= 300
    assert len(re.findall(r"<title>[^<]{10,}</title>", head)) == 1
    if Path(address).parts[0] not in ("book", "notebooks", "exercises", "solutions"):
        return  # search and indexes are no pages to recommend
    for name in ("title", "description", "url", "image", "image:alt", "site_name"):
        assert re.search(rf'<meta property="og:{name}" content="[^"]+"', head), name
    picture = re.search(r'og:image" content="https://[^"]+?/(_images/[^"]+)"', head)
    assert (BOOK / picture[1]).is_file()


def test_no_two_pages_have_one_title():
    titles = {}
    for address in set(pages()) - {"index.html"}:  # it leads on to another
        html = (BOOK / address).read_text(encoding="utf-8")
        title = re.search(r"<title>(.*?)</title>", html)[1]
        assert titles.setdefault(title, address) == address


def test_the_site_map_lists_every_page():
    text = (BOOK / "sitemap.xml").read_text(encoding="utf-8")
    listed = re.findall(r"<loc>https://[\w.-]+/[\w.-]+/([^<]+)</loc>", text)
    kinds = ("book", "notebooks", "exercises", "solutions")
    wanted = [
        str(path.relative_to(BOOK)) for kind in kinds for path in BOOK.glob(f"{kind}/*")
    ]
    assert sorted(each for each in listed if "/" in each) == sorted(wanted)


def test_the_page_for_lost_visitors_works_from_any_address(chromium, tmp_path):
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    name = config["repository"]["url"].rpartition("/")[2]
    (tmp_path / name).symlink_to(BOOK)
    (tmp_path / "404.html").symlink_to(BOOK / "404.html")
    context = chromium.new_context()
    page = context.new_page()
    missing = []
    page.on("response", lambda each: each.ok or missing.append(each.url))
    with lighthouse.served(tmp_path) as address:
        lost = f"{address}{name}/notebooks/gone/away.html"
        page.goto(lost)
        assert page.get_by_role("main").get_by_role("heading", level=1).is_visible()
        assert "Page not found" in page.inner_text("main")
        assert missing == [lost]
        page.get_by_role("main").get_by_role("link", name="first page").click()
        assert page.url == f"{address}{name}/book/index.html"
    context.close()


def test_no_page_loads_what_it_does_not_need(address):
    html = (BOOK / address).read_text(encoding="utf-8")
    assert "all.min.js" not in html
    assert "thebe" not in html
    head = html.partition("</head>")[0]
    assert len(re.findall(r"<script", head)) <= 1
    if 'class="math' not in html:
        assert 'class="mjx' not in html


def test_there_are_explorers_to_test():
    found = holding('class="initlab-explorer"')
    chapters = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for chapter in chapters:
        assert f"notebooks/{chapter.stem}.html" in found
    assert "book/index.html" in found


def test_the_ledger_lists_every_claim_of_every_chapter():
    ledger = (BOOK / "book" / "claims.html").read_text(encoding="utf-8")
    claims = 0
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                claims += "".join(output.get("text", [])).count("✔ ")
    assert f"{claims} claims" in ledger
    assert ledger.count("(checked here)") == claims


def test_the_errata_hold_every_correction_of_every_chapter():
    errata = (BOOK / "book" / "errata.html").read_text(encoding="utf-8")
    corrections = sum(
        path.read_text(encoding="utf-8").count(":class: correction")
        for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    assert corrections
    assert errata.count("Commonly said:") == corrections
