"""A receiver of OpenTelemetry's traces on loopback (OTLP over HTTP), which keeps the spans."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from receivers import Answer, Asked, Server

PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Seen:
    """A span that arrived."""

    service: str
    name: str
    trace: str
    number: str
    parent: str
    attributes: dict[str, str | int] = field(default_factory=dict)


class OtlpReceiver(Server):
    """The spans that have arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[Seen] = []

    def answer(self, asked: Asked) -> Answer:
        """Keep the spans of one request."""
        assert asked.path == "/v1/traces"
        sent = ExportTraceServiceRequest.FromString(asked.body)
        for resource in sent.resource_spans:
            service = next(
                one.value.string_value for one in resource.resource.attributes if one.key == "service.name"
            )
            for scope in resource.scope_spans:
                for span in scope.spans:
                    known = {
                        one.key: one.value.string_value or one.value.int_value for one in span.attributes
                    }
                    self.spans.append(
                        Seen(
                            service,
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            known,
                        )
                    )
        return Answer()

    def until(self, is_there: Callable[[Seen], bool]) -> Seen:
        """Return the first such span, waiting for it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            if found := next(filter(is_there, self.spans), None):
                return found
            assert time.monotonic() < deadline, self.spans
            time.sleep(0.05)
