"""A SMAPIv2 storage service on RabbitMQ, for tests: what it keeps of datapaths, and files that come and go.

It is none of our bus: a plain AMQP client. A file or a server is there while somebody has the VDI activated,
and only then, so that who opens one too early, or keeps one too long, is found out.

python storage_server.py BROKER DIRECTORY NAME=MIB …: serve such VDIs as block devices until SIGTERM
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pika

QUEUE = "org.xen.xapi.storage"
_PATIENCE_S = 120.0


class StorageError(Exception):
    """What the service answers instead of a result."""

    def __init__(self, tag: str, content: object) -> None:
        super().__init__(tag)
        self.error = [tag, content]


@dataclass
class Datapath:
    """A datapath of a VDI."""

    read_write: bool
    active: bool = False


@dataclass
class Volume:
    """A VDI: `content` is its file for good, `way` what others are told of, by `kind`."""

    content: Path
    way: Path
    kind: str
    paths: dict[str, Datapath] = field(default_factory=dict)
    epochs: list[tuple[str, object]] = field(default_factory=list)
    server: subprocess.Popen[bytes] | None = None

    def implementations(self) -> list[list[object]]:
        """As `VDI.attach3` tells them."""
        match self.kind:
            case "File":
                return [["File", {"path": str(self.way)}]]
            case "BlockDevice":
                disk = {"params": "vhd:/x", "extra": {"scsi/0x12/default": "AIMC"}, "backend_type": "vbd3"}
                return [["XenDisk", disk], ["BlockDevice", {"path": str(self.way)}]]
            case "Nbd":
                return [["Nbd", {"uri": f"nbd:unix:{self.way}:exportname=disk, one"}]]
            case _:
                disk = {"params": "vhd:/x", "extra": {}, "backend_type": "vbd3"}
                return [["XenDisk", disk]]

    def open(self) -> None:
        """Somebody may use it."""
        if self.kind == "Nbd":
            command = ["qemu-nbd", "-f", "raw", "-t", "-e", "8", "-x", "disk, one", "-k", str(self.way)]
            self.server = subprocess.Popen([*command, str(self.content)])
            end = time.monotonic() + _PATIENCE_S
            while not self.way.exists() and time.monotonic() < end:
                threading.Event().wait(0.01)
        elif self.kind == "BlockDevice":
            command = ["losetup", "--find", "--show", str(self.content)]
            self.way.symlink_to(subprocess.check_output(command, text=True).strip())
        else:
            self.way.symlink_to(self.content)

    def shut(self) -> None:
        """Nobody uses it."""
        if self.server is not None:
            self.server.terminate()
            self.server.wait()
            self.server = None
        if self.kind == "BlockDevice" and self.way.is_symlink():
            subprocess.run(["losetup", "--detach", str(self.way.readlink())], check=True)
        self.way.unlink(missing_ok=True)


class Storage:
    """What the service does; `calls` is what it was asked, in order, as method and VDI or datapath."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.volumes: dict[str, Volume] = {}
        self.calls: list[tuple[str, str]] = []
        self.failing: dict[str, list[object]] = {}

    def add(self, name: str, kind: str = "File", size: int = 8 << 20) -> Volume:
        """A VDI `SR/VDI`, empty."""
        number = len(self.volumes)
        content, way = self.directory / f"content{number}", self.directory / f"way{number}"
        content.touch()
        os.truncate(content, size)
        self.volumes[name] = Volume(content, way, kind)
        return self.volumes[name]

    def in_use(self) -> dict[str, dict[str, Datapath]]:
        """The datapaths that are left, by VDI."""
        return {name: dict(volume.paths) for name, volume in self.volumes.items() if volume.paths}

    def perform(self, body: bytes) -> bytes:
        """The answer to a call."""
        call = json.loads(body)
        [params] = call["params"]
        result, error = None, None
        try:
            result = self._do(call["method"], params)
        except StorageError as refused:
            error = refused.error
        return json.dumps({"result": result, "error": error, "id": call["id"]}).encode()

    def shut(self) -> None:
        """End what it serves."""
        for volume in self.volumes.values():
            volume.shut()

    def _do(self, method: str, params: dict[str, Any]) -> object:
        if method == "DP.destroy":
            self.calls.append((method, params["dp"]))
            self._refuse(method)
            for volume in self.volumes.values():
                self._leave(volume, params["dp"])
            return None
        name = f"{params['sr']}/{params['vdi']}"
        self.calls.append((method, name))
        self._refuse(method)
        if name not in self.volumes:
            raise StorageError("Vdi_does_not_exist", params["vdi"])
        volume = self.volumes[name]
        match method:
            case "VDI.attach3":
                return self._attach(volume, params["dp"], read_write=params["read_write"])
            case "VDI.activate3" | "VDI.activate_readonly":
                self._activate(volume, params["dp"], read_write=method == "VDI.activate3")
            case "VDI.deactivate":
                self._deactivate(volume, params["dp"])
            case "VDI.epoch_begin":
                volume.epochs.append(("begin", params["persistent"]))
            case "VDI.epoch_end":
                volume.epochs.append(("end", params["vm"]))
            case _:
                raise StorageError("Unimplemented", method)
        return None

    def _refuse(self, method: str) -> None:
        if method in self.failing:
            tag, content = self.failing[method]
            raise StorageError(str(tag), content)

    @staticmethod
    def _attach(volume: Volume, dp: str, *, read_write: bool) -> object:
        others = [path for name, path in volume.paths.items() if name != dp]
        if read_write and others:
            words = ["", "The VDI is not available", "in use elsewhere"]
            raise StorageError("Backend_error", ["SR_BACKEND_FAILURE_46", words])
        volume.paths.setdefault(dp, Datapath(read_write))
        return {"implementations": volume.implementations()}

    @staticmethod
    def _activate(volume: Volume, dp: str, *, read_write: bool) -> None:
        path = volume.paths.get(dp)
        if path is None or path.read_write is not read_write:
            raise StorageError("Illegal_transition", [["Detached"], ["Activated", "RW"]])
        if not any(each.active for each in volume.paths.values()):
            volume.open()
        path.active = True

    @staticmethod
    def _deactivate(volume: Volume, dp: str) -> None:
        path = volume.paths.get(dp)
        if path is not None and path.active:
            path.active = False
            if not any(each.active for each in volume.paths.values()):
                volume.shut()

    def _leave(self, volume: Volume, dp: str) -> None:
        self._deactivate(volume, dp)
        volume.paths.pop(dp, None)


class StorageServer(Storage):
    """The service at a queue of the broker."""

    def __init__(self, url: str, directory: Path) -> None:
        super().__init__(directory)
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._channel = self._connection.channel()
        self._channel.queue_declare(QUEUE)
        self._channel.basic_consume(QUEUE, self._on_request, auto_ack=True)
        self._thread = threading.Thread(target=self._channel.start_consuming)
        self._thread.start()

    def close(self) -> None:
        """End it, and what it serves."""
        self._connection.add_callback_threadsafe(self._channel.stop_consuming)
        self._thread.join()
        self._connection.close()
        self.shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _on_request(self, channel: Any, _: Any, properties: pika.BasicProperties, body: bytes) -> None:
        told = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, self.perform(body), told)


def main(url: str, directory: str, *vdis: str) -> None:
    """Serve them until SIGTERM."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    with StorageServer(url, Path(directory)) as server:
        for vdi in vdis:
            name, _, mib = vdi.partition("=")
            server.add(name, "BlockDevice", int(mib) << 20)
        signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # in its thread, too
    main(*sys.argv[1:])
