"""UPDATES.get under load: many clients wait, objects change; who is answered asks again.

    python bench/bench_updates.py [CHANGES]

Measures the event hub's core alone, in one thread: reading an entry, waking everybody, decoding what they ask
next. Sending is the bus's. Beside it what a new client's first answer costs, which tells of every object.
"""

import sys
import time

from bus.ports import Entry, Request
from eventhub.core import EventHub
from eventhub.effects import Effect, Reply
from schema.ids import Offset, VmId
from schema.objects.dynamic import ObjectId, VbdObject, VmObject
from schema.records import Changed
from schema.rpc import decode_response, encode_request
from schema.wire.types import DeviceId

OBJECTS = 2_000
WAITERS = (1, 10, 100, 1_000, 5_000)


def main() -> None:
    """Print one line for each number of waiters."""
    changes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    print(f"{'waiters':>8} {'changes/s':>10} {'answers/s':>10} {'us/answer':>10}")
    for waiters in WAITERS:
        seconds, answers = run(waiters, max(10, changes * 100 // max(100, waiters)))
        rate, count = answers / seconds, answers // waiters
        print(f"{waiters:>8} {count / seconds:>10.0f} {rate:>10.0f} {1e6 / rate:>10.1f}")
    hub = filled()
    begin = time.perf_counter()
    repeats = 20
    for _ in range(repeats):
        hub.on_request(Request(get(None), "new"), 0.0)
    print(f"first answer, {OBJECTS} objects: {(time.perf_counter() - begin) / repeats * 1e3:.2f} ms")


def run(waiters: int, changes: int) -> tuple[float, int]:
    """Seconds and answers for `changes` changes, each told to all waiters, who then ask again."""
    hub = filled()
    token = OBJECTS
    question = get(token)
    for number in range(waiters):
        assert not hub.on_request(Request(question, f"client{number}"), 0.0)
    answers = 0
    begin = time.perf_counter()
    for change in range(changes):
        now = float(change + 1)  # no pause lasts so long
        hub.on_entry(entry(OBJECTS + change, change % OBJECTS))
        for reply in replies(hub.on_batch(now)):
            token = decode_response("UPDATES.get", reply.body)[2]
            answers += len(reply.to)
            question = get(token)
            for address in reply.to:
                hub.on_request(Request(question, address.reply_to), now)
    return time.perf_counter() - begin, answers


def filled() -> EventHub:
    """A live hub that knows all objects."""
    hub = EventHub()
    for number in range(OBJECTS):
        hub.on_entry(entry(number, number))
    hub.on_live(0.0)
    return hub


def replies(effects: list[Effect]) -> list[Reply]:
    """The answers among effects."""
    return [effect for effect in effects if isinstance(effect, Reply)]


def entry(offset: int, number: int) -> Entry:
    """One object has changed."""
    vm = VmId(f"vm{number // 2}")
    changed: ObjectId = VmObject(id=vm) if number % 2 else VbdObject(id=DeviceId(vm, "xvda"))
    return Entry(Offset(offset), 0.0, Changed(vm=vm, changed=(changed,)))


def get(token: int | None) -> bytes:
    """What a client asks next."""
    return encode_request("UPDATES.get", debug_info="bench", last_id=token, timeout=30)


if __name__ == "__main__":
    main()
