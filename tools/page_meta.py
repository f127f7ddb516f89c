"""What search engines and link previews learn of a page: address and description.

The public address is that of GitHub Pages, derived from the repository's, which stands
in `_config.yml` alone. The description of a chapter is made of its learning goals, that
of another page of its first paragraph. `sphinxext.opengraph`, `sphinx_sitemap` and
`notfound.extension` do the rest.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx_sitemap import is_excluded

LENGTH = 160  # what search engines show
FALLBACK = (
    "A course on weight initialization for neural networks: every claim is executed "
    "and checked over several seeds."
)
# Shown at addresses of any depth, so that its link must not be relative.
LOST = """<h1>Page not found</h1>
<p>There is no page at this address. It may have moved since the link was made.</p>
<p>The <a href="{home}">first page</a> has a map of all chapters; the search in the
sidebar looks through every page.</p>
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hooks (called by Sphinx, or by the book's extension)."""
    app.connect("config-inited", tell_addresses, priority=100)
    app.connect("doctree-read", remember_description)
    # Before sphinxext.opengraph, which would take any text for a description.
    app.connect("html-page-context", give_description, priority=100)
    app.connect("build-finished", complete_site_map, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def complete_site_map(app: Sphinx, exception: Exception | None) -> None:
    """List all pages: `sphinx_sitemap` forgets those that a build had not to renew."""
    if exception is not None or app.builder.format != "html":
        return
    links = app.sitemap_links
    listed = {(f"{name}.html", None) for name in app.env.found_docs}
    while not links.empty():
        listed.add(links.get())
    for address, changed in sorted(listed, key=lambda link: link[0]):
        if not is_excluded(address, app.config.sitemap_excludes):
            links.put((address, changed))


def pages_address(repository: str) -> str:
    """Return where GitHub Pages serves a repository.

    Raises:
        ValueError: If ``repository`` is no address of the form
            ``https://github.com/OWNER/NAME``.
    """
    found = re.fullmatch(r"https://github\.com/([\w-]+)/([\w.-]+?)/?", repository)
    if not found:
        raise ValueError(
            "repository.url in _config.yml must be https://github.com/OWNER/NAME, "
            f"got {repository!r}"
        )
    return f"https://{found[1].lower()}.github.io/{found[2]}/"


def tell_addresses(_: Sphinx, config: Config) -> None:
    """Give the public address to Sphinx and to the extensions that ask for it."""
    repository = config.html_theme_options["repository_url"]
    config.html_baseurl = config.html_baseurl or pages_address(repository)
    config.ogp_site_url = config.html_baseurl
    config.ogp_site_name = config.html_title
    config.notfound_urls_prefix = urlsplit(config.html_baseurl).path
    config.notfound_context = {
        "title": "Page not found",
        "body": LOST.format(home=f"{config.notfound_urls_prefix}book/index.html"),
    }


def remember_description(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the description with the page's metadata, where opengraph looks too."""
    text = describe(doctree)
    if text:
        app.env.metadata[app.env.docname].setdefault("og:description", text)


def describe(doctree: nodes.document) -> str:
    """Return at most 160 characters that say what the page is about."""
    goals = next(doctree.findall(nodes.enumerated_list), None)
    first = next(
        (each for each in doctree.findall(nodes.paragraph) if each.astext().strip()),
        None,
    )
    if first is None:
        return ""
    if " · reading time " in first.astext() and goals is not None:
        wishes = [_line(item).rstrip(".;") for item in goals.children]
        return _cut("Learn to " + "; ".join(wishes) + ".")
    return _cut(_line(first))


def _line(node: nodes.Node) -> str:
    return " ".join(node.astext().split())


def _cut(text: str) -> str:
    if len(text) <= LENGTH:
        return text
    return text[: LENGTH - 1].rpartition(" ")[0].rstrip(" ,;:.") + "…"


def give_description(
    app: Sphinx, pagename: str, _: str, context: dict[str, Any], *__: Any
) -> None:
    """Write the description into the head of the page."""
    text = app.env.metadata.get(pagename, {}).get("og:description", FALLBACK)
    tag = f'<meta name="description" content="{escape(text)}" />\n'
    context["metatags"] = context.get("metatags", "") + tag
