import importlib
import sys
from pathlib import Path

from docutils import nodes
from docutils.core import publish_doctree

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
glossary_links = importlib.import_module("glossary_links")

ENTRIES = {
    "fan-in": "term-fan-in",
    "fan-ins": "term-fan-in",
    "gain": "term-gain",
    "critical gain": "term-critical-gain",
    "rms": "term-rms",
}


def linked(text):
    """The linked words of a page, with the anchors that they lead to."""
    page = publish_doctree(text)
    before = page.astext()
    count = glossary_links.link_terms(page, ENTRIES, "../book/glossary.html")
    assert page.astext() == before, "no word may be lost"
    found = [each for each in page.findall(nodes.reference) if "refuri" in each]
    assert count == len(found)
    return [(each.astext(), each["refuri"].partition("#")[2]) for each in found]


def test_only_the_first_use_is_linked_in_any_case():
    assert linked("A Gain. Another gain.") == [("Gain", "term-gain")]


def test_forms_of_one_entry_are_one_term():
    assert linked("Two fan-ins, one fan-in.") == [("fan-ins", "term-fan-in")]


def test_the_longer_term_wins_and_leaves_the_shorter_for_later():
    assert linked("The critical gain is a gain.") == [
        ("critical gain", "term-critical-gain"),
        ("gain", "term-gain"),
    ]


def test_parts_of_words_are_no_terms():
    assert linked("We regain terms; a gain-free rmsprop.") == []


def test_what_is_no_prose_is_left_alone():
    text = """
gain
====

``gain``, :math:`gain`, *gain* and `gain <https://example.org>`__.

::

   gain = 1
"""
    page = publish_doctree(text)
    assert glossary_links.link_terms(page, ENTRIES, "g.html") == 0


def test_items_of_lists_are_prose():
    assert linked("- the rms\n- the rms again") == [("rms", "term-rms")]


def test_an_apostrophe_is_one_in_any_form():
    page = publish_doctree("Of He’s scheme.")
    assert glossary_links.link_terms(page, {"He's scheme": "a"}, "g.html") == 1


def test_the_forms_of_one_entry_share_its_first_anchor():
    page = publish_doctree("x")
    item = nodes.definition_list_item()
    for name in ("fan-in", "fan-ins"):
        item += nodes.term("", name, ids=[f"term-{name}"])
    page += nodes.definition_list("", item)
    assert glossary_links.entries_of(page) == {
        "fan-in": "term-fan-in",
        "fan-ins": "term-fan-in",
    }


def test_without_entries_nothing_happens():
    page = publish_doctree("A gain.")
    assert glossary_links.link_terms(page, {}, "g.html") == 0
