"""An OpenTelemetry span for each attempt, by the conventions for generative AI clients.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. Only the API is used: without an SDK in the process
(`opentelemetry-instrument`, or one that the operator sets up) nothing is recorded.
"""

from collections.abc import Mapping
from time import monotonic

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from llm_service.routing.attempts import Attempt

tracer = trace.get_tracer("synapscale.llm")

LOOK_EVERY = 1.0
"""Seconds after which it is noticed that somebody has begun to record."""
_recorded, _look_at = False, 0.0


def parent_of(headers: Mapping[str, str]) -> Context | None:
    """The trace that a request belongs to, by its `traceparent`; None where nobody records."""
    return propagate.extract(headers) if somebody_records() else None


def somebody_records() -> bool:
    """Looked up once a second: it takes 2 µs, of which a request would pay several."""
    global _recorded, _look_at
    if (now := monotonic()) >= _look_at:
        _look_at = now + LOOK_EVERY
        _recorded = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    return _recorded


def begin(attempt: Attempt, *, parent: Context | None) -> Span:
    if not somebody_records():
        return INVALID_SPAN
    provider = attempt.target.provider
    attributes: dict[str, AttributeValue] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider.name,
        "gen_ai.request.model": attempt.target.model,
        "synapscale.stream": attempt.stream,
    }
    return tracer.start_span(f"chat {attempt.target.model}", parent, kind=SpanKind.CLIENT, attributes=attributes)


def end(span: Span, attempt: Attempt) -> None:
    """Tells what became of the attempt; costs nothing where nobody records."""
    if span.is_recording():
        span.set_attributes(dict(_outcome(attempt)))
        if attempt.error is not None:
            span.set_status(Status(StatusCode.ERROR, attempt.error.kind))
    span.end()


def _outcome(attempt: Attempt) -> Mapping[str, AttributeValue]:
    told: dict[str, AttributeValue] = {"synapscale.result": attempt.result}
    if attempt.key is not None:
        told["synapscale.key"] = attempt.key
    if attempt.error is not None:
        told["error.type"] = attempt.error.kind
        if attempt.error.status is not None:
            told["http.response.status_code"] = attempt.error.status
    if attempt.usage is not None:
        told["gen_ai.usage.input_tokens"] = attempt.usage.input_tokens
        told["gen_ai.usage.output_tokens"] = attempt.usage.output_tokens
    if attempt.first_content_ms is not None:
        told["synapscale.first_content_ms"] = attempt.first_content_ms
    return told
