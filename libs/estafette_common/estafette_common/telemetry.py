"""Structured logs and traces: one JSON line per event, with the trace it belongs to."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import DEFAULT_OFF, DEFAULT_ON
from opentelemetry.trace import SpanKind
from structlog.typing import EventDict, Processor

if TYPE_CHECKING:
    from estafette_common.bus.messages.message import Envelope

_TRACEBACK = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
"""Without local variables: they hold payloads and secrets."""

_TRACER = trace.get_tracer("estafette")


def configure(*, service: str, log_level: str = "info", otlp_endpoint: str = "") -> None:
    """Set up logs on stderr and traces to an OTLP/HTTP endpoint (`http://host:4318/v1/traces`; empty: not sent)."""
    level = logging.getLevelNamesMapping()[log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_service(service),
            _add_trace,
            structlog.processors.ExceptionRenderer(_TRACEBACK),
            structlog.processors.JSONRenderer(serializer=_encode),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=max(level, logging.WARNING), stream=sys.stderr)
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"estafette-{service}"}),
        sampler=DEFAULT_ON if otlp_endpoint else DEFAULT_OFF,  # trace ids travel on either way
    )
    if otlp_endpoint:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=otlp_endpoint)))
    trace.set_tracer_provider(provider)


@contextmanager
def handling(consumer: str, envelope: "Envelope", headers: Mapping[str, str]) -> Iterator[None]:
    """Handle a message inside the trace of who published it; its id and type go into every log line."""
    with (
        _TRACER.start_as_current_span(
            f"{consumer} process",
            context=extract(dict(headers)),
            kind=SpanKind.CONSUMER,
            attributes={"messaging.system": "nats", "messaging.message.id": envelope.id},
        ),
        structlog.contextvars.bound_contextvars(event_id=envelope.id, event_type=envelope.type),
    ):
        yield


def traceparent() -> str:
    """Return the W3C trace context of the current span, or nothing outside of any."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def doing(name: str, carrier: Mapping[str, str] | None = None) -> Iterator[None]:
    """Do something inside a span, within the trace that the carrier's `traceparent` names, if any."""
    with _TRACER.start_as_current_span(name, context=extract(dict(carrier or {}))):
        yield


def _encode(event: EventDict, **_: Any) -> bytes:
    return msgspec.json.encode(event, enc_hook=repr)


def _add_service(service: str) -> Processor:
    def add(_: Any, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _add_trace(_: Any, __: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = trace.format_trace_id(context.trace_id)
        event["span_id"] = trace.format_span_id(context.span_id)
    return event
