"""Retelling: when a worker comes up, clients are told what they may have missed."""

import logging
from collections.abc import Iterable

from schema.fault import XenopsError
from schema.ids import VmId
from schema.objects.dynamic import VmObject
from schema.records import Changed

from engine.objects import objects_of
from engine.sharing import told
from engine.worker.tools import Tools
from engine.worker.untold import Note, Untold

_LOG = logging.getLogger(__name__)


def tell_all(tools: Tools) -> None:
    """All VMs that are here, and the newest that were removed: what the log has lost nobody else can tell.

    A VM under its departing id is left out, as everywhere: clients do not know that id.
    """
    store, journal = tools.store, tools.journal
    try:
        there = [VmId(vm) for vm in store.ids()]
        for vm in (vm for vm in there if not journal.is_leaving(vm)):
            tools.append(Changed(vm=vm, changed=tuple(objects_of(vm, store))))
    except XenopsError as error:
        _LOG.warning("clients may not know of every VM: %s", error)
        return
    for vm in dict.fromkeys((*journal.ended(), *(entry.vm for entry in journal.unfinished()))):
        if vm not in there:
            tools.append(Changed(vm=vm, changed=(VmObject(id=vm),)))


def tell_noted(notes: Iterable[Note], untold: Untold, tools: Tools) -> None:
    """What requests have changed, or not, when an earlier life of this worker died."""
    for note in notes:
        vm = note.changed.vm
        try:
            shared = told(vm, (), tools.store.vgpus.list(vm))
        except XenopsError as error:
            _LOG.warning("what a request has changed of VM %s is not told: %s", vm, error)
            continue
        untold.tell((*shared, note.changed), note)
