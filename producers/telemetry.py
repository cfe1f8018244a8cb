"""Traces: the W3C context travels in every record; a step's span is a child of the saga's first record."""

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def step_context(traceparent: str) -> Context:
    """The context in which a step runs that was caused by a record with this traceparent."""
    return _PROPAGATOR.extract({"traceparent": traceparent})
