"""Recovery: what becomes of a migration whose worker has died; afterwards one VM lives, on one side."""

from schema.fault import XenopsError
from schema.operations import VmMigrate, VmReceiveMemory
from schema.records import Failed, Outcome, Succeeded

from engine.migrate.course import Course
from engine.migrate.destination import Arrival
from engine.migrate.offers import Offers
from engine.migrate.source import Departure

Migration = VmMigrate | VmReceiveMemory
"""What two hosts do together."""


def recover(operation: Migration, course: Course, *, handed_over: bool, crash: XenopsError) -> Outcome:
    """Bring a migration to its end: back before the third point, on after it. `crash`: how to tell of it.

    Of a VM that was handed over `course` holds its departing id, and not its own.
    """
    try:
        match operation:
            case VmMigrate() if handed_over:
                Departure(operation, course).settle(crash)
            case VmMigrate():
                Departure(operation, course).retreat()
                raise crash
            case VmReceiveMemory() if handed_over:
                Arrival(operation, course, Offers(course.threads, course.network)).take_over()
            case VmReceiveMemory():
                Arrival(operation, course, Offers(course.threads, course.network)).give_up()
                raise crash
    except XenopsError as error:
        return Failed(error=error.error)
    return Succeeded()
