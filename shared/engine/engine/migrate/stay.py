"""Stay: a VM whose migration has failed goes on at its source, under its own id."""

import logging
from collections.abc import Callable

from schema.atomics.vm import RenameWhen, VmSetMemoryDynamicRange
from schema.fault import XenopsError
from schema.ids import VmId
from schema.migration import departing_id

from engine.migrate.course import Course
from engine.objects import objects_of
from engine.plan.groups import do

TRIES_TIMEOUT_S = 300.0
"""How long what must be written down is tried: for as long as the disk is full."""

_WAIT_S, _WAIT_S_MAX = 0.1, 2.0

_LOG = logging.getLogger(__name__)


def stay(vm: VmId, course: Course, *, paused: bool) -> None:
    """It takes its name back and runs, or is paused; what fails of that is logged."""
    insisting, verbs = course.insisting(), course.backend.vm
    try:
        insisting.held.also(vm, course.threads.sleep)
        insist(course, f"VM {vm} cannot take its name back yet", lambda: _take_name_back(vm, insisting))
        configured = course.store.read(vm)
        verbs.resume(insisting.execution(), configured)
        if paused:
            verbs.pause(insisting.execution(), configured)
    except XenopsError as error:
        _LOG.error("VM %s: cannot go on after its migration has failed: %s", vm, error)
        return
    finally:
        _tell_all(vm, course)
    if configured.memory_dynamic_min != configured.memory_dynamic_max:
        thaw = VmSetMemoryDynamicRange(
            vm=vm, minimum_bytes=configured.memory_dynamic_min, maximum_bytes=configured.memory_dynamic_max
        )
        insisting.attempt("source: let the balloon go", do(thaw))


def insist(course: Course, words: str, action: Callable[[], None]) -> None:
    """Do what must be written down; what cannot be yet is tried again. Errors: the last one's."""
    waited_s, wait_s = 0.0, _WAIT_S
    while True:
        try:
            action()
        except XenopsError as error:
            if waited_s >= TRIES_TIMEOUT_S:
                raise
            _LOG.warning("%s: %s", words, error)
        else:
            return
        course.threads.sleep(wait_s)
        waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, _WAIT_S_MAX)


def _take_name_back(vm: VmId, course: Course) -> None:
    """Nobody finds a VM that keeps its departing id."""
    departing = departing_id(vm)
    course.backend.vm.rename(departing, vm, RenameWhen.PRE_MIGRATION)
    if course.store.exists(departing):
        course.store.rename(departing, vm)


def _tell_all(vm: VmId, course: Course) -> None:
    """While it had another id, whoever asked was told that there is no such VM."""
    try:
        for changed in objects_of(vm, course.store):
            course.signal(changed)
    except XenopsError as error:
        _LOG.error("VM %s: clients may not know that it is here: %s", vm, error)
