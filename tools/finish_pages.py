"""The last hand on every built page: light enough for a telephone, and accessible.

The theme's templates are what they are; so after the build each page is rewritten.
For speed (`lighten`):

1. the icons are loaded once, as a font, and not a second time as a script of 1.5 MB;
2. what belongs to live code (Thebe, which would ask the network) goes;
3. scripts and the style of the icons come after the text, in the same order;
4. MathJax comes when a formula comes near (`book/assets/maths.js`);
5. pictures below the first screen come when they come near, and have their size before.

For those who hear the pages (`name_controls`), what axe-core calls serious:

6. a button is called what is written on it, and a control without words gets a name;
7. the bibliography is no list to assistive software, since it is none.

Rewriting a page twice changes nothing, so pages that Sphinx did not write again stay.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

_SCRIPT = re.compile(r"[ \t]*<script\b[^>]*>.*?</script>\n?", flags=re.DOTALL)
_NEEDLESS = (
    re.compile(r"<script[^>]*fontawesome[^>]*all\.min\.js[^>]*></script>\n?"),
    re.compile(r"<script[^>]*sphinx-thebe\.js[^>]*></script>\n?"),
    re.compile(r"<script>const THEBE_JS_URL.*?</script>\n?", flags=re.DOTALL),
    re.compile(r'<script type="text/x-thebe-config">.*?</script>\n?', flags=re.DOTALL),
    re.compile(r"<script>kernelName = .*?</script>\n?", flags=re.DOTALL),
    re.compile(r"<link[^>]*sphinx-thebe\.css[^>]*>\n?"),
    # The fonts of icons are fetched when an icon asks for one.
    re.compile(r'<link rel="preload" as="font"[^>]*>\n?'),
    re.compile(r'<link rel="preload" as="script"[^>]*>\n?'),
    # Sphinx's own is there, and two of them are an error.
    re.compile(
        r'<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    ),
)
_ICONS = re.compile(r'<link href="[^"]*fontawesome[^"]*all\.min\.css[^>]*>\n?')
_MATHJAX = re.compile(
    r'<script defer="defer" src="(\S+?)mathjax/tex-chtml\.js(?:\?[^"]*)?"></script>'
)
_NAMES = (
    # "Search" where the button says "Search Ctrl+K", and the like.
    (re.compile(r'(<button[^>]*search-button-field[^>]*?) aria-label="Search"'), r"\1"),
    (re.compile(r'<summary aria-label="Toggle hidden content">'), "<summary>"),
    (
        re.compile(r'<summary>(?=<span class="toctree-toggle")'),
        '<summary aria-label="Show or hide the pages below">',
    ),
    (re.compile(r'<div role="list" class="citation-list">'), "<div>"),
    (re.compile(r' role="doc-biblioentry"'), ""),
)
_IMAGE = re.compile(r'<img\b(?![^>]*\bloading=)[^>]*?\bsrc="(?P<src>[^":]+)"[^>]*>')


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hook (called by Sphinx, or by the book's extension)."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def finish(app: Sphinx, error: Exception | None) -> None:
    """Rewrite every page of a finished HTML build."""
    if error is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        if "_static" in path.parts:
            continue  # pieces of the theme's templates
        html = path.read_text(encoding="utf-8")
        finished = name_controls(lighten(html, path.parent))
        if finished != html:
            path.write_text(finished, encoding="utf-8")


def lighten(html: str, folder: Path) -> str:
    """Return a page without what it does not need.

    Args:
        html: The page as Sphinx wrote it, or as this function returned it.
        folder: The page's folder, from which its pictures are found.
    """
    for each in _NEEDLESS:
        html = each.sub("", html)
    html = _MATHJAX.sub(
        r'<script defer src="\1maths.js" data-engine="\1mathjax/tex-chtml.js">'
        r"</script>",
        html,
    )
    html = _last(html)
    return _IMAGE.sub(lambda found: _lazy(found[0], found["src"], folder), html)


def name_controls(html: str) -> str:
    """Return a page whose controls have the names that assistive software needs."""
    for pattern, replacement in _NAMES:
        html = pattern.sub(replacement, html)
    return html


def _last(html: str) -> str:
    """Move scripts and icons of the head to the end, but for the theme's mode."""
    head, end_of_head, body = html.partition("</head>")
    late = [each[0] for each in _ICONS.finditer(head)]
    late += [
        each[0] for each in _SCRIPT.finditer(head) if "dataset.theme" not in each[0]
    ]
    if not late or "</body>" not in body:
        return html
    for each in late:
        head = head.replace(each, "", 1)
    # Before the theme's own two scripts, which stand at the end of the body already.
    place = body.find("<!-- Scripts loaded after <body>")
    place = place if place >= 0 else body.rindex("</body>")
    return head + end_of_head + body[:place] + "".join(late) + body[place:]


def _lazy(tag: str, source: str, folder: Path) -> str:
    """Return the tag of a picture with its size, to be loaded when it comes near."""
    added = ' loading="lazy" decoding="async"'
    size = _size(folder / source)
    if size and not re.search(r"\b(width|height|style)=", tag):
        added += f' width="{size[0]}" height="{size[1]}"'
    return f"<img{added}{tag[4:]}"


@cache
def _size(path: Path) -> tuple[int, int] | None:
    if not path.is_file() or path.suffix == ".svg":
        return None
    with Image.open(path) as picture:
        return picture.size
