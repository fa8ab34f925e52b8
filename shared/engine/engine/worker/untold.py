"""Untold changes: noted before a request changes metadata, so that clients hear of it if the worker dies.

A task's changes are told again from the journal, but a request is not in the journal. Its note is dropped
when the log has taken the record that tells of the change.
"""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from bus.insist import Insistent
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError
from schema.ids import VmId, WorkerName
from schema.objects.dynamic import ObjectId, VmObject
from schema.records import Changed, Record

from engine.control.devices import KINDS

_LOG = logging.getLogger(__name__)


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    worker: WorkerName
    changed: Changed


@dataclass(frozen=True, slots=True)
class Note:
    """One change, which may be done or not."""

    changed: Changed
    path: Path

    def forget(self) -> None:
        """Clients have been told, or there is nothing to tell; forgotten before, nothing to do."""
        self.path.unlink(missing_ok=True)


class Untold:
    """The notes of one worker, in a directory that all workers of its host use; `life` tells its lives apart.

    Clients are told by `log`.
    """

    def __init__(self, directory: Path, worker: WorkerName, life: str, log: Insistent) -> None:
        self._directory = directory
        self._log = log
        self._worker = worker
        self._life = life
        self._numbers = count()
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def note(self, changed: Changed) -> Note | None:
        """Something is about to change; None if that cannot be noted, which is worse only when we die now.

        Of names that are no text there is nothing to note: they are refused.
        """
        content = _Content(worker=self._worker, changed=changed)
        note = Note(changed, self._directory / f"{self._life}-{next(self._numbers)}")
        try:
            note.path.write_bytes(content.model_dump_json().encode())
        except PydanticSerializationError:
            return None
        except OSError as error:
            _LOG.warning("that VM %s is about to change is not noted: %s", changed.vm, error)
            note.forget()
            return None
        return note

    def tell(self, records: Iterable[Record], note: Note | None) -> None:
        """Write down what has changed; the note goes when the log has its part of it."""
        for record in records:
            self._log.append(record, note.forget if note is not None and record == note.changed else None)

    def left(self) -> Iterator[Note]:
        """The notes of this worker's earlier lives; one cut short was written before anything changed."""
        for entry in sorted(os.scandir(self._directory), key=lambda entry: entry.name):
            path = Path(entry.path)
            if path.name.startswith(self._life):
                continue
            try:
                content = _Content.model_validate_json(path.read_bytes())
            except FileNotFoundError:
                continue  # another worker's, who has told it meanwhile
            except ValidationError:
                path.unlink(missing_ok=True)
                continue
            if content.worker == self._worker:
                yield Note(content.changed, path)


def change_of(method: str, params: Mapping[str, Any]) -> Changed | None:
    """What a request is about to change, if that is metadata of a VM."""
    if method == "VM.add":
        return _changed(VmId(params["vm"].id), VmObject(id=params["vm"].id))
    word, _, verb = method.partition(".")
    kind = KINDS.get(word)
    if kind is None or verb not in ("add", "remove"):
        return None
    device = params["id"] if verb == "remove" else params[kind.name].id
    return _changed(VmId(device.vm), kind.object(id=device))


def _changed(vm: VmId, changed: ObjectId) -> Changed:
    return Changed(vm=vm, changed=(changed,))
