import base64
import contextlib
import gc
import html
import importlib
import json
import re
import zlib
from types import SimpleNamespace

import matplotlib
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import initlab as lab
from initlab import _static_page

matplotlib.use("Agg")
explore = importlib.import_module("initlab.explore")  # `lab.explore` is the function


def line(slope, shift):
    """A line.

    Nothing more.
    """
    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot([0, 1], [shift, shift + slope], color="#0072b2", label=f"slope {slope}")
    axes.set(ylim=(-5, 5), xlabel="x")
    axes.legend()
    return figure


def controls():
    return {
        "slope": lab.slider([0.5, 1, 2], label="slope of the line"),
        "shift": lab.choice({"none": 0, "<up>": 1}),
    }


@pytest.fixture
def explorer():
    alt = "A line of slope {slope}, shift {shift}."
    return lab.explore(alt=alt, **controls())(line)


@pytest.fixture
def page(explorer):
    return explorer.html()


def unpack(page):
    packed = re.search(r'class="packed">([^<]+)<', page)[1]
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def frame(data, state):
    return "\n".join(data["lines"][k] for k in data["frames"][data["states"][state]])


# Controls


def test_a_slider_starts_in_the_middle_and_a_choice_at_the_first():
    assert lab.slider([1, 2, 3]).default == 1
    assert lab.choice(["a", "b"]).default == 0
    assert lab.slider([1, 2, 3], default=3).default == 2


def test_values_are_written_as_asked():
    assert lab.slider([0.25, 0.5], format="{:.1%}").texts == ("25.0%", "50.0%")
    assert lab.slider([1, 2], format=lambda v: "I" * v).texts == ("I", "II")
    assert lab.choice({"one": 1, "two": 2}).values == (1, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lab.slider([1]), "a slider needs at least 2 values, got 1"),
        (lambda: lab.choice([]), "a choice needs at least 2 values, got 0"),
        (lambda: lab.slider([1, 2, 1]), "texts of a slider must differ, got '1' twice"),
        (lambda: lab.slider([1.01, 1.02], format="{:.1f}"), "texts of a slider must"),
        (lambda: lab.slider([1, 2], default=5), "default must be one of .*, got 5"),
        (lambda: lab.choice(["a", "b"], default="c"), "default must be one of"),
    ],
)
def test_useless_controls_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# The explorer


def test_calling_an_explorer_draws_with_defaults_for_the_rest(explorer):
    figure = explorer(slope=2)
    assert isinstance(figure, Figure)
    assert list(figure.axes[0].lines[0].get_ydata()) == [0, 2]
    assert not plt.get_fignums(), "the figure was left open and would show twice"


def test_the_title_is_the_first_line_of_the_docstring(explorer):
    assert explorer.title == "A line."


def test_every_state_has_its_description(explorer):
    assert explorer.description((2, 1)) == "A line of slope 2, shift <up>."
    spoken = lab.explore(alt=lambda slope, shift: f"{slope + shift}", **controls())
    assert spoken(line).description((1, 1)) == "2"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"alt": ""}, ValueError, "alt must say what the figure shows"),
        ({"alt": "{colour}"}, ValueError, "alt names 'colour', which is not a control"),
        ({"frames": "gif"}, ValueError, "frames must be one of"),
        ({"max_states": 5}, ValueError, r"3 × 2 = 6 states, more than max_states = 5"),
        ({"shift": None}, TypeError, "shift must be a slider or a choice, got None"),
        ({"colour": lab.choice("ab")}, TypeError, "has no argument 'colour'"),
    ],
)
def test_what_would_fail_later_is_refused_at_once(changes, error, message):
    arguments = {"alt": "A line.", **controls(), **changes}
    with pytest.raises(error, match=message):
        lab.explore(**arguments)(line)


def test_a_missing_control_is_named():
    with pytest.raises(TypeError, match="no control for the argument 'shift'"):
        lab.explore(alt="A line.", slope=lab.slider([1, 2]))(line)
    with pytest.raises(ValueError, match="at least one slider or choice"):
        lab.explore(alt="A line.")(line)


def test_a_function_that_returns_no_figure_is_named():
    explorer = lab.explore(alt="x", a=lab.slider([1, 2]))(lambda a: a)
    with pytest.raises(TypeError, match="must return a matplotlib Figure, got int"):
        explorer.html()


