"""Residency: after a toolstack was away, its records and xenops are brought to agree on which VMs are here.

After xapi's resync_resident_on, which terminates what it does not know; here that is the caller's choice.
"""

from dataclasses import dataclass

from schema.objects.vm import PowerState, VmState

from xenops.events import wait_for_task
from xenops.toolstack.records import VmRecord, is_null
from xenops.toolstack.session import Session


@dataclass(frozen=True, slots=True)
class Residency:
    """What was found, by UUID.

    `strangers` have no record, or one that says that they are elsewhere; `found` are here without their
    record's knowing; `lost` are not here though their record said so.
    """

    strangers: tuple[str, ...]
    found: tuple[str, ...]
    lost: tuple[str, ...]


def agree(session: Session, *, terminate: bool) -> Residency:
    """Put records right; strangers, which may run elsewhere, too, are ended on demand."""
    host = session.source.site.host
    here = {vm.id: state for vm, state in session.client.vm.list()}
    refs = {session.source.get(VmRecord, ref).uuid: ref for ref in session.database.refs(VmRecord.klass)}
    records = {uuid: session.source.get(VmRecord, ref) for uuid, ref in refs.items()}
    strangers = tuple(
        uuid
        for uuid in here
        if uuid not in records
        or not (is_null(records[uuid].resident_on) or records[uuid].resident_on == host)
    )
    found = tuple(uuid for uuid in here if uuid in records and is_null(records[uuid].resident_on))
    lost = tuple(uuid for uuid, vm in records.items() if vm.resident_on == host and uuid not in here)
    for uuid in strangers if terminate else ():
        _end(session, uuid, here[uuid])
    for uuid in found:
        with session.operation("update_allowed_operations", refs[uuid], None) as operation:
            session.take_up(operation)
    for uuid in lost:
        session.applier.gone(uuid, refs[uuid])
    return Residency(strangers, found, lost)


def _end(session: Session, vm: str, state: VmState) -> None:
    if state.power_state is not PowerState.HALTED:
        wait_for_task(session.client, session.client.vm.shutdown(vm, None))
    session.client.vm.remove(vm)
