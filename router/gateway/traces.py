"""Records of requests in, spans of OpenTelemetry out, with its semantic conventions for generative AI."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.trace import Span, SpanKind, StatusCode

from router.errors import ConfigError
from router.gateway.exchange import SeenAttempt
from router.gateway.record import Record

_NS = 1_000_000_000
# The forms of the two headers in W3C's Trace Context. Others would only make a line in the log of the process.
_TRACE = re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2,32}){3}|[!-~ ]{1,512}=[!-~ ]{0,256}")
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_OPERATIONS = {"chat": "chat", "responses": "chat", "messages": "chat"}


def set_up_tracing(environ: Mapping[str, str] = os.environ) -> None:
    """Send spans where the standard variables say. Without them, nothing is sent, or whatever the process has set up.

    Args:
        environ: The environment. `OTEL_TRACES_EXPORTER` is `otlp`, `console` or `none`, and an `OTEL_EXPORTER_OTLP_ENDPOINT`
            alone means `otlp`.

    Raises:
        ConfigError: If the packages that send spans are missing, or the exporter is unknown.
    """
    exporter = environ.get("OTEL_TRACES_EXPORTER") or ("otlp" if any(environ.get(name) for name in _ENDPOINTS) else "none")
    if exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    if exporter not in ("otlp", "console"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER must be otlp, console or none, got {exporter!r}")
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

        if exporter == "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            sender: SpanExporter = OTLPSpanExporter()
        else:
            sender = ConsoleSpanExporter()
    except ImportError as error:
        raise ConfigError(f"traces need the package {error.name!r}; pip install 'contextual-llm-router[otel]'") from error
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(sender))
    trace.set_tracer_provider(provider)


class Traces:
    """Makes one span for each request, and below it one for the decision and one for each attempt.

    No attribute is a text of a request.

    Args:
        providers: Who makes each model.
    """

    def __init__(self, providers: Mapping[str, str]) -> None:
        self._tracer, self._providers = trace.get_tracer("contextual-llm-router"), dict(providers)

    def add(self, record: Record) -> None:
        """Make the spans of a request."""
        headers = {name: value for name, value in record.trace_headers.items() if _TRACE.fullmatch(value)}
        context = extract(headers)
        span = self._tracer.start_span(
            f"{record.protocol} {record.asked or 'unknown'}",
            context,
            SpanKind.SERVER,
            start_time=_to_ns(record.at),
            attributes={"http.response.status_code": record.status, "router.id": record.id, "router.client": record.client},
        )
        if record.code:
            span.set_attribute("error.type", record.code)
            span.set_status(StatusCode.ERROR if record.status >= 500 else StatusCode.UNSET)  # noqa: PLR2004
        inside = trace.set_span_in_context(span)
        if record.decision is not None:
            self._add_decision(record, inside)
        for seen in record.attempts:
            self._add_attempt(record, seen, inside)
        span.end(_to_ns(record.at + record.seconds))

    def _add_decision(self, record: Record, inside: Context) -> None:
        decision = record.decision
        if decision is None:
            return
        decided_at = record.at + record.decided_after_s
        span = self._tracer.start_span("route", inside, start_time=_to_ns(decided_at - record.decided_s))
        _set(
            span,
            {
                "router.task": decision.task,
                "router.confidence": decision.prediction.confidence,
                "router.tier": decision.prediction.tier,
                "router.strategy": decision.strategy,
                "router.model": decision.model,
            },
        )
        span.end(_to_ns(decided_at))

    def _add_attempt(self, record: Record, seen: SeenAttempt, inside: Context) -> None:
        operation, began = _OPERATIONS[record.protocol], record.at + seen.began_at - record.began_at
        span = self._tracer.start_span(f"{operation} {seen.model}", inside, SpanKind.CLIENT, start_time=_to_ns(began))
        _set(
            span,
            {
                "gen_ai.operation.name": operation,
                "gen_ai.provider.name": (self._providers.get(seen.model) or "unknown").lower(),
                "gen_ai.request.model": seen.model,
                "gen_ai.usage.input_tokens": seen.usage.input_tokens,
                "gen_ai.usage.output_tokens": seen.usage.output_tokens,
                "gen_ai.response.time_to_first_chunk": seen.first_s,
                "router.endpoint": seen.endpoint,
            },
        )
        if seen.end != "ok":
            span.set_attribute("error.type", seen.end)
            span.set_status(StatusCode.ERROR)
        span.end(_to_ns(began + seen.seconds))


def _set(span: Span, attributes: Mapping[str, str | float | None]) -> None:
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})


def _to_ns(seconds: float) -> int:
    return int(seconds * _NS)
