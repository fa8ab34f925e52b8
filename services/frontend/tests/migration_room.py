"""A frontend that takes migrations in, and a test that is source, worker and redirector."""

import socket
import threading
from pathlib import Path
from typing import Any

from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Entry, Request
from bus.process import Settings as BusSettings
from frontend.doors import HANDOVER_NAME
from frontend.service import build
from frontend.settings import Doors, Settings
from schema.ids import InstanceName, VmId
from schema.notices import Notice
from schema.records import Record

INSTANCE = InstanceName("i")
VM = VmId("5a5c9d47-0cd5-4aee-b3a4-6a1c0f3b8d2e")
COMING = VmId("5a5c9d47-0cd5-4aee-b3a4-000000000001")
PATIENCE_S = 120.0


class World:
    """A frontend, its doors, and who comes to them."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "door"
        broker = MemoryBroker()
        self.bus, self.leader = MemoryBus(broker, "frontend"), MemoryBus(broker, "leader")
        self.records: list[Record] = []
        self._more = threading.Condition()
        self.leader.tail(INSTANCE, BEGINNING, self._on_entry, lambda: None)
        doors = Doors(migration=(self.path,), sockets={INSTANCE: directory / "s"})
        self.handover = directory / "s" / HANDOVER_NAME
        settings = Settings(BusSettings((INSTANCE,), ""), doors)
        self.service = build(self.bus, settings)
        self.service.start()
        self.bus.ready(PATIENCE_S)
        self._sockets: list[socket.socket] = []

    def _on_entry(self, entry: Entry) -> None:
        with self._more:
            self.records.append(entry.record)
            self._more.notify_all()

    def wait_for(self, kind: type[Record], times: int = 1) -> Any:
        """The last record of a kind, once there are so many of it."""

        def found() -> list[Record]:
            return [record for record in self.records if isinstance(record, kind)]

        with self._more:
            assert self._more.wait_for(lambda: len(found()) >= times, PATIENCE_S)
            return found()[-1]

    def put(self, target: str, more: str = "") -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        self._sockets.append(client)
        client.settimeout(PATIENCE_S)
        client.connect(str(self.path))
        client.sendall(f"PUT {target} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode())
        return client

    def source(self, more: str = "") -> socket.socket:
        return self.put(
            f"/services/xenops/migrate/vm/{COMING}", f"cookie: final_id={VM}; memory_limit=1{more}\r\n"
        )

    def tell(self, notice: Notice, to: str) -> None:
        self.leader.send(to, Request(notice.model_dump_json().encode()))

    def close(self) -> None:
        for client in self._sockets:
            client.close()
        self.service.stop()
        self.bus.close()
        self.leader.close()


def read(client: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (more := client.recv(size - len(content))):
        content += more
    return content
