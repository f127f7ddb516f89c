"""The laboratory has three floors, and imports only point down."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "initlab"
FLOORS = {
    3: "runtime explore _static_page plots claims checks grade _grade __main__ "
    "__init__",
    2: "signals spectra _stacks _passes race race_jobs race_parallel race_result "
    "race_seeds race_setup stacked stack_layers stack_optimizers stack_plan compiled "
    "looped keras_layers lsuv _lsuv_pass doctor _doctor studies _study _study_list "
    "_study_runs recordings data _archives _official _stand_ins tasks",
    1: "schemes _scheme _fans _samplers _sources _structured keras_initializer "
    "activations _formulas theory mean_field _crossings _fixed_points _pair "
    "_quadrature _recommendation intervals",
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names.split()}
HEAVY = {"tensorflow", "keras", "scipy"}


def imports(path):
    """Every module that a file imports, and whether only at need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "initlab":
            names = [f"initlab.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        yield from ((name, node in tree.body) for name in names)


def modules():
    return [
        pytest.param(path, id=str(path.relative_to(PACKAGE)))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]


def floor_of(path):
    return FLOOR[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]


@pytest.mark.parametrize("path", modules())
def test_a_module_imports_from_its_own_floor_or_below(path):
    for name, _ in imports(path):
        if name.startswith("initlab."):
            assert FLOOR[name.split(".")[1]] <= floor_of(path), name


@pytest.mark.parametrize("path", modules())
def test_heavy_packages_are_imported_only_when_a_function_needs_them(path):
    at_once = {name.split(".")[0] for name, at_once in imports(path) if at_once}
    assert not at_once & HEAVY


def test_the_ground_floor_knows_no_tensorflow():
    for path in PACKAGE.glob("*.py"):
        if floor_of(path) == 1 and path.stem not in ("schemes", "_scheme"):
            named = {name.split(".")[0] for name, _ in imports(path)}
            assert "tensorflow" not in named, path
