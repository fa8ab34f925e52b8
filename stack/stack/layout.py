"""Layout: where one stack keeps its things; nothing is written outside its root."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

DOOR_PATH_BYTES_MAX = 107
"""The longest path of a Unix socket on Linux."""

LONGEST_SOCKET = "xenopsd.forwarded"
"""The longest name of an instance's sockets."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Every path and name of one stack."""

    root: Path

    @property
    def broker(self) -> Path:
        """The private broker's data, logs and cookie."""
        return self.root / "broker"

    @property
    def broker_url(self) -> Path:
        """A file that holds the broker's URL while it runs."""
        return self.broker / "url"

    @property
    def door(self) -> Path:
        """The Unix socket for calls to any instance."""
        return self.root / "xenops.sock"

    @property
    def switch(self) -> Path:
        """The Unix socket of the message switch."""
        return self.root / "switch"

    def sockets(self, instance: str) -> Path:
        """Where an instance has sockets as xenopsd's own; paths of sockets are short, so its last word is."""
        return self.root / "rpc" / instance.rpartition(".")[2]

    @property
    def tokens(self) -> Path:
        """Who may look at the operators' page, and who may act there."""
        return self.root / "page.tokens"

    @property
    def page_url(self) -> Path:
        """A file that holds the address of the operators' page."""
        return self.root / "page.url"

    @property
    def shape(self) -> Path:
        """The file that says of what the stack is made."""
        return self.root / "shape.json"

    @property
    def lock(self) -> Path:
        """The file that whoever starts or stops something holds."""
        return self.root / "lock"

    @property
    def vms(self) -> Path:
        """What QEMUs keep while they run: sockets, so the name is short."""
        return self.root / "vm"

    @property
    def libvirt_vms(self) -> Path:
        """The same of libvirt's QEMUs: each backend notes VMs in a way of its own."""
        return self.root / "vl"

    @property
    def xenstored(self) -> Path:
        """What the private xenstored has for a machine: its socket is in it."""
        return self.root / "xs"

    @property
    def libvirt(self) -> Path:
        """What the private libvirtd has of its own: its socket is below, so the name is short."""
        return self.root / "lv"

    @property
    def hooks(self) -> Path:
        """Scripts that run around operations; none, unless a developer puts some there."""
        return self.root / "hooks"

    @property
    def temporary(self) -> Path:
        """Instead of /tmp."""
        return self.root / "tmp"

    @property
    def pids(self) -> Path:
        """A file for each process that was started."""
        return self.root / "pid"

    @property
    def namespace(self) -> str:
        """The network namespace of the VMs' bridge: the machine's, so named after the root."""
        return f"xenops-{hashlib.sha256(bytes(self.root)).hexdigest()[:8]}"

    def state(self, service: str) -> Path:
        """A service's own state."""
        return self.root / "state" / service

    def log(self, process: str) -> Path:
        """A process's log."""
        return self.root / "log" / f"{process}.log"

    def pid(self, process: str) -> Path:
        """The file that says which process it is."""
        return self.pids / process
