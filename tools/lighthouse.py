"""Audit pages of the built book with Lighthouse: ``python -m tools.lighthouse``.

Without arguments it looks at the landing page and the heaviest chapter, as on a desktop
and as on a phone, and prints the four scores of each. The book is served on localhost
as a web host would: gzipped, with a lifetime for files that change seldom. Scores for
performance depend on the machine and on what else it does; the others do not.
"""

from __future__ import annotations

import argparse
import gzip
import http.server
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "_build" / "html"
LIGHTHOUSE = ROOT / "tests" / "browser" / "node_modules" / ".bin" / "lighthouse"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
FORMS = ("desktop", "mobile")
LANDING = "book/index.html"
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)
_TEXT = {".html", ".css", ".js", ".svg", ".json", ".xml", ".txt"}


class _GzipHandler(http.server.SimpleHTTPRequestHandler):
    """Serve files as a web host would."""

    protocol_version = "HTTP/1.1"  # keeps connections open

    def do_GET(self) -> None:
        """Send a file, compressed if it is text; or the page for lost visitors."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        found = path.is_file()
        lost = Path(self.directory) / "404.html"
        if not found and not lost.is_file():
            self.send_error(404)
            return
        path = path if found else lost
        text = path.suffix in _TEXT
        content = _gzipped(path) if text else path.read_bytes()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Length", str(len(content)))
        if text:
            self.send_header("Content-Encoding", "gzip")
        if path.suffix != ".html":
            self.send_header("Cache-Control", "public, max-age=604800")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@cache
def _gzipped(path: Path) -> bytes:
    return gzip.compress(path.read_bytes())


@contextmanager
def served(folder: Path = BOOK) -> Iterator[str]:
    """Serve a folder on a free port of localhost, and give its address."""
    handler = partial(_GzipHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def audit(url: str, form: str, categories: Sequence[str] = CATEGORIES) -> dict:
    """Return Lighthouse's report of one page.

    Args:
        url: The page.
        form: ``"desktop"`` or ``"mobile"``, with the throttling that belongs to it.
        categories: What to look at.

    Raises:
        RuntimeError: If Lighthouse or Chromium is missing, or the audit fails.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None or not LIGHTHOUSE.exists():
        raise RuntimeError(
            "Lighthouse needs Chromium and npm: install both, then `make browser`"
        )
    command = [str(LIGHTHOUSE), url, "--output=json", "--quiet"]
    command += [f"--only-categories={','.join(categories)}", f"--chrome-flags={_FLAGS}"]
    command += ["--preset=desktop"] if form == "desktop" else []
    command += ["--disable-full-page-screenshot"]  # no score depends on it
    environment = os.environ | {"CHROME_PATH": browser, "CI": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"Lighthouse failed on {url}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def scores(report: dict) -> dict[str, int]:
    """Return the score of each category of a report, out of 100."""
    return {
        name: round(100 * category["score"])
        for name, category in report["categories"].items()
    }


def failures(report: dict) -> list[str]:
    """Return what lowers the scores: audit, score and what they found."""
    found = []
    for category in report["categories"].values():
        for part in category["auditRefs"]:
            each = report["audits"][part["id"]]
            if part["weight"] and each["score"] is not None and each["score"] < 0.9:
                value = each.get("displayValue", "")
                found.append(f"{each['id']} {each['score']:.2f} {value}".strip())
    return found


def heaviest_chapter(book: Path = BOOK) -> str:
    """Return the chapter whose page, with its images, has the most bytes."""

    def weight(page: Path) -> int:
        images = book / "_images"
        html = page.read_text(encoding="utf-8")
        return len(html.encode()) + sum(
            each.stat().st_size for each in images.glob("*") if each.name in html
        )

    page = max((book / "notebooks").glob("*.html"), key=weight)
    return str(page.relative_to(book))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the scores of pages; return 0 if all are as high as promised."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.lighthouse", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("pages", nargs="*", help="such as book/index.html")
    parser.add_argument("--runs", type=int, default=3, help="take the median of (3)")
    options = parser.parse_args(arguments)
    pages = options.pages or [LANDING, heaviest_chapter()]
    promised = {"desktop": (90, 95, 95, 95), "mobile": (75, 95, 95, 95)}
    kept = True
    with served() as address:
        for page in pages:
            for form in FORMS:
                reports = [audit(address + page, form) for _ in range(options.runs)]
                middle = [
                    round(statistics.median(scores(each)[name] for each in reports))
                    for name in CATEGORIES
                ]
                kept &= all(a >= b for a, b in zip(middle, promised[form], strict=True))
                row = ", ".join(map("{} {}".format, CATEGORIES, middle))
                print(f"{page}, {form}: {row}")
                for line in failures(reports[0]):
                    print(f"    {line}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
