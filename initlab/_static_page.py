"""Packs an explorer's states into one piece of HTML (used by ``explore`` only).

Every state is a frame of SVG. Neighbouring frames share most of their lines (axes,
ticks, labels), so the lines are stored once, a frame is a list of line numbers, and
the whole is deflated. The browser undoes this with what it has built in.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Drawn in this colour, written as `currentColor`: it follows the page's theme.
_INK = "#010203"
_INK_SETTINGS = (
    "text.color",
    "axes.labelcolor",
    "axes.edgecolor",
    "axes.titlecolor",
    "xtick.color",
    "ytick.color",
    "xtick.labelcolor",
    "ytick.labelcolor",
    "legend.labelcolor",
)
_LONG_NUMBER = re.compile(r"\d+\.\d{3,}")
_times_shown: Counter[str] = Counter()  # one explorer shown twice needs two ids
_ID_PREFIX = "@@"  # becomes the explorer's own id, so that no two share one


def common_layout(figures: Iterable[Figure]) -> Callable[[Figure], None]:
    """Find places for the axes that suit all the figures, and return what sets them.

    Axes that stay where they are let the eye compare two states, they deflate better,
    and no state pays for a layout of its own. Figures whose numbers of axes differ
    have no common layout and keep their own.
    """
    boxes = []
    for figure in figures:
        figure.draw_without_rendering()
        boxes.append([axes.get_position().extents for axes in figure.axes])
    if len({len(each) for each in boxes}) > 1:
        return lambda figure: None
    extents = np.array(boxes)  # (figures, axes, [left, bottom, right, top])
    low, high = extents[..., :2].max(axis=0), extents[..., 2:].min(axis=0)

    def place(figure: Figure) -> None:
        if len(figure.axes) != len(low):
            return
        figure.set_layout_engine("none")
        for axes, corner, size in zip(figure.axes, low, high - low, strict=True):
            axes.set_position((*corner, *size))

    return place


def svg_frame(draw: Callable[[], Figure]) -> str:
    """Draw a figure as compact SVG in the page's own text colour."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    settings = {
        **dict.fromkeys(_INK_SETTINGS, _INK),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.facecolor": "none",
        # A title stands at the top of its axes; matplotlib would measure all tick
        # labels to find out whether one is in its way, a sixth of a frame's time.
        "axes.titley": 1.0,
        "svg.fonttype": "none",
        "svg.hashsalt": "initlab",
    }
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context(settings):
        figure = draw()
        _leave_empty_labels(figure)
        # `savefig` would draw the figure twice, first to find a layout.
        FigureCanvasSVG(figure).print_svg(buffer, metadata=nothing)
    return _compact(buffer.getvalue())


def _leave_empty_labels(figure: Figure) -> None:
    """Do not look for places for labels without a text: that measures all ticks."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.label.get_text():
                axis.set_label_coords(0.5, 0.5)


def webp_frame(draw: Callable[[], Figure]) -> str:
    """Draw a figure as a WebP picture inside an ``img`` element."""
    buffer = io.BytesIO()
    draw().savefig(buffer, format="webp", dpi=110, pil_kwargs={"quality": 70})
    picture = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/webp;base64,{picture}">'


def page(
    *,
    title: str,
    controls: Mapping[str, Any],
    states: Sequence[str],
    descriptions: Sequence[str],
    default: int,
) -> str:
    """The HTML of an explorer: controls, default frame, packed frames and script.

    Args:
        title: Name of the group of controls.
        controls: Name to ``Control``, in the order in which the states vary (the last
            fastest).
        states: One frame per state.
        descriptions: One sentence per state.
        default: Index of the state shown first.
    """
    digest = hashlib.sha256("".join(states).encode()).hexdigest()[:8]
    _times_shown[digest] += 1
    own_id = f"initlab-{digest}-{_times_shown[digest]}"
    rows = "\n".join(_row(own_id, name, c) for name, c in controls.items())
    packed = base64.b64encode(
        zlib.compress(json.dumps(_pack(states, descriptions)).encode(), 9)
    ).decode()
    asset = resources.files("initlab") / "assets"
    return f"""\
