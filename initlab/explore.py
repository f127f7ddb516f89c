"""Explorers: one function that draws a figure, with controls that work everywhere.

``@explore(std=slider(...), activation=choice(...), alt=...)`` over a function that
returns a matplotlib figure shows it with its controls. Under a kernel (Jupyter, Colab,
VS Code) those are ipywidgets that redraw the figure. In the book build every state is
drawn once and packed into one self-contained piece of HTML that needs no kernel, no
library and no network. Read :class:`Explorer` first; ``_static_page`` does the packing.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from initlab import _static_page, runtime

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FRAME_KINDS = ("svg", "webp")
_LIVE_DPI = 110


@dataclass(frozen=True)
class Control:
    """One control: its allowed values, how each is written, and where it starts.

    Attributes:
        kind: ``"slider"`` for ordered values, ``"choice"`` for named ones.
        values: What the drawn function receives, in the order of the control.
        texts: How each value is shown to the reader, one per value.
        default: Index of the value that the reader sees first.
        label: What stands beside the control; the argument's name if empty.
    """

    kind: str
    values: tuple[Any, ...]
    texts: tuple[str, ...]
    default: int
    label: str = ""


def slider(
    values: Iterable[Any],
    *,
    default: Any = None,
    label: str = "",
    format: str | Callable[[Any], str] = "{:g}",
) -> Control:
    """A slider over ordered values.

    Args:
        values: At least two different values, in the order of the slider.
        default: The value shown first; the middle one if not given.
        label: What stands beside the slider; the argument's name if empty.
        format: How a value is written: a format string, or a function of the value.

    Raises:
        ValueError: If there are fewer than two values, if two are written alike, or
            if ``default`` is not one of them.
    """
    values = tuple(values)
    write = format.format if isinstance(format, str) else format
    return _control("slider", values, [write(v) for v in values], default, label)


def choice(
    options: Iterable[Any] | Mapping[str, Any],
    *,
    default: Any = None,
    label: str = "",
) -> Control:
    """A drop-down list of named options.

    Args:
        options: Values written with ``str``, or a mapping from text to value.
        default: The value shown first; the first one if not given.
        label: What stands beside the list; the argument's name if empty.

    Raises:
        ValueError: As for :func:`slider`.
    """
    if isinstance(options, Mapping):
        texts, values = list(options), tuple(options.values())
    else:
        values = tuple(options)
        texts = [str(value) for value in values]
    if default is None and values:
        default = values[0]
    return _control("choice", values, texts, default, label)


def explore(
    *,
    alt: str | Callable[..., str],
    title: str = "",
    frames: str = "svg",
    max_states: int = 400,
    max_bytes: int = 300_000,
    **controls: Control,
) -> Callable[[Callable[..., Figure]], Explorer]:
    """Turn a function that draws a figure into an explorer, and show it.

    Args:
        alt: What the figure shows, for readers who do not see it: a format string
            over the controls' texts (``"... at std {std}"``), or a function that
            takes the controls' values and returns the sentence.
        title: Name of the explorer, read out before its controls; the function's
            docstring's first line if empty.
        frames: ``"svg"`` for line figures (small, sharp, follows the page's colours)
            or ``"webp"`` for dense ones (images, scatter of many points).
        max_states: The static page draws every combination of the controls' values;
            more than this is refused.
        max_bytes: Largest size of the static HTML; more is refused.
        **controls: One :func:`slider` or :func:`choice` per argument of the function.

    Returns:
        A decorator. It returns an :class:`Explorer` and, inside IPython, shows it.

    Raises:
        TypeError: If the controls are not the function's arguments.
        ValueError: If there is no control, no ``alt``, or a budget is exceeded.
    """

    def decorate(draw: Callable[..., Figure]) -> Explorer:
        heading = title or (inspect.getdoc(draw) or draw.__name__).splitlines()[0]
        explorer = Explorer(
            draw, dict(controls), alt, heading, frames, max_states, max_bytes
        )
        if _inside_ipython():
            explorer._ipython_display_()
        return explorer

    return decorate


@dataclass(frozen=True)
class Explorer:
    """A figure with controls. Call it with values of its controls to get the figure."""

    draw: Callable[..., Figure]
    controls: dict[str, Control]
    alt: str | Callable[..., str]
    title: str
    frames: str = "svg"
    max_states: int = 400
    max_bytes: int = 300_000

    def __post_init__(self) -> None:
        """Refuse what could only fail later, in front of a reader."""
        _check_controls(self.draw, self.controls)
        if self.frames not in _FRAME_KINDS:
            raise ValueError(f"frames must be one of {_FRAME_KINDS}, got {self.frames}")
        if not self.alt:
            raise ValueError("alt must say what the figure shows, got nothing")
        if self.states > self.max_states:
            sizes = " × ".join(str(len(c.values)) for c in self.controls.values())
            raise ValueError(
                f"the controls have {sizes} = {self.states} states, "
                f"more than max_states = {self.max_states}; use fewer values"
            )
        self.description(self.default)

    def __call__(self, **values: Any) -> Figure:
        """Draw the figure for the given values; defaults for those not given."""
        return self._figure({**self._values(self.default), **values})

    @property
    def default(self) -> tuple[int, ...]:
        """Index of each control's first value, in the controls' order."""
        return tuple(control.default for control in self.controls.values())

    @property
    def states(self) -> int:
        """Number of combinations of the controls' values."""
        product = 1
        for control in self.controls.values():
            product *= len(control.values)
        return product

    def description(self, state: Sequence[int]) -> str:
        """The sentence that stands for the figure in one state."""
        if callable(self.alt):
            return self.alt(**self._values(state))
        texts = {
            name: control.texts[index]
            for (name, control), index in zip(self.controls.items(), state, strict=True)
        }
        try:
            return self.alt.format(**texts)
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"alt names {error.args[0]!r}, which is not a control; "
                f"the controls are {', '.join(self.controls)}"
            ) from None

    def html(self) -> str:
        """The explorer as one self-contained piece of HTML, every state drawn.

        Raises:
            ValueError: If it is larger than ``max_bytes``.
        """
        sizes = [len(control.values) for control in self.controls.values()]
        grid = list(itertools.product(*map(range, sizes)))
        with _only_new_garbage():
            place = _static_page.common_layout(map(self._state_figure, self._probes()))
            states = [self._frame(state, place) for state in grid]
        text = _static_page.page(
            title=self.title,
            controls=self.controls,
            states=states,
            descriptions=[self.description(state) for state in grid],
            default=grid.index(self.default),
        )
        size = len(text.encode())
        if size > self.max_bytes:
            raise ValueError(
                f"the explorer {self.title!r} takes {size:,} bytes, more than "
                f"max_bytes = {self.max_bytes:,}; draw fewer points, use fewer values, "
                "or set frames='webp' if the figure is dense"
            )
        return text

    def widget(self) -> Any:
        """The explorer as ipywidgets: the controls above an image that they redraw.

        An ``Image`` is used, not an ``Output``: its value is what the kernel drew, so
        it can be tested, and it shows in every front end that has ipywidgets 7 or 8.
        """
        import ipywidgets

        inputs = [_input(name, c) for name, c in self.controls.items()]
        image = ipywidgets.Image(format="png", value=self._png(self.default))
        image.layout.max_width = "100%"
        problem = ipywidgets.HTML()

        def redraw(_: Any = None) -> None:
            try:
                image.value = self._png([each.value for each in inputs])
                problem.value = ""
            except Exception as error:  # shown to the reader, not lost in a log
                problem.value = f"<b>{type(error).__name__}</b>: {error}"

        for each in inputs:
            each.observe(redraw, names="value")
        return ipywidgets.VBox([*inputs, problem, image])

    def _ipython_display_(self) -> None:
        from IPython.display import display

        controls = ", ".join(self.controls)
        plain = {"text/plain": f"Explorer: {self.title} (move {controls})"}
        if runtime.building_book() or not _has_ipywidgets():
            display({**plain, "text/html": self.html()}, raw=True)
            return
        view = {
            "version_major": 2,
            "version_minor": 0,
            "model_id": self.widget().model_id,
        }
        display(
            {**plain, "application/vnd.jupyter.widget-view+json": view},
            raw=True,
        )

    def _values(self, state: Sequence[int]) -> dict[str, Any]:
        pairs = zip(self.controls.items(), state, strict=True)
        return {name: control.values[index] for (name, control), index in pairs}

    def _figure(self, values: dict[str, Any]) -> Figure:
        from matplotlib import pyplot as plt
        from matplotlib.figure import Figure

        figure = self.draw(**values)
        if not isinstance(figure, Figure):
            raise TypeError(
                f"{self.draw.__name__} must return a matplotlib Figure, "
                f"got {type(figure).__name__}"
            )
        plt.close(figure)  # otherwise the notebook would show it a second time
        return figure

    def _state_figure(self, state: Sequence[int]) -> Figure:
        return self._figure(self._values(state))

    def _probes(self) -> list[list[int]]:
        """The default state, and it again with every control at either end."""
        probes = [list(self.default)]
        for position, control in enumerate(self.controls.values()):
            for end in (0, len(control.values) - 1):
                probes.append([*self.default])
                probes[-1][position] = end
        return probes

    def _png(self, state: Sequence[int]) -> bytes:
        buffer = io.BytesIO()
        self._state_figure(state).savefig(buffer, format="png", dpi=_LIVE_DPI)
        return buffer.getvalue()

    def _frame(self, state: Sequence[int], place: Callable[[Figure], None]) -> str:
        def draw() -> Figure:
            figure = self._state_figure(state)
            place(figure)
            return figure

        if self.frames == "webp":
            return _static_page.webp_frame(draw)
        return _static_page.svg_frame(draw)


