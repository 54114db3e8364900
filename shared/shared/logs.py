"""Structured logs: one JSON object a line (or coloured text for a person), the same for our code and libraries'."""

import json
import logging
import re
import sys
from contextvars import ContextVar
from typing import Any, Literal

import structlog

from shared.access import Access, Format, access_log, as_json, timestamp

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What could end a line, drive a terminal, turn text around, or has no UTF-8; clients choose some of what is logged."""

request_at_hand: ContextVar[tuple[str, str]] = ContextVar("request_at_hand", default=("", ""))
"""Id and service of the request that this task works for; every line logged meanwhile tells them."""


def configure_logs(*, level: str, style: Literal["json", "console"]) -> None:
    """Sends everything that is logged in this process to standard error. May be called more than once."""
    shared: list[structlog.typing.Processor] = [
        _with_request,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    shared.append(structlog.processors.format_exc_info if style == "json" else _escaped)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_one_line)
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # others show local variables, secrets among them
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    access_log.configure(sys.stderr, line=as_json if style == "json" else _for_a_person(renderer))
    for chatty in ("httpx2", "httpcore2", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _with_request(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    request_id, service = request_at_hand.get()
    return {"request_id": request_id, "service": service, **event} if request_id else event


def _for_a_person(renderer: structlog.typing.Processor) -> Format:
    def line(access: Access) -> str:
        fields = access._asdict()
        when = timestamp(fields.pop("moment"))
        event = {**fields, "event": "request", "level": "info", "logger": "access", "timestamp": when}
        return str(renderer(None, "info", dict(_escaped(None, "info", event))))

    return line


def _one_line(event: Any, **options: Any) -> str:
    return _UNPRINTABLE.sub(_escape, json.dumps(event, ensure_ascii=False, **options))


def _escaped(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {
        name: _UNPRINTABLE.sub(_escape, value) if isinstance(value, str) and name != "stack" else value
        for name, value in event.items()
    }


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
