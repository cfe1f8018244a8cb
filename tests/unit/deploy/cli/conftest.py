"""Statuses to look at."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.status import SagaStatus, StepStatus

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
MakeStatus = Callable[..., SagaStatus]


@pytest.fixture
def status() -> MakeStatus:
    """A status; each step is `name=state`, begun a second after the one before."""

    def make(state: str, steps: dict[str, str] | None = None, **fields: Any) -> SagaStatus:
        told = [
            StepStatus(
                name=name,
                participant="campaign.studio",
                state=step_state,  # type: ignore[arg-type]
                started_at=NOON + timedelta(seconds=number),
                ended_at=NOON + timedelta(seconds=number + 0.5) if step_state == "done" else None,
                item=f"{name}/m1" if step_state in ("held", "stuck", "delayed") else None,
            )
            for number, (name, step_state) in enumerate((steps or {}).items())
        ]
        named = {"saga_id": "one", "saga": "campaign", "progress_percent": 40, "started_at": NOON, "updated_at": NOON}
        return SagaStatus.model_validate(named | {"state": state, "steps": told} | fields)

    return make
