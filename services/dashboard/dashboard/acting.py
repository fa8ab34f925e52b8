"""Acting: an operator's wish is checked, written down with his name, and asked of whom it concerns."""

import asyncio

from bus.ports import BusError
from bus.topology import events_queue, lanes_queue
from schema.ids import VmId
from schema.overseen import Acted

from dashboard.asking import UnreachableError
from dashboard.fold.marks import asks_as
from dashboard.operators import Operator
from dashboard.safety import (
    ON_LANES,
    ON_MESSAGES,
    ON_TASKS,
    Action,
    UnsafeError,
    Verb,
    check,
    check_message,
)
from dashboard.watch import Watch

WRITE_S = 10.0
"""How long a broker may take to confirm that it is written down who asks; until then nothing is done."""


async def act(watch: Watch, operator: Operator, action: Action) -> None:
    """Do it; its answer comes when its own record has been read by whoever decides on it.

    Raises:
        UnsafeError: it is refused now.
        UnknownError: there is no such thing.
        XenopsError: whom it was asked of says no.
        UnreachableError: nobody answered; it may have been done all the same.
    """
    if watch.trouble:
        raise UnsafeError(f"{watch.trouble}: what you see may not be what is; nothing is done")
    if action.verb in ON_MESSAGES:
        check_message(action, await watch.quarantine())
    check(action, watch.fold)
    vm = VmId(_vm_of(watch, action)) or None
    record = Acted(vm=vm, who=operator.name, action=action.said, subject=action.subject)
    try:
        await asyncio.wait_for(asyncio.wrap_future(watch.append(record)), WRITE_S)
    except (BusError, TimeoutError) as error:
        reason = str(error) or f"not within {WRITE_S:g} s"
        raise UnreachableError(
            f"it could not be written down who asks ({reason}): nothing was done"
        ) from error
    await _ask(watch, operator, action)


def _vm_of(watch: Watch, action: Action) -> str:
    if action.verb in ON_LANES:
        return action.subject
    story = watch.fold.tasks.find(int(action.subject)) if action.verb in ON_TASKS else None
    return story.vm if story else ""


async def _ask(watch: Watch, operator: Operator, action: Action) -> None:
    lanes, dbg, subject = lanes_queue(watch.name), asks_as(operator.name), action.subject
    ask = watch.asker.ask
    match action.verb:
        case Verb.CANCEL | Verb.DISCARD:
            await ask(events_queue(watch.name), "Task.cancel", debug_info=dbg, id=subject)
        case Verb.PRIORITISE:
            number = int(action.number or 0)
            await ask(lanes, "LANE.prioritise", debug_info=dbg, task=subject, priority=number)
        case Verb.DEADLINE:
            await ask(lanes, "LANE.set_deadline", debug_info=dbg, task=subject, within=action.number)
        case Verb.HOLD | Verb.RELEASE:
            await ask(lanes, f"LANE.{action.verb}", debug_info=dbg, id=subject)
        case Verb.DRAIN | Verb.UNDRAIN:
            await ask(lanes, f"WORKER.{action.verb}", debug_info=dbg, worker=subject)
        case Verb.RETRY_MESSAGE | Verb.DISCARD_MESSAGE:
            log, _, offset = subject.rpartition("@")
            method = f"QUARANTINE.{action.verb.removesuffix('-message')}"
            await ask(events_queue(watch.name), method, debug_info=dbg, log=log, offset=int(offset))
