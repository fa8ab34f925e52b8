import asyncio
import socket
from typing import Any

import pytest
from bus.rabbit import services
from bus.rabbit.connection import trouble_of
from typing_extensions import override


class Silent(asyncio.SelectorEventLoop):
    """A loop of a machine whose name service does not answer."""

    @override
    async def getaddrinfo(self, *_: Any, **__: Any) -> list[Any]:
        await asyncio.Event().wait()
        return []


def test_a_name_that_nobody_resolves_holds_up_nobody_for_longer_than_a_node_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(services, "CONNECT_TIMEOUT_S", 0.01)
    loop = Silent()
    found: asyncio.Future[Any] = loop.create_future()
    services.LoopServices(loop).getaddrinfo("node-1", 5672, found.set_result)
    told = loop.run_until_complete(found)
    loop.close()
    assert isinstance(told, socket.gaierror)
    assert trouble_of(told) == "nobody says within 0.01 s which address 'node-1' has"
