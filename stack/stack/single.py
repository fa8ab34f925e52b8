"""Single: every service in this process, on a bus in memory; the same code, without a broker."""

import logging
import os
import sys

from bus.ending import await_end, listen
from bus.logs import LogFormatError, log_format, write_to_stderr
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import Bus
from bus.process import Service, Settings, SettingsError, reason
from dashboard.operators import TokensError
from dashboard.service import build as build_dashboard
from dashboard.settings import from_environment as dashboard_settings
from eventhub.service import build as build_eventhub
from frontend.http.address import DoorError
from frontend.service import build as build_frontend
from frontend.settings import from_environment as frontend_settings
from redirector.service import build as build_redirector
from schema.fault import XenopsError
from schema.ids import InstanceName
from worker_kvm.service import build as build_kvm
from worker_kvm.settings import from_environment as kvm_settings
from worker_sim.service import build as build_simulator
from worker_sim.settings import from_environment as simulator_settings

from stack.layout import Layout
from stack.page import make_tokens
from stack.shape import SINGLE, WORKER_KVM, Shape

_NO_BROKER = "memory"
"""What stands for the broker's URL in the settings of services that have none."""


class Single:
    """All services; what they knew is gone with the process, but for metadata, VMs and the simulated host."""

    def __init__(self, layout: Layout, shape: Shape) -> None:
        self._layout = layout
        self._shape = shape
        self._broker = MemoryBroker()
        self._buses: list[MemoryBus] = []
        make_tokens(layout.tokens)
        instances = tuple(map(InstanceName, shape.instances))
        common = Settings(instances)
        self._services: tuple[Service, ...] = (
            build_redirector(self.bus("redirector"), common),
            build_eventhub(self.bus("eventhub"), common),
            *(self._worker(name) for name in shape.workers),
            build_frontend(self.bus("frontend"), frontend_settings(self._told("frontend"))),
            build_dashboard(self.bus("dashboard"), dashboard_settings(self._told("dashboard"))),
        )

    def bus(self, name: str) -> Bus:
        """One more connection to the bus, which ends with the others."""
        bus = MemoryBus(self._broker, name)
        self._buses.append(bus)
        return bus

    def start(self) -> None:
        """Start all, the doors last."""
        for service in self._services:
            service.start()

    def stop(self) -> None:
        """Stop all, the doors first."""
        for service in reversed(self._services):
            service.stop()
        for bus in self._buses:
            bus.close()

    def _worker(self, name: str) -> Service:
        """A worker as its own process would make it, but for the bus."""
        told = self._told(name)
        if name == WORKER_KVM:
            return build_kvm(self.bus(name), kvm_settings(told))
        return build_simulator(self.bus(name), simulator_settings(told))

    def _told(self, name: str) -> dict[str, str]:
        return {**os.environ, **self._shape.environment(name, self._layout, lambda _: _NO_BROKER)}


def serve_single(layout: Layout, shape: Shape) -> int:
    """Serve until SIGTERM or SIGINT; answers the exit code."""
    ended = listen()
    try:
        written = write_to_stderr(log_format(os.environ), SINGLE)
        for name in shape.services:
            logging.getLogger(name.partition("-")[0]).setLevel(logging.INFO)
        written.introduce(shape.instances, ())
        stack = Single(layout, shape)
    except (SettingsError, LogFormatError, DoorError, TokensError) as error:
        sys.stderr.write(f"{SINGLE}: {error}\n")
        return 2
    except (XenopsError, OSError) as error:
        sys.stderr.write(f"{SINGLE}: cannot start: {reason(error)}\n")
        return 1
    stack.start()
    await_end(ended)
    stack.stop()
    return 0
