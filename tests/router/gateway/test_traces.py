from itertools import pairwise

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from router.errors import ConfigError
from router.gateway.traces import set_up_tracing
from tests.router.gateway.conftest import PROVIDER_KEY, Start
from tests.router.gateway.test_gateway import ask

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    # A process has one provider, so the tests of this file share it.
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


def test_a_request_has_spans_for_its_decision_and_its_attempts(start: Start, exporter: InMemorySpanExporter) -> None:
    gateway = start()
    body = {"allowed": ["gpt-4.1-mini", "gpt-5.5"], "prefer": "cheap"}
    ask(gateway, "auto", {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}, router=body)
    gateway.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert list(spans) == ["route", "chat gpt-4.1-mini", "chat gpt-5.5", "chat auto"]
    root = spans["chat auto"]
    assert f"{root.context.trace_id:032x}" == TRACE
    assert {span.parent.span_id for name, span in spans.items() if name != "chat auto" and span.parent} == {
        root.context.span_id
    }
    failed, answered = spans["chat gpt-4.1-mini"].attributes or {}, spans["chat gpt-5.5"].attributes or {}
    assert failed["error.type"] == "transient"
    assert (answered["gen_ai.operation.name"], answered["gen_ai.usage.output_tokens"]) == ("chat", 4)
    assert answered["gen_ai.provider.name"] == "openai"
    assert (spans["route"].attributes or {})["router.task"] == "writing"
    in_order = [spans["route"], spans["chat gpt-4.1-mini"], spans["chat gpt-5.5"]]
    assert all(_end(earlier) <= _start(later) for earlier, later in pairwise(in_order))
    assert _start(root) <= _start(in_order[0])
    assert _end(in_order[-1]) <= _end(root)
    written = "".join(span.to_json() for span in spans.values())
    assert "secret garden" not in written
    assert PROVIDER_KEY not in written


def _start(span: ReadableSpan) -> int:
    return (span.start_time or 0) // 1_000_000


def _end(span: ReadableSpan) -> int:
    return (span.end_time or 0) // 1_000_000


def test_an_unknown_exporter_is_refused() -> None:
    with pytest.raises(ConfigError, match="otlp, console or none"):
        set_up_tracing({"OTEL_TRACES_EXPORTER": "zipkin"})
    set_up_tracing({})
    set_up_tracing({"OTEL_TRACES_EXPORTER": "none"})
