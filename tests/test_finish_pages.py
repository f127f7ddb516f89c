import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
finish_pages = importlib.import_module("finish_pages")

PAGE = """<html><head>
<script data-cfasync="false">document.documentElement.dataset.theme = "light";</script>
<link href="../_static/vendor/fontawesome/css/all.min.css?digest=1" rel="stylesheet" />
<link rel="preload" as="font" href="a.woff2" />
<script src="../_static/vendor/fontawesome/6/js/all.min.js?digest=1"></script>
<script src="one.js"></script>
<script>const THEBE_JS_URL = "https://example.org"; const a = ".b"</script>
<script async="async" src="../_static/sphinx-thebe.js?v=1"></script>
<script>window.two = 1 < 2;</script>
<script defer="defer" src="../_static/mathjax/tex-chtml.js?v=2"></script>
</head><body>
<button class="btn search-button-field x" aria-label="Search" data-x="y">Search</button>
<summary><span class="toctree-toggle" role="presentation"></span></summary>
<img alt="A figure" src="figure.png" /><img src="data:image/png;base64,AA" />
<!-- Scripts loaded after <body> so the DOM is not blocked -->
<script src="last.js"></script>
</body></html>
"""


@pytest.fixture
def finished(tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "figure.png")
    html = finish_pages.name_controls(finish_pages.lighten(PAGE, tmp_path))
    again = finish_pages.name_controls(finish_pages.lighten(html, tmp_path))
    assert again == html, "finishing a page twice changes nothing"
    return html


def test_what_no_page_needs_is_gone(finished):
    for needless in ("all.min.js", "thebe", "THEBE", "a.woff2"):
        assert needless not in finished


def test_scripts_come_last_and_in_order(finished):
    head, _, body = finished.partition("</head>")
    assert head.count("<script") == 1
    places = [
        body.index(each)
        for each in ("figure.png", "all.min.css", "one.js", "window.two", "last.js")
    ]
    assert places == sorted(places)


def test_mathjax_waits_for_the_reader(finished):
    assert (
        '<script defer src="../_static/maths.js" '
        'data-engine="../_static/mathjax/tex-chtml.js"></script>'
    ) in finished


def test_pictures_wait_and_have_their_size(finished):
    assert '<img loading="lazy" decoding="async" width="60" height="40" alt' in finished
    assert '<img src="data:' in finished


def test_controls_are_called_what_they_say(finished):
    assert 'search-button-field x" data-x' in finished
    assert '<summary aria-label="Show or hide the pages below"><span' in finished


def test_a_picture_that_is_missing_is_left_its_own_size(tmp_path):
    tag = '<img src="nowhere.png">'
    assert finish_pages.lighten(tag, tmp_path) == (
        '<img loading="lazy" decoding="async" src="nowhere.png">'
    )


def test_only_a_finished_html_build_is_rewritten(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(PAGE)
    app = SimpleNamespace(outdir=str(tmp_path), builder=SimpleNamespace(format="html"))
    finish_pages.finish(app, RuntimeError("the build failed"))
    assert page.read_text() == PAGE
    app.builder.format = "latex"
    finish_pages.finish(app, None)
    assert page.read_text() == PAGE
    app.builder.format = "html"
    finish_pages.finish(app, None)
    assert "thebe" not in page.read_text()
