"""A host's USB devices as the files that Linux shows them by, with a kernel that does what it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class UsbFiles:
    """Of the host in `root`; `usual` are the drivers of interfaces, as `1-2:1.0`; `said` what was written."""

    root: Path
    usual: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    refuses: str = ""
    """What it does not let be written: the end of a file's path."""

    def __post_init__(self) -> None:
        """Make the directories."""
        (self.sysfs / "bus/usb/devices").mkdir(parents=True)
        self.nodes.mkdir(parents=True)

    @property
    def sysfs(self) -> Path:
        """In place of /sys."""
        return self.root / "sys"

    @property
    def nodes(self) -> Path:
        """In place of /dev/bus/usb."""
        return self.root / "dev"

    def add_usb(self, name: str, number: int, kind: str = "00", drivers: Sequence[str | None] = ()) -> Path:
        """Plug one in, whose interfaces have these drivers; answers its file."""
        device = self.sysfs / "bus/usb/devices" / name
        device.mkdir()
        for file, text in (("busnum", name.partition("-")[0]), ("devnum", number), ("bDeviceClass", kind)):
            (device / file).write_text(f"{text}\n")
        for index, driver in enumerate(drivers):
            interface = device.parent / f"{name}:1.{index}"
            interface.mkdir()
            if driver is not None:
                self.bind(interface, driver)
        node = self.nodes / f"{int(name.partition('-')[0]):03}" / f"{number:03}"
        node.parent.mkdir(exist_ok=True)
        node.touch()
        return node

    def write(self, path: Path, text: str) -> None:
        """What a write to sysfs does. Errors: `PermissionError`, what it was told to refuse."""
        if self.refuses and str(path).endswith(self.refuses):
            raise PermissionError(13, "Permission denied")
        self.said.append(f"{path.parent.name}/{path.name} {text.strip()}".strip())
        self.obey(path, text)

    def obey(self, path: Path, text: str) -> None:
        """Do what is written."""
        if path.name != "drivers_probe":
            raise AssertionError(f"nobody writes to {path}")
        device = path.parent / "devices" / text
        wanted = self.usual.get(device.name)
        if wanted is not None:
            self.bind(device, wanted)

    def bind(self, device: Path, driver: str) -> None:
        """Let a driver have a device."""
        place = device.parent.parent / "drivers" / driver
        place.mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(place)
