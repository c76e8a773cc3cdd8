"""Traces and logs, never with personal data."""

import logging
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.domain.topics import ServiceName
from shared.runtime.settings import TelemetrySettings

_propagator = TraceContextTextMapPropagator()
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_SAMPLED = 1


def traceparent(said: str | None) -> str | None:
    """Builds a ``traceparent`` from the ids and the sampled flag of a received one.

    Returns None unless it is valid (W3C Trace Context, version 00): anything else could be personal data, and is
    neither stored nor passed on.
    """
    read = _TRACEPARENT.fullmatch(said) if said is not None else None
    return f"00-{read[1]}-{read[2]}-{int(read[3], 16) & _SAMPLED:02x}" if read else None


def sampled_trace(said: str | None) -> str | None:
    """The id of the trace that a ``traceparent`` names, if it is sampled: one that is not can be found nowhere."""
    return read[1] if said and (read := _TRACEPARENT.fullmatch(said)) and int(read[3], 16) & _SAMPLED else None


@dataclass(frozen=True)
class Tracing:
    """Makes spans that continue a ``traceparent`` (W3C Trace Context); ``begins``: also where there is none."""

    tracer: trace.Tracer
    begins: bool = False

    @contextmanager
    def each(self, name: str, parents: Sequence[str | None]) -> Iterator[list[str | None]]:
        """A span per sampled parent; yields the ``traceparent`` for what follows, in the same order.

        Unsampled traces are passed on without a span and cost nothing; what is no ``traceparent`` ends here.
        """
        parents = [traceparent(parent) for parent in parents]
        spans = [self.tracer.start_span(name, _context(p), SpanKind.CONSUMER) if _sampled(p) else None for p in parents]
        try:
            yield [_header(span) if span else parent for span, parent in zip(spans, parents, strict=True)]
        finally:
            for span in spans:
                if span:
                    span.end()

    @contextmanager
    def together(self, name: str, parents: Sequence[str | None]) -> Iterator[None]:
        """One current span for a call that carries many requests: child of the first sampled, linked to the others."""
        sampled = [parent for parent in map(traceparent, parents) if _sampled(parent)]
        if not sampled:
            yield
            return
        links = [Link(_span_context(parent)) for parent in sampled[1:]]
        with self.tracer.start_as_current_span(name, _context(sampled[0]), SpanKind.CLIENT, links=links):
            yield

    @contextmanager
    def serve(self, name: str, parent: str | None) -> Iterator[str | None]:
        """The span of a request over HTTP; yields its ``traceparent``, or the parent's where nothing is recorded."""
        parent = traceparent(parent)
        if not self.begins and not _sampled(parent):
            yield parent
            return
        with self.tracer.start_as_current_span(name, _context(parent) if parent else None, SpanKind.SERVER) as span:
            yield _header(span)


def start_tracing(service: ServiceName, settings: TelemetrySettings) -> tuple[Tracing, Callable[[], None]]:
    """Returns the tracing of one process, and what ends it; without a collector it passes every trace on as it is."""
    if not settings.otlp_endpoint:
        return Tracing(trace.NoOpTracer()), lambda: None
    # Imported here: few services export, and the SDK takes a tenth of a second.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    resource = Resource.create({"service.name": f"dsr-{service}"})
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)))
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
    return Tracing(provider.get_tracer("dsr"), begins=settings.sample_ratio > 0), provider.shutdown


def start_logging(settings: TelemetrySettings) -> None:
    """Logs go to standard error, one line each; the chatty libraries only when something is wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(DiscreetFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
    for chatty in ("aiokafka", "httpx", "httpcore", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL if chatty == "aiokafka" else logging.WARNING)


class DiscreetFormatter(logging.Formatter):
    """Formats an exception without its message."""

    def formatException(self, ei: Any) -> str:  # noqa: N802  # the name is logging's
        return where(ei[1])

    def formatStack(self, stack_info: str) -> str:  # noqa: ARG002, N802  # the name is logging's
        return ""


def where(error: BaseException) -> str:
    """Returns the class and place of an error, without its message, which could quote personal data."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(where(each) for each in error.exceptions)
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    path = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {path}"


def _sampled(parent: str | None) -> bool:
    return parent is not None and _span_context(parent).trace_flags.sampled


def _context(parent: str | None) -> trace.Context:  # type: ignore[name-defined]
    return _propagator.extract({"traceparent": parent} if parent else {})


def _span_context(parent: str | None) -> SpanContext:
    return trace.get_current_span(_context(parent)).get_span_context()


def _header(span: Span) -> str | None:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent")