def test_garbage_is_looked_for_among_new_objects_only_while_the_states_are_drawn():
    frozen = []

    def draw(n):
        frozen.append(gc.get_freeze_count() > 0)
        if n == 3:
            raise ZeroDivisionError
        return plt.figure()

    for values in ([1, 2], [1, 3]):
        explorer = lab.explore(alt="Nothing.", n=lab.slider(values))(draw)
        with contextlib.suppress(ZeroDivisionError):
            explorer.html()
    assert all(frozen)
    assert gc.get_freeze_count() == 0


def test_too_large_an_explorer_is_refused_with_its_size():
    explorer = lab.explore(alt="A line.", max_bytes=2000, **controls())(line)
    with pytest.raises(ValueError, match=r"takes [\d,]+ bytes, more than max_bytes"):
        explorer.html()


# The static page


def test_the_page_holds_every_state_as_the_function_draws_it(page):
    data = unpack(page)
    assert len(data["states"]) == 6
    labels = [re.search(r"slope [\d.]+", frame(data, k))[0] for k in range(6)]
    assert labels == ["slope 0.5"] * 2 + ["slope 1"] * 2 + ["slope 2"] * 2
    assert len({frame(data, k) for k in range(6)}) == 6
    assert data["descriptions"][5] == "A line of slope 2, shift <up>."


def test_the_default_figure_is_there_without_a_script(page):
    before_script = page[: page.index("<script")]
    assert "<svg" in before_script
    assert "slope 1" in before_script
    assert "<noscript>" in page
    assert 'aria-label="A line of slope 1, shift none."' in before_script


def test_the_default_frame_is_the_default_state(page):
    data = unpack(page)
    own_id = re.search(r'id="(initlab-[^"]+)"', page)[1]
    shown = frame(data, 2).replace("@@", own_id + "-")
    assert shown in page


def test_the_page_wires_itself_once(page):
    own_id = re.search(r'id="(initlab-[^"]+)"', page)[1]
    [script] = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    assert "addEventListener" in script
    assert script.rstrip().endswith(f'("{own_id}");')


def test_the_page_asks_for_nothing_outside(page):
    assert not re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*\"", page)
    assert not re.findall(r"https?://(?!www\.w3\.org)", page)


def test_controls_are_native_labelled_and_escaped(page):
    assert re.search(r'<label for="([^"]+-slope)">slope of the line</label>', page)
    assert '<input type="range"' in page
    assert 'aria-valuetext="1"' in page
    assert "&lt;up&gt;</option>" in page
    assert "<up>" not in page.replace("&lt;up&gt;", "")
    texts = html.unescape(re.search(r'data-texts="([^"]+)"', page)[1])
    assert json.loads(texts) == ["0.5", "1", "2"]


def test_one_explorer_shown_twice_has_two_sets_of_ids(explorer):
    first, second = (re.findall(r' id="([^"]+)"', explorer.html()) for _ in range(2))
    assert len(first) == len(set(first)) == len(second)
    assert not set(first) & set(second)


def test_ids_inside_a_figure_belong_to_the_explorer(page):
    own_id = re.search(r'id="(initlab-[^"]+)"', page)[1]
    visible = page[: page.index("<script")]
    referred = re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', visible)
    assert referred
    for name in (a or b for a, b in referred):
        assert name.startswith(own_id)
        assert f'id="{name}"' in visible


def test_figures_follow_the_theme_of_the_page(page):
    data = unpack(page)
    assert "currentColor" in frame(data, 0)
    assert "#010203" not in frame(data, 0)
    assert "#0072b2" in frame(data, 0), "colours of the data must stay"


def test_numbers_that_a_reader_reads_keep_their_digits():
    def draw():
        figure, axes = plt.subplots()
        axes.set(title="std 0.07937", xticks=[0.12345], yticks=[])
        plt.close(figure)
        return figure

    frame = _static_page.svg_frame(draw)
    assert "std 0.07937" in frame
    assert not re.search(r"<[^>]*\d\.\d{3,}", frame)


def test_equal_states_are_stored_once():
    explorer = lab.explore(
        alt="same", slope=lab.slider([1, 2]), shift=lab.slider([0, 1])
    )(lambda slope, shift: line(1, shift))
    data = unpack(explorer.html())
    assert data["states"] == [0, 1, 0, 1]
    assert len(data["frames"]) == 2


def test_two_hundred_states_of_two_panels_fit_the_budget():
    figure, axes = plt.subplots(2, 1, figsize=(5, 4.6))
    lines = [each.plot(range(30))[0] for each in axes]
    plt.setp(axes, ylim=(0, 60))

    def panels(a, b):
        for k, each in enumerate(lines):
            each.set_ydata([a * i**0.5 + b * (k + 1) for i in range(30)])
        return figure

    explorer = lab.explore(
        alt="{a} {b}", a=lab.slider(range(1, 21)), b=lab.slider(range(10))
    )(panels)
    assert len(explorer.html()) < 200_000


