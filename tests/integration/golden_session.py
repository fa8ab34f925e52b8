"""The original's live session: requests in the order in which they were made, and how an answer compares."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GOLDEN = Path(os.environ.get("XENOPS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
"""The corpus of the original's samples, beside the repository."""

_CHANCE = {
    "backtrace": "<backtrace>",
    "duration": "<time>",
    "ctime": "<time>",
    "last_start_time": "<time>",
    "last_create_time": "<time>",
    "instance_id": "<id>",
}
"""Fields that no two runs share; a time of 0.0 says that there is none, and is compared."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as the original's client sent it, and the original's answer."""

    number: int
    method: str
    params: Mapping[str, Any]
    answer: Mapping[str, Any]


def exchanges() -> Iterator[Exchange]:
    """The whole session, oldest first, without malformed requests and other protocols."""
    found = []
    for path in sorted((GOLDEN / "wire").glob("*.json")):
        if path.name.startswith(("raw_", "message-switch")):
            continue
        for sample in json.loads(path.read_text()):
            request, answer = json.loads(sample["request"]), json.loads(sample["response"])
            found.append(Exchange(request["id"], request["method"], request["params"][0], answer))
    return iter(sorted(found, key=lambda exchange: exchange.number))


@dataclass(slots=True)
class Names:
    """What the original called a task, and what it is called here."""

    tasks: dict[str, str] = field(default_factory=dict)

    def ours(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """A request's parameters with our names in place of the original's."""
        named = dict(params)
        if isinstance(id_ := named.get("id"), str):
            named["id"] = self.tasks.get(id_, id_)
        return named


def comparable(value: Any) -> Any:
    """An answer without what differs from run to run: times, ids by chance, domain numbers, backtraces."""
    match value:
        case dict():
            return {name: _comparable_field(name, content) for name, content in value.items()}
        case list():
            return [comparable(item) for item in value]
        case str() if value.startswith("{"):
            return comparable(json.loads(value))
        case _:
            return value


def _comparable_field(name: str, content: Any) -> Any:
    if name in _CHANCE and content != 0.0:
        return _CHANCE[name]
    if name == "domids":
        return len(content)
    if name == "domid":
        return "<number>"
    return comparable(content)


_NOTHING: tuple[Any, ...] = (False, 0, 0.0, "", [], {}, None, "unknown", "Domain_undefined")
"""What the original's simulator says where it knows nothing."""


def differences(ours: Any, theirs: Any, where: str = "") -> Iterator[str]:
    """Where an answer is not the original's; we may know more."""
    if theirs in _NOTHING or ours == theirs:
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in theirs:
            yield from differences(ours.get(name), theirs[name], f"{where}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(mine, its, f"{where}[{index}]")
    else:
        yield f"{where}: {ours!r} instead of {theirs!r}"
