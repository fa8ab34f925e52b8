"""Own methods: calls beside the 105 of the original, for operators; no client of the original needs them."""

from collections.abc import Mapping

from schema.methods import METHODS, Method
from schema.objects.events import Events
from schema.objects.lane import Lanes, LaneTasks, Worker
from schema.objects.quarantine import Quarantine

_QUARANTINE = (
    Method("QUARANTINE.list", (("debug_info", str),), Quarantine),
    Method("QUARANTINE.retry", (("debug_info", str), ("log", str), ("offset", int)), None),
    Method("QUARANTINE.discard", (("debug_info", str), ("log", str), ("offset", int)), None),
)

_EVENTS = (Method("EVENTS.stat", (("debug_info", str),), Events),)

_LANE = (
    Method("LANE.list", (("debug_info", str), ("limit", int)), Lanes),
    Method("LANE.stat", (("debug_info", str), ("id", str)), LaneTasks),
    Method("LANE.hold", (("debug_info", str), ("id", str)), None),
    Method("LANE.release", (("debug_info", str), ("id", str)), None),
    Method("LANE.prioritise", (("debug_info", str), ("task", str), ("priority", int)), None),
    Method("LANE.set_deadline", (("debug_info", str), ("task", str), ("within", float | None)), None),
)

_WORKER = (
    Method("WORKER.list", (("debug_info", str),), tuple[Worker, ...]),
    Method("WORKER.drain", (("debug_info", str), ("worker", str)), None),
    Method("WORKER.undrain", (("debug_info", str), ("worker", str)), None),
)

OWN_METHODS: Mapping[str, Method] = {
    method.name: method for methods in (_QUARANTINE, _EVENTS, _LANE, _WORKER) for method in methods
}
"""Every method of our own by its wire name."""

ALL_METHODS: Mapping[str, Method] = {**METHODS, **OWN_METHODS}
"""Whatever a door takes."""
