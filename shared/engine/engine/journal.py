"""Journal: which lease a VM was last executed under, and how that ended; what a restarted worker goes by.

One small file for each VM, replaced as a whole. Nothing is flushed to the disk: a host that crashes loses its
VMs, too. A worker that crashes leaves an entry that is begun and not ended.
"""

import glob
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from schema.atomics.vm import VmImportMetadata, VmRemove
from schema.fault import internal_error
from schema.ids import LeaseToken, TaskId, VmId
from schema.migration import arriving_id, arriving_of, departing_id
from schema.operations import AtomicOperation, Operation, VmMigrate, VmReceiveMemory
from schema.records import Failed, Finished, Succeeded

from engine.store.cells import DamagedError, Encoding, MakeCells, PassingCells


class JournalEntry(BaseModel):
    """The last execution of a VM: begun, and, with `finished`, ended.

    Tokens can be compared within one `life` of the log, which is when its first entry was made.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    vm: VmId
    task: TaskId
    token: LeaseToken
    life: float
    operation: Operation
    request_id: str = ""
    """Tells a task from another that has come to stand in its place; earlier versions noted none."""

    lost: LeaseToken | None = None
    """A lease that was obeyed and that the log has lost: of what was asked for before it much may be done."""

    handed_over: bool = False
    """Of a migration: the VM is the destination's, or about to be told so."""

    arrived: bool = False
    """Under an arriving id: a VM was taken in by it, and what is noted now was asked of that id since."""

    left_over: bool = False
    """Of a migration: the VM lives elsewhere, or shall, and what is here could not be taken away yet."""

    finished: Finished | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it stands under a departing id, for a VM of which nobody knows whether it has arrived."""
        return isinstance(self.operation, VmMigrate) and self.operation.vm != self.vm

    @property
    def is_overdue(self) -> bool:
        """Whether a VM that has come here may still bear its arriving id: its task did not end well."""
        if not isinstance(self.operation, VmReceiveMemory) or not self.handed_over:
            return False
        return self.finished is None or not isinstance(self.finished.outcome, Succeeded)

    @property
    def tells_of_arrival(self) -> bool:
        """Whether a VM was taken in under this arriving id, and none was announced since."""
        match self.operation:
            case VmReceiveMemory():
                return self.handed_over
            case AtomicOperation(atomic=VmImportMetadata()):
                return False
            case _:
                return self.arrived

    @property
    def is_announced(self) -> bool:
        """Whether a migration's source has imported it under its arriving id, and nothing has come since.

        Only what runs has a domain to tell of. A removal that failed was to take that back, or the like.
        """
        if self.finished is None or self.left_over or not self.vm.endswith(_ARRIVING):
            return False
        match self.operation:
            case AtomicOperation(atomic=VmImportMetadata(metadata=metadata)):
                return metadata.domains is not None
            case AtomicOperation(atomic=VmRemove()):
                return isinstance(self.finished.outcome, Failed)
            case _:
                return False

    @property
    def departing(self) -> VmId | None:
        """The id under which its VM leaves this host, or, of one that came here, may have left it before."""
        match self.operation:
            case VmMigrate(vm=vm) | VmReceiveMemory(final=vm):
                return departing_id(vm)
            case _:
                return None


_DEPARTING, _ARRIVING = departing_id(VmId("")), arriving_id(VmId(""))
"""What all temporary ids end in."""


class FencedError(Exception):
    """A lease is older than one that this VM was already executed under: it must not be obeyed."""


class Journal:
    """The entries under one directory; each VM's is written by whoever holds its lock."""

    def __init__(self, directory: Path, make_cells: MakeCells = PassingCells) -> None:
        self._directory = directory
        self._ended_here: dict[VmId, tuple[float, LeaseToken]] = {}
        self._entries = make_cells(Encoding(encode=_encode, decode=_decode))
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lives = {entry.life for entry in self.entries()}

    def meet(self, life: float) -> None:
        """A life of the log is read by this process, or is told of by others whose lease came first."""
        self._lives.add(life)

    def read(self, vm: VmId) -> JournalEntry | None:
        """A VM's last execution; none if it never was, or its file is damaged."""
        try:
            return self._entries.read(self._path(vm))
        except DamagedError:
            return None

    def now(self, entry: JournalEntry) -> JournalEntry:
        """An execution as it is noted by now, for another may have ended it; as it was, if a later one is."""
        last = self.read(entry.vm)
        same = last is not None and (last.life, last.token) == (entry.life, entry.token)
        return last if last is not None and same else entry

    def begin(self, entry: JournalEntry) -> None:
        """An execution begins.

        Raises:
            FencedError: an execution under the same or a later lease was begun before; or, told once, one of
                a life of the log that this process has not read: whoever stood still has found no loss yet.
        """
        last = self.read(entry.vm)
        if last is not None and last.life == entry.life and last.token >= entry.token:
            raise FencedError(f"lease {entry.token} of VM {entry.vm}: lease {last.token} came before it")
        self.meet(entry.life)
        if last is not None and last.life not in self._lives:
            self.meet(last.life)
            raise FencedError(
                f"lease {entry.token} of VM {entry.vm} is not obeyed: another worker of this host has "
                "executed it by a log that this one has not read; nothing was done: look, and ask again"
            )
        self._write(entry)

    def note_loss(self, entry: JournalEntry) -> JournalEntry:
        """The log has lost the lease of this execution; answers the entry as it is noted now."""
        noted = entry.model_copy(update={"lost": entry.token})
        self._write(noted)
        return noted

    def note_handover(self, entry: JournalEntry) -> None:
        """A migration is at the point from which the source must not go on with the VM."""
        self._write(entry.model_copy(update={"handed_over": True}))

    def keep(self, entry: JournalEntry) -> None:
        """The destination of a migration does not say whether it has the VM; noted under its departing id."""
        self._write(entry.model_copy(update={"vm": departing_id(entry.vm), "handed_over": True}))

    def leave_over(self, entry: JournalEntry, vm: VmId) -> None:
        """What a migration has left of a VM under its temporary id `vm` could not be taken away yet."""
        self._write(entry.model_copy(update={"vm": vm, "left_over": True}))

    def kept(self) -> list[VmId]:
        """The temporary ids under which VMs stand, or may, that are kept, overdue, or left over in part."""
        entries = self._under(_DEPARTING, _ARRIVING)
        return [entry.vm for entry in entries if entry.is_kept or entry.left_over or entry.is_overdue]

    def announced(self) -> list[JournalEntry]:
        """Of which VMs nothing was noted but that a migration's source has told of them; or of a removal."""
        return [entry for entry in self._under(_ARRIVING) if entry.is_announced]

    def _under(self, *ends: str) -> list[JournalEntry]:
        """The last executions of the VMs whose ids end so."""
        names = [path.stem for end in ends for path in self._directory.glob(f"*{end}.json")]
        entries = (self.read(VmId(name)) for name in names)
        return [entry for entry in entries if entry is not None]

    def has_arrived(self, arrived: VmId) -> bool:
        """Whether that is the arrived id of a VM that was taken in here, wherever it is now."""
        arriving = arriving_of(arrived)
        arrival = self.read(arriving) if arriving is not None else None
        return arrival is not None and arrival.tells_of_arrival

    def is_leaving(self, vm: VmId) -> bool:
        """Whether a VM stands here under its departing id: it may be another host's by now.

        What is noted last counts: whoever has asked for something of it under that id has made it his. A VM
        that came back before its source had cleared up is known by its arrival, for what was asked of it
        since has replaced the note of its departure.
        """
        if not vm.endswith(_DEPARTING):
            return False
        paths = self._directory.glob(f"{glob.escape(vm.removesuffix(_DEPARTING))}*.json")
        entries = (self.read(VmId(path.stem)) for path in paths)
        about = [entry for entry in entries if entry is not None and vm in (entry.vm, entry.departing)]
        last = max(about, key=lambda entry: (entry.life, entry.token), default=None)
        return last is not None and last.departing == vm

    def let_go(self, entry: JournalEntry) -> None:
        """It is known what became of a VM that was kept, or nothing is left over of it any more."""
        if entry.is_kept:
            self._entries.remove(self._path(entry.vm))
        else:
            self._write(entry.model_copy(update={"left_over": False}))

    def end(self, entry: JournalEntry, finished: Finished) -> None:
        """An execution has ended; kept, so that a restarted worker can say it again.

        One that let its VM's name go meanwhile, as a migration does, leaves what a later lease has noted, or
        one of a later life of the log.
        """
        last, this = self.read(entry.vm), (entry.life, entry.token)
        if last is None or (last.life, last.token) <= this:
            of = last if last is not None and (last.life, last.token) == this else entry
            self._write(of.model_copy(update={"finished": finished}))
            self._ended_here[entry.vm] = (entry.life, entry.token)

    def has_ended(self, entry: JournalEntry) -> bool:
        """Whether this process has ended an execution: as long as it lives, it tells of that."""
        return self._ended_here.get(entry.vm) == (entry.life, entry.token)

    def entries(self) -> Iterator[JournalEntry]:
        """Every VM's last execution, by the VMs' ids."""
        for path in sorted(self._directory.glob("*.json")):
            entry = self.read(VmId(path.stem))
            if entry is not None:
                yield entry

    def unfinished(self) -> Iterator[JournalEntry]:
        """The executions that were begun and never ended: their worker has crashed."""
        return (entry for entry in self.entries() if entry.finished is None and not entry.is_kept)

    def ended(self) -> tuple[VmId, ...]:
        """The VMs whose last execution has ended, first those that were leased longest ago."""
        ended = [entry for entry in self.entries() if entry.finished is not None]
        return tuple(entry.vm for entry in sorted(ended, key=lambda entry: (entry.life, entry.token)))

    def forget_ended(self, vm: VmId) -> None:
        """A VM is gone; an execution of it that has not ended is kept, it is still to be put right."""
        entry = self.read(vm)
        self._ended_here.pop(vm, None)
        if entry is not None and entry.finished is not None:
            self._entries.remove(self._path(vm))

    def _write(self, entry: JournalEntry) -> None:
        try:
            self._entries.write(self._path(entry.vm), entry)
        except OSError as error:
            raise internal_error(
                f"cannot note in {self._directory} that VM {entry.vm} is executed: {error.strerror}; "
                "make room on that disk, then try again"
            ) from error

    def _path(self, vm: VmId) -> str:
        return f"{self._directory}/{vm}.json"


def _encode(entry: JournalEntry) -> bytes:
    return entry.model_dump_json().encode()


def _decode(text: bytes) -> JournalEntry:
    try:
        return JournalEntry.model_validate_json(text)
    except ValidationError as error:
        raise DamagedError(str(error)) from error
