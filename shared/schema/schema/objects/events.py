"""Events: how far the event hub has read, who waits for news there, and which barriers stand."""

from schema.wire.types import Struct, wire_default


class Readers(Struct, wire="readers"):
    """So many clients wait in UPDATES.get, having seen all up to a token; `behind` places have come since."""

    token: int
    count: int
    behind: int


class StandingBarrier(Struct, wire="standing_barrier"):
    """A barrier: its id, the token behind it, and how many objects' changes it holds."""

    id: int
    token: int
    objects: int


class Events(Struct, wire="events"):
    """What one replica of the event hub knows: `token` is the newest that it gives, `seen` counts entries.

    `version` is its software's, empty where it does not say.
    """

    token: int
    seen: int
    objects: int
    readers: tuple[Readers, ...]
    barriers: tuple[StandingBarrier, ...]
    version: str = wire_default("")
