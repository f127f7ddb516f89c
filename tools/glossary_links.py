"""Link the first use of every glossary term in a chapter to its entry.

The chapters' text stays plain, as it reads best on Colab; the links are made when the
book is built. A term is looked for in paragraphs and lists of notebooks, as whole words
in any case, and not in headings, links, formulas, code, captions or the bibliography.
Of two terms that begin at the same word the longer one wins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"
CHAPTERS = "notebooks/"
# Words inside these are not prose, or lead elsewhere already.
_APART = (
    nodes.reference,
    addnodes.pending_xref,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.title,
    nodes.caption,
    nodes.raw,
    nodes.table,
    nodes.emphasis,  # captions of figures are set in italics
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hooks (called by Sphinx, or by the book's extension)."""
    app.connect("doctree-read", depend_on_the_glossary)
    app.connect("doctree-resolved", link_first_uses)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def depend_on_the_glossary(app: Sphinx, _: nodes.document) -> None:
    """Have chapters built again when the glossary changes."""
    if app.env.docname.startswith(CHAPTERS):
        app.env.note_dependency(str(Path(app.confdir) / f"{GLOSSARY}.md"))


def link_first_uses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn the first use of each term into a link, in chapters only."""
    if docname.startswith(CHAPTERS):
        if GLOSSARY not in app.env.found_docs:
            return
        entries = entries_of(app.env.get_doctree(GLOSSARY))
        address = app.builder.get_relative_uri(docname, GLOSSARY)
        link_terms(doctree, entries, address)


def entries_of(glossary: nodes.document) -> dict[str, str]:
    """Return the anchor of each term; forms of one entry share that of the first."""
    entries = {}
    for item in glossary.findall(nodes.definition_list_item):
        terms = list(item.findall(nodes.term))
        entries |= {term.astext(): terms[0]["ids"][0] for term in terms}
    return entries


def link_terms(
    doctree: nodes.document, entries: Mapping[str, str], address: str
) -> int:
    """Link the first use of each entry, and return how many links were made.

    Args:
        doctree: The page; changed in place.
        entries: The anchor of each term's entry. Terms with one anchor are forms of one
            entry, and only the first of them is linked.
        address: The page of the glossary, as seen from this one.
    """
    if not entries:
        return 0
    anchors = {_plain(term): anchor for term, anchor in entries.items()}
    longest_first = sorted(anchors, key=lambda term: (-len(term), term))
    words = "|".join(re.escape(term) for term in longest_first)
    pattern = re.compile(rf"(?<![\w-])(?:{words})(?![\w-])")
    linked: set[str] = set()
    for text in list(doctree.findall(nodes.Text)):
        if not _is_prose(text):
            continue
        parts: list[nodes.Node] = []
        end = 0
        for match in pattern.finditer(_plain(text.astext())):
            anchor = anchors[match[0]]
            if anchor in linked:
                continue
            linked.add(anchor)
            parts.append(nodes.Text(text.astext()[end : match.start()]))
            parts.append(
                nodes.reference(
                    "",
                    text.astext()[match.start() : match.end()],
                    internal=True,
                    refuri=f"{address}#{anchor}",
                    classes=["glossary-term"],
                )
            )
            end = match.end()
        if parts:
            parts.append(nodes.Text(text.astext()[end:]))
            text.parent.replace(text, [part for part in parts if part.astext()])
    return len(linked)


def _plain(text: str) -> str:
    """Return the text in small letters, with Sphinx's apostrophes as one types them."""
    small = text.replace("’", "'").lower()
    # A letter that has no small one of its own length would shift the places.
    return small if len(small) == len(text) else text.replace("’", "'")


def _is_prose(text: nodes.Text) -> bool:
    in_paragraph = False
    at = text.parent
    while at is not None:
        if isinstance(at, _APART):
            return False
        in_paragraph |= isinstance(at, nodes.paragraph)
        at = at.parent
    return in_paragraph
