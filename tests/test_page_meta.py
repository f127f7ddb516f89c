import importlib
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_doctree
from sphinx.cmd.build import build_main

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
page_meta = importlib.import_module("page_meta")

CHAPTER = """
**Slide 2** · reading time 15 minutes · only multiplication

By the end of this chapter you can

1. predict a scale;
2. say why.

Then it begins.
"""


def test_the_public_address_follows_from_the_repository():
    address = page_meta.pages_address("https://github.com/Some-One/a.course")
    assert address == "https://some-one.github.io/a.course/"


@pytest.mark.parametrize("wrong", ["", "https://example.org/a/b", "github.com/a/b"])
def test_another_address_is_named(wrong):
    with pytest.raises(ValueError, match=r"repository\.url in _config\.yml must be"):
        page_meta.pages_address(wrong)


def test_extensions_get_one_address():
    config = SimpleNamespace(
        html_theme_options={"repository_url": "https://github.com/a/b"},
        html_baseurl="",
        html_title="T",
    )
    page_meta.tell_addresses(None, config)
    assert config.ogp_site_url == config.html_baseurl == "https://a.github.io/b/"
    assert config.notfound_urls_prefix == "/b/"
    assert 'href="/b/book/index.html"' in config.notfound_context["body"]


def test_a_chapter_is_described_by_its_goals():
    text = page_meta.describe(publish_doctree(CHAPTER))
    assert text == "Learn to predict a scale; say why."


def test_another_page_is_described_by_its_first_paragraph():
    assert page_meta.describe(publish_doctree("One\ntwo.\n\nThree.")) == "One two."


def test_a_long_description_ends_at_a_word():
    text = page_meta.describe(publish_doctree("word, " * 100))
    assert len(text) <= page_meta.LENGTH
    assert text.endswith("word…")


def test_an_empty_page_gets_a_description_all_the_same():
    assert page_meta.describe(publish_doctree("")) == ""
    context = {}
    env = SimpleNamespace(metadata={})
    page_meta.give_description(SimpleNamespace(env=env), "search", "", context)
    assert page_meta.FALLBACK in context["metatags"]


def test_a_description_cannot_break_out_of_its_tag():
    env = SimpleNamespace(metadata={"p": {"og:description": '"><script>'}})
    context = {"metatags": ""}
    page_meta.give_description(SimpleNamespace(env=env), "p", "", context)
    assert "&quot;&gt;&lt;script&gt;" in context["metatags"]


CONFIGURATION = """
import page_meta

extensions = ["sphinx_sitemap"]
html_baseurl = "https://a.github.io/b/"
sitemap_url_scheme = "{link}"
sitemap_excludes = ["search.html", "genindex.html", "hidden.html"]


def setup(app):
    app.connect("build-finished", page_meta.complete_site_map, priority=100)
"""


def test_the_site_map_lists_pages_that_a_second_build_had_not_to_renew(tmp_path):
    (tmp_path / "conf.py").write_text(CONFIGURATION)
    for name in ("index", "one", "two", "hidden"):
        (tmp_path / f"{name}.rst").write_text(":orphan:\n\nTitle\n=====\n")
    expected = [f"https://a.github.io/b/{n}.html" for n in ("index", "one", "two")]
    for text in ("", "More.", "Still more."):
        with (tmp_path / "one.rst").open("a") as page:
            page.write(f"\n{text}\n")
        assert build_main(["-q", str(tmp_path), str(tmp_path / "out")]) == 0
        listed = (tmp_path / "out" / "sitemap.xml").read_text()
        assert re.findall("<loc>([^<]+)</loc>", listed) == expected
