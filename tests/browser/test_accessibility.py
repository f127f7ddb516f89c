"""What axe-core and Lighthouse say of the pages; both come from npm."""

import os
from pathlib import Path

import pytest
from conftest import BOOK

from tools import lighthouse

pytestmark = pytest.mark.browser

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
# In the dark only colours differ, so there the rules about them are enough.
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
VIEWS = {"desktop": ({}, {}), "dark": ({"theme": "dark"}, {"runOnly": COLOURS})}
# Contrast takes axe two thirds of its time, for it looks at each of thousands of words.
# Of the texts that agree in all that contrast depends on, three stand for all.
CHOOSE_TEXTS = """
() => {
  const seen = new Map();
  const look = (each) => {
    const { color, fontSize, fontWeight, opacity, textShadow } = getComputedStyle(each);
    const behind = [];
    for (let at = each; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      behind.push([style.opacity, style.filter, style.backgroundImage, style.position]);
      behind.push(style.backgroundColor);
      if (/^rgb\\(/.test(style.backgroundColor)) break;
    }
    return [color, fontSize, fontWeight, opacity, textShadow, behind].join();
  };
  // Of a single character axe gives no opinion.
  const hasText = (each) => [...each.childNodes].some(
    (child) => child.nodeType === Node.TEXT_NODE && child.data.trim().length > 1);
  for (const each of document.querySelectorAll("body *")) {
    if (!hasText(each) && !each.matches("input, select, textarea")) continue;
    if (!each.checkVisibility()) continue;
    const key = look(each);
    seen.set(key, (seen.get(key) ?? 0) + 1);
    if (seen.get(key) <= 3) each.setAttribute("data-contrast", "");
  }
  axe.configure({ rules: [{ id: "color-contrast", selector: "[data-contrast]" }] });
}
"""
# The rules that are broken, and how badly, with the first places of each. It looks at
# the whole page: to leave something out, axe compares every element with every one that
# is left out, which takes three times as long.
RUN_AXE = """
async (options) => {
  const found = await axe.run(document, { resultTypes: ["violations"], ...options });
  for (const each of document.querySelectorAll("[data-contrast]"))
    each.removeAttribute("data-contrast");
  return found.violations.map(({ id, impact, help, nodes }) => ({
    id, impact, help,
    places: nodes.slice(0, 3).map(
      ({ html, failureSummary }) => `${html.slice(0, 200)} ${failureSummary}`),
  }));
}
"""


@pytest.fixture(scope="session")
def from_npm():
    """Do without what npm installs only where that is allowed."""
    if AXE.is_file():
        return
    message = "axe-core is not installed: install npm, then `make browser`"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def violations(page, options):
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate(CHOOSE_TEXTS)
    return page.evaluate(RUN_AXE, options)


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_serious_violation(from_npm, visit, looked_at_page, view):
    look, options = VIEWS[view]
    grave = [
        f"{rule['id']} ({rule['impact']}): {rule['help']}\n" + "\n".join(rule["places"])
        for rule in violations(visit(looked_at_page, **look), options)
        if rule["impact"] in ("serious", "critical")
    ]
    assert not grave, "\n\n".join(grave)


def test_one_pale_word_among_hundreds_is_found(from_npm, visit):
    page = visit("solutions/s06-he-kaiming.html")
    words = page.query_selector_all("div.highlight pre span")
    words = [word for word in words if len(word.inner_text().strip()) > 3]
    assert len(words) > 100
    word = words[len(words) // 2]
    for change in (
        "word.style.color = '#999'",
        "word.style.opacity = 0.4",
        "word.style.backgroundColor = '#555'",
        "word.parentElement.style.backgroundColor = '#555'",
        "word.parentElement.style.opacity = 0.4",
    ):
        assert violations(page, {"runOnly": COLOURS}) == []
        word.evaluate(f"(word) => {{ {change}; }}")
        (rule,) = violations(page, {"runOnly": COLOURS})
        assert rule["id"] == "color-contrast", change
        word.evaluate(
            "(word) => { for (const each of [word, word.parentElement])"
            " each.removeAttribute('style'); }"
        )


@pytest.mark.parametrize(
    ("page", "form"), [("landing page", "desktop"), ("heaviest chapter", "mobile")]
)
def test_lighthouse_gives_high_scores(from_npm, chromium, page, form):
    """All but performance, which a shared machine cannot promise.

    Accessibility, best practices and SEO depend little on the form, so each page is
    tried in one; `make lighthouse` prints all scores of both pages in both forms.
    """
    path = lighthouse.LANDING
    if page != "landing page":
        path = lighthouse.heaviest_chapter(BOOK)
    with lighthouse.served(BOOK) as address:
        report = lighthouse.audit(address + path, form, lighthouse.CATEGORIES[1:])
    low = {
        name: score for name, score in lighthouse.scores(report).items() if score < 95
    }
    assert not low, "\n".join(lighthouse.failures(report))


def test_the_server_compresses_and_finds_the_page_for_lost_visitors(chromium):
    context = chromium.new_context()
    page = context.new_page()
    with lighthouse.served(BOOK) as address:
        answer = page.goto(address + lighthouse.LANDING)
        assert answer.header_value("content-encoding") == "gzip"
        assert page.goto(address + "nowhere/at-all.html").status == 404
    context.close()
