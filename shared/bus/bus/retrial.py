"""Retrial: whether a message in quarantine counts by now, and as which record it is appended anew.

A message may be in quarantine because it was newer than the service that read it; a later version reads it.
It is judged by the same rules as when it came, and only the event hub appends it, as a record of its own: so
nothing is appended anew but what its writer had the right to write, and the event hub has.
"""

from schema.ids import InstanceName, Offset
from schema.objects.quarantine import QuarantinedRecord
from schema.records import Record

from bus.quarantine import SHOWN_BYTES_MAX, Arrival, Quarantined, judge, unescaped
from bus.roles import WRITERS, Role
from bus.users import user_of

AGAIN = frozenset(
    {
        "Barrier",
        "BarrierRemoved",
        "CancelRequested",
        "Changed",
        "DeadlineSet",
        "LaneHeld",
        "LaneReleased",
        "Reprioritised",
        "TaskDestroyed",
        "WorkerDraining",
    }
)
"""What the event hub may write and means no more where it is met twice: a fold that begins anew, by a version
that reads the first one too, comes to the same."""

RETRIED, DISCARDED = "retried", "discarded"


def retrial(one: QuarantinedRecord) -> Record | str:
    """The record to append anew, or why there is none, as a sentence for operators."""
    if one.done == RETRIED:
        return f"{one.by} has had it appended anew already"
    if one.size > SHOWN_BYTES_MAX:
        return (
            f"it has {one.size} bytes, of which {SHOWN_BYTES_MAX} are kept here: let its writer ask again; "
            f"the whole stands in the log at {one.offset}"
        )
    arrival = Arrival(one.exchange, one.routing_key, one.user or None, unescaped(one.shown))
    judged = judge(InstanceName(one.log), Offset(one.offset), arrival)
    if isinstance(judged, Quarantined):
        return f"it still does not count: {judged.reason}"
    return _refusal(one, judged.record.kind) or judged.record


def _refusal(one: QuarantinedRecord, kind: str) -> str:
    """Why a record that is read now is not appended anew; "" if it may be."""
    if not one.user:
        return "nobody has signed it: whether its writer had the right is not known"
    roles = {user_of(role): role for role in Role}
    if one.user in roles and roles[one.user] not in WRITERS[kind]:
        return f"{one.user} had no right to write a {kind}"
    if kind not in AGAIN:
        writers = " and ".join(sorted(WRITERS[kind]))
        return f"a {kind} is written by {writers} alone: let whoever asked for it ask again"
    return ""
