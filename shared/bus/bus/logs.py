"""Logs: what a process says of itself, as text or as JSON a line; the only importer of python-json-logger.

A message that is written while a task, a VM or a trace is worked on names them, whoever writes it: whoever
begins such work says what it is about (`about`). Secrets that the process itself has are struck out.
"""

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

from pythonjsonlogger.json import JsonFormatter
from schema.debug_info import trace_of
from typing_extensions import override

from bus.ports import Entry

VARIABLE = "XENOPS_LOG_FORMAT"
TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
STRUCK_OUT = "***"

SECRET_CHARACTERS_MIN = 6
"""What is shorter is no secret, and would strike out words."""


class LogFormat(StrEnum):
    """How a message is written."""

    TEXT = "text"
    JSON = "json"


class LogFormatError(ValueError):
    """The variable makes no sense; the sentence says what to set."""


@dataclass(frozen=True, slots=True)
class Concern:
    """What is worked on; None and "" where there is no such thing."""

    task: int | None = None
    vm: str = ""
    trace: str = ""


_concern: ContextVar[Callable[[], Concern] | None] = ContextVar("xenops_concern", default=None)


class about:  # noqa: N801  read as a word: with about(...)
    """While it lasts, messages of this thread, or of this coroutine, name what `tell` answers.

    It is only asked when something is written, for most of the work nothing is.
    """

    __slots__ = ("_tell", "_token")

    def __init__(self, tell: Callable[[], Concern]) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        self._token: Token[Callable[[], Concern] | None] = _concern.set(self._tell)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _concern.reset(self._token)


def of_entry(entry: Entry) -> Concern:
    """What an entry of a log is about; a request for an operation is a task by its own offset."""
    record: Any = entry.record
    task = entry.offset if record.kind == "Submitted" else getattr(record, "task", None)
    return Concern(task, getattr(record, "vm", None) or "", trace_of(getattr(record, "traceparent", None)))


def passwords(urls: str) -> tuple[str, ...]:
    """The secrets in brokers' URLs, divided by commas, as they stand there and as they are meant."""
    found = (urlsplit(url.strip()).password for url in urls.split(","))
    return tuple(form for secret in found if secret for form in {secret, unquote(secret)})


def log_format(environment: Mapping[str, str]) -> LogFormat:
    """How to write, from `XENOPS_LOG_FORMAT`; raises LogFormatError."""
    wanted = environment.get(VARIABLE) or LogFormat.TEXT
    if wanted not in set(LogFormat):
        raise LogFormatError(f"{VARIABLE} is {wanted!r}: set it to text or json")
    return LogFormat(wanted)


class Written(logging.Handler):
    """Where the process's messages go: standard error, a line each; tracebacks are part of theirs in JSON."""

    def __init__(self, form: LogFormat, service: str) -> None:
        super().__init__()
        self._instances: tuple[str, ...] = ()
        self._secrets: tuple[str, ...] = ()
        self._service = service
        text = logging.Formatter(TEXT)
        self.setFormatter(text if form is LogFormat.TEXT else JsonFormatter(json_ensure_ascii=False))
        self._is_json = form is LogFormat.JSON

    def introduce(self, instances: Iterable[str], secrets: Iterable[str]) -> None:
        """From now on, messages name these instances, and hide these secrets."""
        self._instances = tuple(instances)
        kept = {secret for secret in secrets if len(secret) >= SECRET_CHARACTERS_MIN}
        self._secrets = tuple(sorted(kept, key=len, reverse=True))

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.line(record)}\n")
            sys.stderr.flush()
        except Exception:  # noqa: BLE001  as every handler of logging: who logs is not to fail of it
            self.handleError(record)

    def line(self, record: logging.LogRecord) -> str:
        """How a message is written."""
        if self._is_json:
            record = self._with_fields(record)
        line = self.format(record)
        for secret in self._secrets:
            line = line.replace(secret, STRUCK_OUT)
        return line

    def _with_fields(self, record: logging.LogRecord) -> logging.LogRecord:
        tell = _concern.get()
        concern = tell() if tell is not None else Concern()
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self._service,
            "instance": ",".join(self._instances),
            "logger": record.name,
            "task": concern.task,
            "vm": concern.vm,
            "trace": concern.trace,
        }
        copied = logging.makeLogRecord(record.__dict__)
        for name, value in fields.items():
            if value not in (None, ""):
                setattr(copied, name, value)
        return copied


def write_to_stderr(form: LogFormat, service: str) -> Written:
    """Have all messages of this process written so: its own from INFO on, of libraries what is wrong."""
    written = Written(form, service)
    logging.basicConfig(handlers=[written])
    logging.getLogger(service).setLevel(logging.INFO)
    return written
