"""Container node: a broker for tests, in a container of our image by testcontainers; or a private node."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bus.users import ADMINISTRATOR
from stack.broker.node import PrivateNode, free_ports
from stack.broker.passwords import keep
from stack.credentials import BROKER, hand_out
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

IMAGE = f"xenops/rabbitmq:{os.environ.get('XENOPS_VERSION', 'dev')}"
AMQP_PORT = 5672
LOOPBACK = "127.0.0.1"


class ContainerNode:
    """As `PrivateNode`, as far as tests of the bus ask; it keeps data and port until it is left."""

    def __init__(self, directory: Path) -> None:
        (self.port,) = free_ports(1)
        hand_out(directory, f"{LOOPBACK}:{self.port}", ())
        password = keep(directory / "kept", ())[ADMINISTRATOR]
        self.url = f"amqp://{ADMINISTRATOR}:{password}@{LOOPBACK}:{self.port}/"
        testcontainers_config.ryuk_disabled = (
            True  # its image comes from a registry; each test removes its own
        )
        self._container = (
            DockerContainer(IMAGE)
            .with_volume_mapping(str(directory / BROKER), "/credentials", "ro")
            .with_kwargs(hostname="rabbitmq")
        )
        self._container.ports[f"{AMQP_PORT}/tcp"] = (LOOPBACK, self.port)  # type: ignore[assignment]  # Docker takes it

    def __enter__(self) -> Self:
        self._container.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.stop()

    def start(self) -> None:
        """Start it again; a bus that connects waits until it answers."""
        self._engine().start()

    def stop(self) -> None:
        """End it, and keep its data."""
        self._engine().stop()

    def kill(self) -> None:
        """End it as a crash would."""
        self._engine().kill()

    def ctl(self, *words: str) -> None:
        """Do a command of rabbitmqctl; it must end well."""
        code, said = self._engine().exec_run(["rabbitmqctl", *words])
        assert code == 0, said

    def _engine(self) -> Any:
        return self._container.get_wrapped_container()


Node = PrivateNode | ContainerNode


def node_for_tests(directory: Path) -> Node:
    """A broker in a container where that can be, else a private node."""
    return PrivateNode(directory) if why_no_container() else ContainerNode(directory)


def why_no_container() -> str:
    """Why brokers of tests are private nodes; "" where there is an engine, and our image."""
    if shutil.which("docker") is None:
        return "there is no docker on PATH"
    if not _succeeds("docker", "info"):
        return "no Docker engine answers"
    if not _succeeds("docker", "image", "inspect", IMAGE):
        return f"there is no image {IMAGE}: `make images` builds it"
    return ""


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
