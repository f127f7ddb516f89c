"""How large the explorers are and how fast they follow a control.

    python -m benchmarks.explorers      (needs the built book and Chromium)

In the browser: milliseconds from the input event to the laid-out figure, and the same
as a ratio to a plain relayout of the page, measured side by side. Under a kernel:
milliseconds from a slider's new value to the new picture, for the explorers of the
chapters, as a ratio to drawing the figure alone.
"""

from __future__ import annotations

import re
import shutil
import statistics
import time
from pathlib import Path

BOOK = Path(__file__).parents[1] / "_build" / "html"
FLAGS = "--headless --no-sandbox --disable-gpu --disable-background-networking".split()
MOVES = """
(explorer) => {
  const frame = explorer.querySelector(".frame");
  const controls = [...explorer.querySelectorAll("input, select")];
  const timed = (change) => {
    const started = performance.now();
    change();
    frame.getBoundingClientRect();
    return performance.now() - started;
  };
  const moves = [], layouts = [];
  for (const control of controls)
    for (let k = 0; k < 12; k += 1) {
      const count = control.options ? control.options.length : +control.max + 1;
      moves.push(timed(() => {
        control.value = String(k % count);
        control.dispatchEvent(new Event("input", { bubbles: true }));
      }));
      layouts.push(timed(() => { document.body.style.paddingTop = `${k % 2}px`; }));
    }
  return [moves, layouts];
}
"""


def in_the_browser() -> None:
    """Print size and speed of every explorer of the built book."""
    from playwright.sync_api import sync_playwright

    print(f"{'page':42s} {'states':>6s} {'KB':>5s} {'ms':>6s} {'/ relayout':>10s}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=FLAGS
        )
        for path in sorted(BOOK.rglob("*.html")):
            html = path.read_text(encoding="utf-8")
            if 'class="initlab-explorer"' not in html:
                continue
            page = browser.new_page()
            page.goto(path.as_uri())
            page.wait_for_selector(".initlab-explorer .controls:not([hidden])")
            for explorer in page.query_selector_all(".initlab-explorer"):
                moves, layouts = explorer.evaluate(MOVES)
                states = explorer.evaluate(
                    "(each) => [...each.querySelectorAll('input, select')].reduce("
                    "(n, c) => n * (c.options ? c.options.length : +c.max + 1), 1)"
                )
                size = len(explorer.evaluate("(each) => each.outerHTML")) / 1e3
                middle = statistics.median(moves)
                ratio = middle / statistics.median(layouts)
                name = str(path.relative_to(BOOK))
                print(f"{name:42s} {states:6d} {size:5.0f} {middle:6.1f} {ratio:10.2f}")
            page.close()
        browser.close()


def under_a_kernel() -> None:
    """Print how long the widgets of every chapter's explorer take to redraw."""
    import nbformat
    from nbclient import NotebookClient

    probe = """
import statistics as _s, time as _t
from initlab.explore import Explorer as _E
for _e in [each for each in list(globals().values()) if isinstance(each, _E)]:
    *_inputs, _problem, _image = _e.widget().children
    _times, _drawn = [], []
    for _k in range(12):
        for _i in _inputs:
            _start = _t.perf_counter()
            _i.value = (_i.value + 1) % len(_i.options)
            _times.append(_t.perf_counter() - _start)
            _state = [each.value for each in _inputs]
            _start = _t.perf_counter()
            _e._png(_state)
            _drawn.append(_t.perf_counter() - _start)
    _ms = 1000 * _s.median(_times)
    print(f"REDRAW {_ms:.0f} {_s.median(_times) / _s.median(_drawn):.2f} {_e.title}")
"""
    print(f"\n{'chapter':42s} {'ms':>6s} {'/ figure':>10s}")
    for path in sorted((BOOK.parents[1] / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(probe))
        client = NotebookClient(
            notebook, resources={"metadata": {"path": str(path.parent)}}
        )
        client.execute()
        text = "".join(out.get("text", "") for out in notebook.cells[-1].outputs)
        for milliseconds, ratio in re.findall(r"REDRAW (\d+) ([\d.]+)", text):
            print(f"{path.stem:42s} {milliseconds:>6s} {ratio:>10s}")


def main() -> None:
    """Run both measurements."""
    started = time.perf_counter()
    in_the_browser()
    under_a_kernel()
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
