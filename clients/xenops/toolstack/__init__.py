"""Toolstack: xapi's side of the interface, as a library: XenAPI's records in, operations, records updated.

with Toolstack(client, MemoryDatabase(records), Site(host=host_ref)) as toolstack:
    toolstack.start(vm_ref, task=whoever_watches)
"""

from xenops.toolstack.applier import Applier
from xenops.toolstack.convert import Site, Source, metadata_of
from xenops.toolstack.database import Database, MemoryDatabase, Records
from xenops.toolstack.failure import XenApiFailure
from xenops.toolstack.records import RecordError
from xenops.toolstack.residency import Residency
from xenops.toolstack.tasks import ForeignTask, clean_up_orphans, sync_with_task, update_task
from xenops.toolstack.toolstack import Toolstack, start_vm
from xenops.toolstack.watch import Handler, TaskGoneError, Watcher, WatcherStoppedError
from xenops.toolstack.xenapi_task import XenApiTask

__all__ = [
    "Applier",
    "Database",
    "ForeignTask",
    "Handler",
    "MemoryDatabase",
    "RecordError",
    "Records",
    "Residency",
    "Site",
    "Source",
    "TaskGoneError",
    "Toolstack",
    "Watcher",
    "WatcherStoppedError",
    "XenApiFailure",
    "XenApiTask",
    "clean_up_orphans",
    "metadata_of",
    "start_vm",
    "sync_with_task",
    "update_task",
]
