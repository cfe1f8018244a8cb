"""PURE: when the next attempt is due. The strategy is tenacity's; the attempts survive a crash in the journal."""

from functools import cache

from tenacity import RetryCallState, Retrying, wait_exponential

from consumers.runtime.steps import Retry, in_seconds


def wait_seconds(retry: Retry, attempt: int) -> float:
    """How long to wait after failed attempt number `attempt` (1 is the first), in seconds; doubles up to the most."""
    state = RetryCallState(_no_retrying(), None, (), {})
    state.attempt_number = attempt
    return _strategy(retry)(state)


@cache
def _strategy(retry: Retry) -> wait_exponential:
    return wait_exponential(multiplier=in_seconds(retry.first), max=in_seconds(retry.most))


@cache
def _no_retrying() -> Retrying:
    return Retrying()