<div class="initlab-explorer" id="{own_id}">
<style>{(asset / "explorer.css").read_text(encoding="utf-8")}</style>
<div class="controls" role="group" aria-label="{html.escape(title)}" hidden>
{rows}
</div>
<div class="frame" role="img" aria-label="{html.escape(descriptions[default])}">
{states[default].replace(_ID_PREFIX, own_id + "-")}
</div>
<p class="spoken" aria-live="polite"></p>
<noscript><p>The controls of this figure need JavaScript.</p></noscript>
<script type="text/plain" class="packed">{packed}</script>
<script>{(asset / "explorer.js").read_text(encoding="utf-8")}("{own_id}");</script>
</div>
"""


def _row(own_id: str, name: str, control: Any) -> str:
    label = html.escape(control.label or name)
    texts = [html.escape(text) for text in control.texts]
    at = f'id="{own_id}-{name}" autocomplete="off"'
    head = f'<div class="row"><label for="{own_id}-{name}">{label}</label>'
    if control.kind == "slider":
        return (
            f'{head}<input type="range" {at} min="0" max="{len(texts) - 1}" step="1" '
            f'value="{control.default}" aria-valuetext="{texts[control.default]}" '
            f'data-texts="{html.escape(json.dumps(control.texts))}">'
            f'<output for="{own_id}-{name}">{texts[control.default]}</output></div>'
        )
    options = "".join(
        f'<option value="{k}"{" selected" if k == control.default else ""}>{t}</option>'
        for k, t in enumerate(texts)
    )
    return f"{head}<select {at}>{options}</select></div>"


def _pack(states: Sequence[str], descriptions: Sequence[str]) -> dict[str, Any]:
    lines: dict[str, int] = {}
    frames: dict[str, int] = {}
    packed: list[list[int]] = []
    order: list[int] = []
    for state in states:
        if state not in frames:
            frames[state] = len(packed)
            packed.append(
                [lines.setdefault(line, len(lines)) for line in state.split("\n")]
            )
        order.append(frames[state])
    return {
        "lines": list(lines),
        "frames": packed,
        "states": order,
        "descriptions": list(descriptions),
    }


def _compact(svg: str) -> str:
    """Drop from matplotlib's SVG what a page does not need; keep what is drawn."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    head = f'<svg viewBox="{size[0][9:-1]}" aria-hidden="true">'
    svg = re.sub(r"<svg[^>]*>", head, svg, count=1)
    svg = re.sub(r' d="([^"]*)"', lambda m: f' d="{_short_path(m[1])}"', svg)
    # Coordinates stand inside of tags; what a reader reads keeps its digits.
    svg = re.sub(r"<[^>]*>", lambda tag: _LONG_NUMBER.sub(_two_decimals, tag[0]), svg)
    svg = svg.replace("xlink:href", "href").replace(_INK, "currentColor")
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(
        r' id="([^"]+)"',
        lambda m: f' id="{_ID_PREFIX}{m[1]}"' if m[1] in used else "",
        svg,
    )
    svg = re.sub(r'(url\(#|href="#)', rf"\1{_ID_PREFIX}", svg)
    return "\n".join(line.strip() for line in svg.splitlines() if line.strip())


def _short_path(path: str) -> str:
    """Write a path of straight lines by its steps, to a tenth of a point.

    Steps repeat (the x of a curve advances evenly), so they deflate to a fraction. Each
    step starts where the rounded one before it ended: the rounding does not add up.
    """
    tokens = path.split()
    if not set(re.findall(r"[A-Za-z]", path)) <= {"M", "L", "z"}:
        return " ".join(tokens)
    short, here = [], (0, 0)
    while tokens:
        command = tokens.pop(0)
        if command == "z":
            short.append("z")
            continue
        there = tuple(round(10 * float(tokens.pop(0))) for _ in "xy")
        step = there if command == "M" else (there[0] - here[0], there[1] - here[1])
        numbers = " ".join(f"{number / 10:g}" for number in step)
        short.append(f"{'M' if command == 'M' else 'l'}{numbers}")
        here = there
    return "".join(short)


def _two_decimals(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")
