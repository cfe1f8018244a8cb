"""One real stack for all fault tests of a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.hub import Hub


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A running stack with the dying application."""
    home: Path = tmp_path_factory.mktemp("hub")
    running = Hub(home)
    yield running
    running.stop()
