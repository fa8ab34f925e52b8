"""Exported: what stands in a log as lines of JSON, for whoever looks at it far from its broker; and back.

A line is `{"offset": …, "envelope": {…}}`, or `{"offset": …, "quarantined": {…}}` for what no reader takes.
"""

from pydantic import BaseModel, ConfigDict, ValidationError
from schema.ids import InstanceName, Offset
from schema.records import Envelope

from bus.ports import Entry
from bus.quarantine import SHOWN_BYTES_MAX, Quarantined, complaint, escaped

Standing = Entry | Quarantined
"""What stands at one offset of a log."""

_NO_LOG = InstanceName("")
"""Of which log a line is that this version cannot read."""


class ExportError(Exception):
    """A line that no export has written; the sentence says why."""


class _Place(BaseModel):
    """What all lines have."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")

    offset: int


class _Record(_Place):
    envelope: Envelope


class _PassedOver(_Place):
    quarantined: Quarantined


def exported(instance: InstanceName, one: Standing) -> str:
    """The line of what stands in the log of an instance."""
    if isinstance(one, Quarantined):
        return _PassedOver(offset=one.offset, quarantined=one).model_dump_json()
    envelope = Envelope(producer=one.producer, seq=one.seq, at=one.at, instance=instance, record=one.record)
    return _Record(offset=one.offset, envelope=envelope).model_dump_json()


def imported(line: bytes) -> Standing:
    """What a line says; a record that this version cannot read is in quarantine, as it would be in the log.

    Raises:
        ExportError: no export has written it.
    """
    try:
        place = _Place.model_validate_json(line)
    except ValidationError as error:
        raise ExportError(complaint(error)) from error
    try:
        return _PassedOver.model_validate_json(line).quarantined
    except ValidationError:
        pass  # it is a record, then
    try:
        envelope = _Record.model_validate_json(line).envelope
    except ValidationError as error:
        return _unreadable(Offset(place.offset), line, complaint(error))
    return Entry(Offset(place.offset), envelope.at, envelope.record, envelope.producer, envelope.seq)


def _unreadable(offset: Offset, line: bytes, reason: str) -> Quarantined:
    return Quarantined(
        log=_NO_LOG,
        offset=offset,
        reason=reason,
        routing_key="",
        user=None,
        producer=None,
        seq=None,
        at=None,
        size=len(line),
        shown=escaped(line[:SHOWN_BYTES_MAX]),
    )
