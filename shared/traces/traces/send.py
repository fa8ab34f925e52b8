"""Send: where spans go: which kind of endpoint a text names."""

import http.client
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

from traces import zipkin
from traces.endpoint import Endpoint, ExportError, Source
from traces.observers import Observer
from traces.span import Span

BUGTOOL = "bugtool"
"""The endpoint that is a file for the host's bug report, as in the original."""

SEND_TIMEOUT_S = 10.0
"""How long a collector may take to accept spans."""

_OTLP_PATH = "/v1/traces"
"""How the URL of a collector of OpenTelemetry ends, by its specification; any other URL is Zipkin's."""


def open_endpoint(name: str, source: Source) -> Endpoint:
    """What a text names. Errors: `ExportError` when it names nothing that spans can be sent to."""
    if name == BUGTOOL:
        return _File(source)
    if not _is_web_address(name):
        raise ExportError(f"{name!r} is neither {BUGTOOL!r} nor an http or https URL")
    if urlsplit(name).path.rstrip("/").endswith(_OTLP_PATH):
        from traces.otlp import OtlpEndpoint  # noqa: PLC0415  loaded by who needs it, see there

        return OtlpEndpoint(name, source, SEND_TIMEOUT_S)
    return _Zipkin(name, source)


def _is_web_address(name: str) -> bool:
    try:
        url = urlsplit(name)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _File:
    """The file of a host's bug report."""

    source: Source

    def send(self, spans: Sequence[Span], observer: Observer) -> None:
        try:
            self.source.file.write(
                zipkin.encode(spans, observer, self.source.service), self.source.settings()
            )
        except (OSError, ValueError) as error:
            raise ExportError(f"{self.source.settings().trace_log_dir}: {error}") from error

    def close(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Zipkin:
    """A collector of Zipkin's, or anything else that takes its JSON by POST."""

    url: str
    source: Source

    def send(self, spans: Sequence[Span], observer: Observer) -> None:
        body = zipkin.encode(spans, observer, self.source.service)
        try:
            status = self._post(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ExportError(f"{self.url}: {error}; does a collector listen there?") from error
        if status >= HTTPStatus.BAD_REQUEST:
            raise ExportError(f"{self.url} answers {status}")

    def _post(self, body: bytes) -> int:
        url = urlsplit(self.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname or "", url.port, timeout=SEND_TIMEOUT_S)
        try:
            target = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
            connection.request("POST", target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read(1)
            return answer.status
        finally:
            connection.close()

    def close(self) -> None:
        pass
