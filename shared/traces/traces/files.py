"""Files: spans for a host's bug report: a list of spans a line, in files that are rotated and compressed."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

from traces.observers import Settings

_MODE = 0o700
"""Who may read them: only us; as in the original."""


class TraceFile:
    """The files of one service of an instance; safe for any thread."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._made_for = ("", "")

    def write(self, line: bytes, settings: Settings) -> None:
        """Append a line; a file that has grown to its limit is the last one's successor's to follow.

        Errors: `OSError`, `ValueError` for a directory that none can be.
        """
        with self._lock:
            path = self._current(settings)
            path.parent.mkdir(_MODE, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
            with os.fdopen(descriptor, "ab") as file:
                file.write(line + b"\n")
                size = file.tell()
            if size >= settings.max_file_size:
                self._path = None
                if settings.compress_tracing_files:
                    _compress(path)

    def _current(self, settings: Settings) -> Path:
        wanted = (settings.trace_log_dir, settings.host_id)
        if self._path is None or self._made_for != wanted:
            made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f-00:00")
            name = f"{self._service}-{settings.host_id}-{made}".replace("/", "_")
            self._path, self._made_for = Path(settings.trace_log_dir) / f"{name}.ndjson", wanted
        return self._path


def _compress(path: Path) -> None:
    """Put a file's compressed content in its place, by zstd as in the original."""
    import zstandard  # noqa: PLC0415  few hosts trace to files

    compressed = path.with_name(f"{path.name}.zst")
    descriptor = os.open(compressed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    with path.open("rb") as plain, os.fdopen(descriptor, "wb") as packed:
        zstandard.ZstdCompressor().copy_stream(plain, packed)
    path.unlink()