def test_axes_stay_in_one_place_over_all_states():
    def wide_labels(size):
        figure, axes = plt.subplots()
        axes.plot([0, size])
        return figure

    with matplotlib.rc_context({"figure.constrained_layout.use": True}):
        explorer = lab.explore(alt="x", size=lab.slider([1, 10, 10**7]))(wide_labels)
        data = unpack(explorer.html())
    corners = {
        re.search(r'<path d="(M[\d. ]+)', frame(data, k).split("patch_2")[-1])[1]
        for k in range(3)
    }
    assert len(corners) == 1


def test_figures_of_different_axes_keep_their_own_layout():
    def panels(count):
        return plt.subplots(count, 1, squeeze=False)[0]

    data = unpack(lab.explore(alt="x", count=lab.slider([1, 2]))(panels).html())
    assert len(data["frames"]) == 2


def test_dense_figures_can_be_pictures():
    explorer = lab.explore(alt="A line.", frames="webp", **controls())(line)
    data = unpack(explorer.html())
    picture = re.search(r"base64,([^\"]+)", frame(data, 0))[1]
    assert base64.b64decode(picture)[8:12] == b"WEBP"


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("M 1.004 2 \nL 3.06 2 \nL 3.06 5 \nz", "M1 2l2.1 0l0 3z"),
        ("M 0 0 L 0.04 0 L 0.08 0 L 0.12 0", "M0 0l0 0l0.1 0l0 0"),
        ("M 0 0 \nC 1 1 2 2 3 3", "M 0 0 C 1 1 2 2 3 3"),
        ("M 0 0 L 1 1 M 5 5 L 6 5", "M0 0l1 1M5 5l1 0"),
    ],
)
def test_paths_are_shortened_without_drifting(path, short):
    assert _static_page._short_path(path) == short


# Under a kernel


def test_under_a_kernel_the_sliders_redraw_the_image(explorer):
    box = explorer.widget()
    slope, shift, problem, image = box.children
    before = bytes(image.value)
    assert before.startswith(b"\x89PNG")
    slope.value = 2
    assert bytes(image.value) != before
    shift.value = 1
    assert problem.value == ""
    slope.value, shift.value = explorer.default
    assert bytes(image.value) == before


def test_an_error_while_redrawing_is_shown_to_the_reader():
    def fragile(size):
        if size == 3:
            raise ZeroDivisionError("three is too many")
        return line(size, 0)

    box = lab.explore(alt="x", size=lab.slider([1, 2, 3]))(fragile).widget()
    size, problem, image = box.children
    size.value = 2
    assert "three is too many" in problem.value
    size.value = 0
    assert problem.value == ""


def shown(explorer, monkeypatch):
    import IPython.display

    calls = []
    monkeypatch.setattr(
        IPython.display, "display", lambda data, raw: calls.append((data, raw))
    )
    explorer._ipython_display_()
    [(bundle, raw)] = calls
    assert raw
    assert bundle["text/plain"] == "Explorer: A line. (move slope, shift)"
    return set(bundle) - {"text/plain"}


def test_the_book_gets_html_and_a_kernel_gets_widgets(explorer, monkeypatch):
    monkeypatch.setenv("INITLAB_BOOK", "1")
    assert shown(explorer, monkeypatch) == {"text/html"}
    monkeypatch.delenv("INITLAB_BOOK")
    widget = {"application/vnd.jupyter.widget-view+json"}
    assert shown(explorer, monkeypatch) == widget


def test_without_ipywidgets_the_static_page_serves(explorer, monkeypatch):
    monkeypatch.delenv("INITLAB_BOOK", raising=False)
    monkeypatch.setattr(explore, "_has_ipywidgets", lambda: False)
    assert shown(explorer, monkeypatch) == {"text/html"}


def test_the_decorator_shows_the_explorer_inside_ipython(monkeypatch):
    seen = []
    monkeypatch.setattr(explore, "_inside_ipython", lambda: True)
    monkeypatch.setattr(
        explore.Explorer, "_ipython_display_", lambda self: seen.append(self)
    )
    explorer = lab.explore(alt="A line.", **controls())(line)
    assert seen == [explorer]


def test_ipython_is_noticed_only_when_it_runs(monkeypatch):
    import sys

    fake = SimpleNamespace(get_ipython=lambda: object())
    monkeypatch.setitem(sys.modules, "IPython", fake)
    assert explore._inside_ipython()
    fake.get_ipython = lambda: None
    assert not explore._inside_ipython()
