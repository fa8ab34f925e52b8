"""Changes: what becomes of XenAPI's records, as values, and how a database takes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xenops.toolstack.database import Database


@dataclass(frozen=True, slots=True)
class Update:
    """Fields of a record have new values."""

    klass: str
    ref: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Create:
    """There is a new record; `field` of its owner refers to it, alone or, with `many`, among others."""

    klass: str
    fields: Mapping[str, Any]
    owner: tuple[str, str]
    field: str
    many: bool = False


@dataclass(frozen=True, slots=True)
class Destroy:
    """A record among those that `field` of its owner refers to is no more."""

    klass: str
    ref: str
    owner: tuple[str, str]
    field: str


Change = Update | Create | Destroy


def apply(database: Database, changes: Iterable[Change]) -> None:
    """Have a database take changes, in order.

    Raises:
        XenApiFailure: HANDLE_INVALID, a record is gone.
    """
    for change in changes:
        match change:
            case Update(klass=klass, ref=ref, fields=fields):
                database.update(klass, ref, fields)
            case Create(klass=klass, fields=fields, owner=owner, field=field, many=many):
                made = database.create(klass, fields)
                value: Any = [*_refs(database, owner, field), made] if many else made
                database.update(*owner, {field: value})
            case Destroy(klass=klass, ref=ref, owner=owner, field=field):
                remaining = [other for other in _refs(database, owner, field) if other != ref]
                database.update(*owner, {field: remaining})
                database.destroy(klass, ref)


def _refs(database: Database, owner: tuple[str, str], field: str) -> list[str]:
    return list(database.fields(*owner).get(field, ()))
