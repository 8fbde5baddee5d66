"""Traces by OpenTelemetry, where the environment names a receiver (docs/monitoring.md, "Traces").

Without one nothing of OpenTelemetry is imported. A span has names and numbers: no SQL, no values, no messages.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

HEADER = "traceparent"
"""The header, and the key in a run's conf, by which a trace goes on elsewhere (W3C Trace Context)."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
TIMEOUTS = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
SENT_WITHIN_SECONDS = 2
"""How long a program waits for a receiver, unless the environment says otherwise."""

Kind = Literal["internal", "server", "client", "consumer"]


def is_on() -> bool:
    """Return whether the environment names a receiver of traces."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    return not disabled and exporter == "otlp" and any(os.environ.get(name) for name in ENDPOINTS)


@contextmanager
def trace_span(
    service: str,
    name: str,
    *,
    parent: str | None = None,
    kind: Kind = "internal",
    attributes: Mapping[str, str | int] | None = None,
) -> Iterator[Span | None]:
    """Trace a block of work; yield its span, or None where traces are off.

    Args:
        service: The name of the program, unless ``OTEL_SERVICE_NAME`` gives another.
        name: The name of the span.
        parent: The ``traceparent`` of the span that caused it; by default the current one.
        kind: The kind of the span.
        attributes: What is known of it at the beginning.
    """
    provider = _provider(service) if is_on() else None
    if provider is None:
        yield None
        return
    from opentelemetry.trace import SpanKind, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({HEADER: parent}) if parent else None
    with provider.get_tracer("dli").start_as_current_span(
        name,
        context=context,
        kind=SpanKind[kind.upper()],
        attributes=dict(attributes or {}),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


@contextmanager
def child_span(
    name: str, *, kind: Kind = "internal", attributes: Mapping[str, str | int] | None = None
) -> Iterator[Span | None]:
    """Trace a block of work as a part of the current span; without one, trace nothing."""
    service = _started()
    if service is None or traceparent() is None:
        yield None
        return
    with trace_span(service, name, kind=kind, attributes=attributes) as span:
        yield span


def traceparent() -> str | None:
    """Return the ``traceparent`` of the current span; None without one."""
    if not is_on() or _started() is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER)


def flush() -> None:
    """Send the spans that have ended; wait a moment for the receiver."""
    for provider in _PROVIDERS.values():
        provider.force_flush(SENT_WITHIN_SECONDS * 1000)


_PROVIDERS: dict[str, TracerProvider] = {}


def _started() -> str | None:
    """Return the service that has begun a trace in this process."""
    return next(iter(_PROVIDERS), None)


@cache
def _provider(service: str) -> TracerProvider | None:
    import logging

    log = logging.getLogger("opentelemetry")
    log.addHandler(logging.NullHandler())  # without a log, such as that of a server, nothing is printed
    protocol = next((os.environ[name] for name in PROTOCOLS if os.environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        log.warning("No traces are sent: the protocol is %s, and http/protobuf alone is spoken.", protocol)
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("No traces are sent: install dli-basecamp[otel].")
        return None
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))
    seconds = None if any(os.environ.get(name) for name in TIMEOUTS) else SENT_WITHIN_SECONDS
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=seconds)))
    _PROVIDERS[service] = provider
    return provider
