"""Versioned lines: a fold's state as lines of JSON, of which the first also says which version wrote them."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from bus.snapshots import SnapshotError

T = TypeVar("T")


def line(**values: Any) -> bytes:
    """One line; the first of all must have a `version`."""
    return json.dumps(values, separators=(",", ":")).encode()


def read(
    lines: Iterable[bytes],
    version: int,
    make: Callable[[Any, list[Any]], T],
    *refusals: type[Exception],
) -> T:
    """What `make` makes of the first line and the others; `refusals` is what it raises besides.

    Raises:
        SnapshotError: another version wrote them, or they do not parse.
    """
    refused: tuple[type[Exception], ...] = (ValueError, LookupError, TypeError, *refusals)
    try:
        first, *others = map(json.loads, lines)
        if first["version"] != version:
            raise SnapshotError(f"it is of version {first['version']}; this one reads {version}")
        return make(first, others)
    except refused as error:
        raise SnapshotError(f"it does not parse: {error!r}") from error
