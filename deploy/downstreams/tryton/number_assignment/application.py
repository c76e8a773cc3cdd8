"""Tryton's WSGI application with a log that names no customer: what failed and where, never with which values."""

import io
import logging
import traceback
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from trytond.application import app
from trytond.tools.logging import format_args


class Nameless(logging.Formatter):
    """A record without the values of a call, and without an exception's message, which may quote a customer."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text; another handler gets it as it was."""
        known = dict(vars(record))
        if isinstance(record.args, tuple):
            known["args"] = tuple("(…)" if isinstance(arg, format_args) else arg for arg in record.args)
        return super().format(logging.makeLogRecord({**known, "exc_text": None}))

    def formatException(  # noqa: N802 - logging's own name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        """Return the trace and the type of an exception, without its message."""
        kind, _, where = ei
        return "".join(traceback.format_tb(where)) + (kind.__name__ if kind else "")


for handler in logging.getLogger().handlers:
    handler.setFormatter(Nameless("%(asctime)s %(levelname)s %(name)s %(message)s"))


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer as Tryton does, without its log of exception messages."""
    environ["wsgi.errors"] = io.StringIO()
    return app(environ, start_response)
