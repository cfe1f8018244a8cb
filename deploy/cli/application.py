"""The composition root that the settings name: which sagas this hub runs."""

import importlib
import sys
import sysconfig
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from consumers import kinds
from consumers.kinds import SagaKind
from consumers.runtime.flow_checks.mistake import Mistake
from producers.errors import FlowError, SomaError, UnknownApplication
from producers.settings import Settings
from schemas import message

# A frame in here is never the author's: the call that led to it is.
ROOT = Path(kinds.__file__).parent
PACKAGES = (ROOT / "runtime", ROOT / "kinds.py", Path(message.__file__), Path(__file__))
PYTHON = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))


def sagas_of(settings: Settings) -> tuple[SagaKind, ...]:
    """The saga kinds of the composition root the settings name, with their flows checked.

    Raises `FlowError` with the mistakes of all kinds, and with file and line for code that cannot be imported;
    `UnknownApplication` where there is no such composition root.
    """
    found = _composed(settings)
    _collect(found, lambda kind: kind.graph)
    twice = [saga for saga, count in Counter(kind.graph.saga for kind in found).items() if count > 1]
    if twice:
        raise FlowError(
            settings.application, [f"it has more than one saga kind called {' and '.join(twice)}: keep one of each"]
        )
    return found


def check_adapters(settings: Settings, found: tuple[SagaKind, ...]) -> None:
    """See that an adapter stands behind each port; raises `FlowError` with the mistakes of all kinds."""
    _collect(found, lambda kind: kind.adapters(settings))


def _composed(settings: Settings) -> tuple[SagaKind, ...]:
    module, _, function = settings.application.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)()
    except Exception as error:
        place = _place_of(error)
        if isinstance(error, SomaError):
            raise
        if isinstance(error, ImportError | AttributeError | ValueError) and place is None:
            raise UnknownApplication(settings.application, str(error)) from error
        raise FlowError(settings.application, [_line(error, place)]) from error
    if not isinstance(found, tuple | list) or not all(isinstance(kind, SagaKind) for kind in found):
        words = f"{settings.application} returns no tuple of saga kinds: write `return (saga_kind(…),)`"
        raise FlowError(settings.application, [str(Mistake(words, getattr(sys.modules[module], function)))])
    return tuple(found)


def _collect(found: Iterable[SagaKind], look: Callable[[SagaKind], object]) -> None:
    """Look at every kind; raises one `FlowError` with the mistakes of all."""
    mistakes: dict[str, list[str]] = {}
    for kind in found:
        try:
            look(kind)
        except FlowError as error:
            mistakes.setdefault(kind.draft.saga, []).extend(error.mistakes)
        except (SomaError, ValueError):
            raise
        except Exception as error:
            mistakes.setdefault(kind.draft.saga, []).append(_line(error, _place_of(error)))
    if mistakes:
        raise FlowError(", ".join(mistakes), [line for lines in mistakes.values() for line in lines])


def _line(error: BaseException, place: str | None) -> str:
    words = (str(error).strip().splitlines() or [""])[0]
    return f"{place}: {type(error).__name__}: {words}" if place else f"{type(error).__name__}: {words}"


def _place_of(error: BaseException) -> str | None:
    """The file and line in the author's code at which it was raised; None where only other code was running."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    # The first frames are those of this module.
    frames = traceback.extract_tb(error.__traceback__)[1:]
    authors = [frame for frame in frames if Path(frame.filename).is_file() and not _is_foreign(Path(frame.filename))]
    return f"{_shown(authors[-1].filename)}:{authors[-1].lineno}" if authors else None


def _is_foreign(file: Path) -> bool:
    return any(file.is_relative_to(folder) for folder in (*PACKAGES, *PYTHON))


def _shown(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
