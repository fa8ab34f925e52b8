"""Remains: what a hypervisor that failed has left of a VM under an id that it bore only while it migrated."""

from schema.ids import VmId

from engine.migrate.course import Course
from engine.migrate.stay import insist
from engine.plan import migrate as plans

TRIES = 3
TRIES_WAIT_S = 1.0
"""How often a hypervisor that fails is asked at once to take a VM away, and how much later each time."""


def clear(vm: VmId, course: Course) -> None:
    """Nothing is left of a VM that lives elsewhere, or shall; what cannot go yet is noted, and goes later.

    Raises:
        XenopsError: it cannot be noted either; it stays until its worker is started anew.
    """
    for tried in range(TRIES):
        course.threads.sleep(TRIES_WAIT_S * tried)
        if try_to_clear(vm, course):
            return
    insist(course, f"what is left of VM {vm} cannot be noted yet", lambda: course.leave_over(vm))


def try_to_clear(vm: VmId, course: Course) -> bool:
    """Take it away by force, whatever state it is in; answers whether nothing is left."""
    if course.store.exists(vm):
        devices = course.store.devices(vm)
        course.attempt(f"take away what is left of VM {vm}", plans.give_up_arrival(vm, devices))
    return not course.store.exists(vm)
