"""The composition root that the settings name: which sagas this hub runs."""

import importlib

from consumers.kinds import SagaKind
from producers.settings import Settings


def sagas_of(settings: Settings) -> tuple[SagaKind, ...]:
    """The saga kinds of the composition root the settings name; raises `FlowError`, ImportError or AttributeError."""
    module, _, function = settings.application.partition(":")
    kinds: tuple[SagaKind, ...] = getattr(importlib.import_module(module), function)()
    return kinds
