"""Wire values: what rpclib's `Rpc.t` is in Python, and how its error texts print one.

`Null` is None, `Bool` bool, `Int` int, `Float` float, `String` str, `Enum` a list, `Dict` a `Dict`. OCaml's
strings are bytes: a str holds bytes that are not UTF-8 as surrogate escapes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override


class Dict:
    """An object whose keys keep their order and may repeat; the first of equal keys is the one read."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Iterable[tuple[str, Any]] = ()) -> None:
        self.pairs = list(pairs)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dict) and self.pairs == other.pairs

    @override
    def __hash__(self) -> int:
        return hash(tuple(key for key, _ in self.pairs))

    @override
    def __repr__(self) -> str:
        return f"Dict({self.pairs!r})"

    def get(self, key: str) -> Any:
        """The first value of `key`, or None; a value that is null is None, too."""
        for name, value in self.pairs:
            if name == key:
                return value
        return None

    def __contains__(self, key: str) -> bool:
        for name, _ in self.pairs:  # noqa: SIM110  a generator costs twice as much, and this is asked of every field
            if name == key:
                return True
        return False


class Null:
    """A null that is there: `Some null`, where None is no value at all."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return "NULL"


NULL: Final = Null()


@dataclass(frozen=True, slots=True)
class Foreign:
    """JSON that Yojson reads but no wire value holds: its tuples, its variants, integers beyond 64 bits."""

    json: str
    is_number: bool = False


def text_of(value: Any) -> str:
    """A value as rpclib's error texts show it: `S(x)`, `I(7)`, `[I(0);N]`."""
    match value:
        case None:
            return "N"
        case bool():
            return f"B({str(value).lower()})"
        case int():
            return f"I({value})"
        case float():
            return f"F({value:g})"
        case str():
            return f"S({value})"
        case Dict():
            return "{" + ";".join(f"{key}:{text_of(content)}" for key, content in value.pairs) + "}"
        case _:
            return "[" + ";".join(map(text_of, value)) + "]"
