"""Calls to downstream systems continue the trace of the requests that they are made for (W3C Trace Context)."""

import httpx
from opentelemetry.propagate import inject


async def continue_trace(request: httpx.Request) -> None:
    """A request hook of httpx: adds the ``traceparent`` of the current span, if there is one."""
    inject(request.headers)
