"""Tell whether a part of the checker was replaced while student code could do so.

`Originals` remembers functions, classes and modules by the names under which
``initlab`` looks them up. They are compared as objects and by the code in them, for a
function can also be changed in its place.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

# What the checks call to judge: who replaces these decides as well.
_FOREIGN = ("builtins", "math", "copy", "numpy")
_UNKNOWN = object()


class Originals:
    """What every name of ``initlab`` meant when it was first seen.

    Args:
        foreign: also watch the names of numpy, math and the builtins.
    """

    def __init__(self, foreign: bool = True) -> None:
        """Remember everything that is loaded now."""
        self._foreign = foreign
        self._seen: dict[str, tuple[Any, ...]] = {}
        self._places: set[str] = set()
        self.replaced()

    def replaced(self) -> list[str]:
        """Return the names that mean something else now; new names are remembered."""
        found = []
        now: dict[str, tuple[Any, ...]] = {}
        places: set[str] = set()
        for place, name, value in self._entries():
            places.add(place)
            full = f"{place}.{name}"
            known = self._seen.get(full)
            if known is None:
                if self._is_intruder(place, name, value):
                    found.append(full)
                elif _decides(place, name, value):
                    now[full] = _identity(value)
            elif not _same(known, _identity(value)):
                found.append(full)
        self._seen.update(now)
        self._places |= places
        return sorted(found)

    def _entries(self) -> Iterator[tuple[str, str, Any]]:
        """Yield (where, name, value) of everything that is watched."""
        for home, module in sorted(sys.modules.items()):
            ours = home.partition(".")[0] == "initlab"
            if not ours and not (self._foreign and home in _FOREIGN):
                continue
            for name, value in list(getattr(module, "__dict__", {}).items()):
                yield home, name, value
                if not ours:
                    continue
                if isinstance(value, type) and value.__module__ == home:
                    for member, inner in list(vars(value).items()):
                        yield f"{home}.{name}", member, inner
                elif name == "TASKS" and isinstance(value, tuple):
                    for place, task in enumerate(value):
                        for key, inner in list(vars(task).items()):
                            yield f"{home}.TASKS[{place}]", key, inner

    def _is_intruder(self, place: str, name: str, value: Any) -> bool:
        """Tell whether a new name stands in front of what was meant before."""
        if place == "initlab":  # names of the package are fetched on first use
            home = getattr(sys.modules[place], "_HOME", {}).get(name)
            if home is None:
                return False
            module = sys.modules.get(f"initlab.{home}")
            return getattr(module, name, _UNKNOWN) is not value
        if place not in self._places or not place.startswith("initlab."):
            return False
        if place in sys.modules:  # a global that hides a builtin
            return hasattr(builtins, name) and not name.startswith("__")
        return isinstance(value, FunctionType)  # a method that hides an inherited one


def _decides(place: str, name: str, value: Any) -> bool:
    """Tell whether a verdict may hang on what a name means: data are left alone."""
    if place.endswith("]") or name == "TASKS":
        return True
    return callable(value) or isinstance(value, ModuleType)


def _identity(value: Any) -> tuple[Any, ...]:
    if isinstance(value, FunctionType):
        return value, value.__code__, value.__defaults__, value.__kwdefaults__
    return (value,)


def _same(old: tuple[Any, ...], new: tuple[Any, ...]) -> bool:
    if len(old) != len(new):
        return False
    if len(old) == 1:
        return old[0] is new[0]
    # A module that was loaded again has equal functions, and they are as good.
    return old[0].__globals__ is new[0].__globals__ and all(
        before is after or _equal(before, after)
        for before, after in zip(old[1:], new[1:], strict=True)
    )


def _equal(before: Any, after: Any) -> bool:
    try:
        return bool(before == after)
    except Exception:  # arrays among the defaults
        return False
