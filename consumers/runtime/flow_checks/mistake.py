"""PURE: one mistake in a flow, and where it stands in the source."""

import inspect
import linecache
import re
import sys
from dataclasses import dataclass
from pathlib import Path

DEFINITION = re.compile(r"\s*(async\s+def|def|class)\b")


@dataclass(frozen=True)
class Mistake:
    """What is wrong and what to write instead; `about` is the function, class, module or flow concerned."""

    words: str
    about: object = None

    def __str__(self) -> str:
        place = place_of(self.about)
        return f"{place}: {self.words}" if place else self.words


def place_of(thing: object) -> str:
    """The file and line at which a function, a class, a module or a module's constant is defined, or ""."""
    if isinstance(thing, str):
        return thing
    if inspect.ismodule(thing):
        return f"{_shown(thing.__file__)}:1" if thing.__file__ else thing.__name__
    if inspect.isfunction(thing) or inspect.isclass(thing):
        try:
            lines, first = inspect.getsourcelines(thing)
            file = inspect.getsourcefile(thing)
        except (OSError, TypeError):
            return f"{thing.__module__}.{thing.__qualname__}"
        # The first lines are those of the decorators.
        offset = next((number for number, line in enumerate(lines) if DEFINITION.match(line)), 0)
        return f"{_shown(file)}:{max(first, 1) + offset}"
    return _place_of_constant(thing) if thing is not None else ""


def _place_of_constant(thing: object) -> str:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        for name in [name for name, value in list(vars(module).items()) if value is thing] if file else []:
            for number, line in enumerate(linecache.getlines(str(file)), start=1):
                if re.match(rf"{re.escape(name)}\b[^=]*=[^=]", line):
                    return f"{_shown(file)}:{number}"
    return ""


def _shown(file: str | None) -> str:
    path = Path(file or "?")
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
