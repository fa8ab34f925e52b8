"""A TLS terminator, as stunnel is one before xapi's port: what it decrypts goes on to a socket."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certificates import Files

_PIECE_BYTES = 65_536


@contextmanager
def terminating(files: Files, door: Path) -> Iterator[int]:
    """Serve on loopback; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    started: list[int] = []
    is_open, is_over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        server = await asyncio.start_server(
            lambda reader, writer: _carry(reader, writer, door), "127.0.0.1", 0, ssl=context
        )
        async with server:
            started.append(server.sockets[0].getsockname()[1])
            is_open.set()
            await is_over.wait()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    is_open.wait()
    yield started[0]
    loop.call_soon_threadsafe(is_over.set)
    thread.join()
    loop.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: Path) -> None:
    inner_reader, inner_writer = await asyncio.open_unix_connection(door)
    await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(_PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()