@contextlib.contextmanager
def _only_new_garbage() -> Iterator[None]:
    """Look for garbage only among what is made from now on, not in all of TensorFlow.

    Figures make so much garbage that Python would look through every object of the
    process again and again, a quarter of an explorer's time.
    """
    if gc.get_freeze_count():  # somebody else's decision
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _control(
    kind: str, values: tuple[Any, ...], texts: list[str], default: Any, label: str
) -> Control:
    if len(values) < 2:
        raise ValueError(f"a {kind} needs at least 2 values, got {len(values)}")
    if twice := [text for text in texts if texts.count(text) > 1]:
        raise ValueError(f"the texts of a {kind} must differ, got {twice[0]!r} twice")
    if default is None:
        index = len(values) // 2
    elif default in values:
        index = values.index(default)
    else:
        raise ValueError(f"default must be one of {values}, got {default!r}")
    return Control(kind, values, tuple(texts), index, label)


def _check_controls(draw: Callable[..., Figure], controls: dict[str, Control]) -> None:
    if not controls:
        raise ValueError("an explorer needs at least one slider or choice")
    for name, control in controls.items():
        if not isinstance(control, Control):
            raise TypeError(
                f"{name} must be a slider or a choice, got {type(control).__name__}"
            )
    parameters = inspect.signature(draw).parameters.values()
    required = {p.name for p in parameters if p.default is p.empty}
    accepted = {p.name for p in parameters}
    if missing := required - set(controls):
        raise TypeError(f"no control for the argument {sorted(missing)[0]!r}")
    if extra := set(controls) - accepted:
        raise TypeError(
            f"the function has no argument {sorted(extra)[0]!r}; "
            f"its arguments are {', '.join(sorted(accepted))}"
        )


def _input(name: str, control: Control) -> Any:
    import ipywidgets

    kind = {"slider": ipywidgets.SelectionSlider, "choice": ipywidgets.Dropdown}
    return kind[control.kind](
        options=[(text, index) for index, text in enumerate(control.texts)],
        value=control.default,
        description=control.label or name,
        style={"description_width": "10em"},
        layout={"width": "30em", "max_width": "100%"},
    )


def _inside_ipython() -> bool:
    import sys

    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def _has_ipywidgets() -> bool:
    import importlib.util

    return importlib.util.find_spec("ipywidgets") is not None
