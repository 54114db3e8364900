"""Each attempt is a span of the client's trace."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llm_service.routing import spans
from tests.llm_service.serving import SURFACES, asking, row, serving
from tests.simulators.faults import Fault
from tests.simulators.openai import OpenAISimulator

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "tracer", provider.get_tracer("test"))
    monkeypatch.setattr(spans, "somebody_records", lambda: True)
    yield exporter
    provider.shutdown()


def told(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_every_attempt_is_a_span_of_the_clients_trace(recorded: InMemorySpanExporter, tmp_path: Path) -> None:
    async with (
        OpenAISimulator() as bad,
        OpenAISimulator() as good,
        serving(tmp_path, {"bad": row(bad), "good": row(good)}) as llm,
    ):
        bad.faults.append(Fault("status", status=429))
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        await llm.post(SURFACES[0], json=asking(stream=True), headers=headers)
    failed, answered = recorded.get_finished_spans()
    for span in (failed, answered):
        assert span.context is not None
        assert span.parent is not None
        assert f"{span.context.trace_id:032x}" == TRACE
        assert f"{span.parent.span_id:016x}" == PARENT
        assert span.name == "chat gpt-4o"
    assert told(failed)["gen_ai.provider.name"] == "bad"
    assert told(failed)["error.type"] == "provider_rate_limited"
    assert told(failed)["http.response.status_code"] == 429
    assert not failed.status.is_ok
    assert told(answered)["synapscale.result"] == "completed"
    assert isinstance(told(answered)["gen_ai.usage.output_tokens"], int)
    assert answered.status.is_unset


async def test_no_word_of_the_conversation_is_in_a_span(recorded: InMemorySpanExporter, tmp_path: Path) -> None:
    async with OpenAISimulator() as sim, serving(tmp_path, {"openai": row(sim)}) as llm:
        await llm.post(SURFACES[0], json=asking("segredo"))
    (span,) = recorded.get_finished_spans()
    assert "segredo" not in span.to_json()
    assert sim.api_key not in span.to_json()
