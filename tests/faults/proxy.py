"""Proxy: a service's way to its broker, which can be cut, slowed, or swallow all that is said on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

_CHUNK_BYTES = 65_536
_DRIP_BYTES = 64


class Proxy:
    """Listens on a loopback port and passes on what comes, both ways; on a thread of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._chunk_bytes, self._delay_s = _CHUNK_BYTES, 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = self._do(self._listen())
        port = self._server.sockets[0].getsockname()[1]
        self.url = url.replace(f":{parts.port}", f":{port}")

    def cut(self) -> None:
        """Break every connection, as a router that is restarted; new ones may be made."""
        self._do(self._cut())

    def swallow(self, *, all_of_it: bool) -> None:
        """From now on nothing arrives, and nobody is told (half-open); or all is passed on again."""
        self._do(self._set_open(not all_of_it))

    def slow(self, delay_s: float, *, drips: bool = False) -> None:
        """Each piece takes so long; `drips`: and is small."""
        self._delay_s = delay_s
        self._chunk_bytes = _DRIP_BYTES if drips else _CHUNK_BYTES

    def close(self) -> None:
        """Pass on nothing more."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30.0)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._on_client, "127.0.0.1", 0)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, onward = await asyncio.open_connection(*self._to)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, onward}
        await asyncio.gather(self._pass(reader, onward), self._pass(there, writer))
        self._writers -= {writer, onward}

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(self._chunk_bytes):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._open.wait()
                writer.write(piece)
                await writer.drain()
        writer.close()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _set_open(self, is_open: bool) -> None:  # noqa: FBT001  a switch
        if is_open:
            self._open.set()
        else:
            self._open.clear()

    async def _close(self) -> None:
        self._server.close()
        self._open.set()
        await self._cut()
        await asyncio.sleep(0)
