"""A whole stack for Xen: broker and services here, the worker in dom0, which reaches this loopback."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from bus.ports import BusError
from bus.rabbit import RabbitBus
from bus.roles import Role
from engine.conformance.samples import sample_vm
from schema.fault import XenopsError
from schema.ids import DeviceId, InstanceName
from schema.objects.disk import BusType, LocalDisk
from schema.objects.vbd import Vbd
from schema.objects.vif import Vif
from schema.objects.vm import DirectBoot, Pv, PvDirectBoot, PvInfo, Vm, VmState
from stack.broker.node import PrivateNode
from xen_dom0 import Dom0
from xen_machine import free_port
from xen_sources import SOURCES, STORAGE_SERVER
from xen_worker import SpawnedWorker, Worker
from xenops.client import Client
from xenops.events import wait_for_task

SERVICES = ("redirector", "eventhub")
GUEST = f"{SOURCES}/var/guest"
UP = "xenops guest: userland is up"
MIB = 1 << 20
PATIENCE_S = 600.0
"""Emulated, on cores that others use, too."""

QUIET_S = 0.2
IN_DOM0 = "10.0.2.2"
"""Our loopback, as dom0 reaches it."""

STORAGE_QUEUE = "org.xen.xapi.storage"
STORAGE = "/var/lib/storage"
VDIS: Mapping[str, int] = {"sr/data": 8, "sr/memory": 256}
"""What its storage service has, in MiB."""

STRANGER = f"""\
name = "stranger"
type = "pv"
kernel = "{GUEST}/vmlinuz"
ramdisk = "{GUEST}/initrd.gz"
extra = "console=hvc0 quiet"
memory = 96
"""


class Site:
    """The stack for one backend, and a client; `stranger` is a domain that Xen's own tool has started.

    The worker runs from the sources, and has a storage service, if none is given.
    """

    def __init__(self, directory: Path, dom0: Dom0, backend: str, worker: Worker | None = None) -> None:
        self.dom0 = dom0
        self.instance = InstanceName(f"org.xen.xapi.xenops.{backend}")
        self._directory = directory
        self.backend = backend
        self.node = PrivateNode(directory / "broker", (self.instance,))
        self.node.start()
        self._arrivals = free_port()
        self._services = [
            self._start(service, XENOPS_WORKER_SILENCE_S=str(PATIENCE_S)) for service in SERVICES
        ]
        self._services.append(self._start("frontend", XENOPS_MIGRATION=f"127.0.0.1:{self._arrivals}"))
        dom0.machine.forward(self._arrivals)
        self.start_libvirtd()
        self._storage = None if worker else self._start_storage()
        self.worker = worker or SpawnedWorker(dom0, directory / "worker.log")
        self.worker.start(self._worker_settings())
        self._bus = RabbitBus(self.node.url_of(Role.CLIENT), "xen")
        self.client = Client(self._bus, self.instance)
        try:
            self._bus.ready(PATIENCE_S)
            self.until_served()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where VMs arrive that migrate to this host, as its own worker in dom0 reaches it."""
        return f"http://127.0.0.1:{self._arrivals}/services/xenops?instance={self.instance}"

    def _start(self, service: str, **more: str) -> subprocess.Popen[bytes]:
        told = {"XENOPS_BROKER": self.node.url_of(Role(service)), "XENOPS_INSTANCE": self.instance, **more}
        with (self._directory / f"{service}.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", service], env=os.environ | told, stderr=log)

    def start_libvirtd(self) -> None:
        """No init system does; nothing to do for other backends."""
        if self.backend == "libvirt":
            self.dom0.machine.check(f"python3 {SOURCES}/tests/xen/dom0/xen_libvirtd.py")

    def _worker_settings(self) -> Mapping[str, str]:
        settings = {
            "XENOPS_BROKER": self.node.url_of(Role.WORKER).replace("127.0.0.1", IN_DOM0),
            "XENOPS_INSTANCE": self.instance,
            "XENOPS_BACKEND": self.backend,
            "XENOPS_STATE_DIR": f"/var/lib/xenops/{self.backend}",
        }
        return settings | ({"XENOPS_STORAGE_QUEUE": STORAGE_QUEUE} if self._storage else {})

    def _start_storage(self) -> subprocess.Popen[bytes]:
        """A storage service, as a host of xapi's has one."""
        url = self.node.url.replace("127.0.0.1", IN_DOM0)
        vdis = " ".join(f"{name}={mib}" for name, mib in VDIS.items())
        program = f"{SOURCES}/{STORAGE_SERVER}"
        log = self._directory / "storage.log"
        return self.dom0.machine.spawn(f"python3 {program} {url} {STORAGE} {vdis}", log)

    def vdis_in_use(self) -> list[str]:
        """The devices of those that somebody has activated."""
        return self.dom0.machine.run(f"cd {STORAGE} && ls -d way*").stdout.split()

    def crash_worker(self) -> None:
        """Kill it, and wait until the next one serves."""
        self.worker.crash()
        self.until_served()

    def until_served(self) -> None:
        """Wait until all answer."""
        attempts, end = threading.Event(), time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            assert not self.worker.has_ended(), self.words()
            try:
                self.client.vm.list()
                self.client.updates.last_id()
            except (BusError, XenopsError):
                attempts.wait(QUIET_S)
            else:
                return
        pytest.fail(f"the services do not answer; the worker says: {self.words()}")

    def words(self) -> str:
        """What the worker has logged."""
        return self.worker.words()

    def add(self, name: str, *words: str) -> Vm:
        """A VM of the tiny guest, as PV, with a disk and an interface; none so named has said anything."""
        cmdline = " ".join(("console=hvc0 quiet panic=-1", *words))
        boot = PvDirectBoot(kernel=f"{GUEST}/vmlinuz", ramdisk=f"{GUEST}/initrd.gz", cmdline=cmdline)
        size = 128 * MIB
        memory = {"memory_static_max": size, "memory_dynamic_max": size, "memory_dynamic_min": size}
        ty = Pv(info=PvInfo(boot=DirectBoot(boot=boot), framebuffer=False))
        vm = sample_vm(name, name=name, ty=ty, vcpus=1, vcpu_max=1, **memory)
        self.client.vm.add(vm)
        disk = f"/var/lib/{name}.raw"
        self.dom0.machine.check(f"truncate -s 8M {disk}; rm -f {_log_of(name)}")
        backend = LocalDisk(path=disk)
        self.client.vbd.add(Vbd(id=DeviceId(name, "xvda"), position=(BusType.XEN, 0, 0), backend=backend))
        self.client.vif.add(Vif(id=DeviceId(name, "0"), position=0, mac="00:16:3e:00:00:01"))
        return vm

    def done(self, task: str) -> None:
        wait_for_task(self.client, task, PATIENCE_S)

    def state(self, name: str) -> VmState:
        return self.client.vm.stat(name)[1]

    def until(self, name: str, holds: Callable[[VmState], bool]) -> VmState:
        attempts, end = threading.Event(), time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if holds(state := self.state(name)):
                return state
            attempts.wait(QUIET_S)
        pytest.fail(f"{name} is still {self.state(name)}; the worker says: {self.words()}")

    def said(self, name: str) -> str:
        """What a guest has said on its console, so far."""
        return self.dom0.machine.run(f"cat {_log_of(name)}").stdout

    def until_said(self, name: str, words: str, times: int = 1) -> str:
        """Wait until a guest has said something so many times."""
        attempts, end = threading.Event(), time.monotonic() + PATIENCE_S
        while (said := self.said(name)).count(words) < times:
            assert time.monotonic() < end, f"{name} has not said {words!r}, but: {said[-2000:]}"
            attempts.wait(QUIET_S)
        return said

    def domid_of(self, name: str) -> str:
        """The number of a domain by Xen's own tool; empty: there is none."""
        return self.dom0.machine.run(f"xl domid {name}").stdout.strip()

    def close(self) -> None:
        """End all, also where dom0 does not answer any more."""
        with ExitStack() as ends:
            ends.callback(self.node.stop)
            ends.callback(self._stop_services)
            ends.callback(self._stop_storage)
            ends.callback(self.worker.close)
            ends.callback(self._bus.close)

    def _stop_storage(self) -> None:
        if self._storage:
            self.dom0.machine.run("pkill -f '[s]torage_server.py'")
            self._storage.wait(PATIENCE_S)

    def _stop_services(self) -> None:
        for service in self._services:
            service.send_signal(signal.SIGTERM)
        for service in self._services:
            service.wait(PATIENCE_S)


def _log_of(name: str) -> str:
    """Where xenconsoled writes what a guest says, of all domains of that name."""
    return f"/var/log/xen/guest-{name}.log"
