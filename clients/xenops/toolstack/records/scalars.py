"""Scalars: how XenAPI writes integers, times and references, and what every record has."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

NULL = "OpaqueRef:NULL"
"""The reference to nothing."""

Ref = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""A reference to a record: `OpaqueRef:...`; see `is_null`."""

Text = Annotated[str, BeforeValidator(lambda value: value if value is None else str(value))]
"""A text; XML-RPC's times, which are objects, become one."""

Strings = Mapping[str, str]
"""`(string -> string) map`."""


def is_null(ref: str) -> bool:
    """Whether a reference leads nowhere; XenAPI has written it in both ways."""
    return ref in {"", NULL}


class RecordError(ValueError):
    """A record is not as XenAPI returns it; the sentence says which field of which record, and why."""


class Record(BaseModel):
    """Fields of one record, as far as they concern xenops; what else XenAPI returns is ignored.

    Fields are read by XenAPI's names. Integers may come as texts, as in XML-RPC, or as numbers.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    klass: ClassVar[str]
    """The name of the XenAPI class."""

    uuid: str = Field(min_length=1)

    @classmethod
    def read(cls, ref: str, fields: Mapping[str, Any]) -> Self:
        """A record as XenAPI returned it.

        Raises:
            RecordError: a field is missing or makes no sense.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            complaints = "; ".join(_complaint(one) for one in error.errors())
            raise RecordError(f"cannot read the {cls.klass} {ref}: {complaints}") from error


def _complaint(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the record"
    if error["type"] == "missing":
        return f"{place} is missing"
    return f"{place}: {error['msg']}, not {error['input']!r}"


R = TypeVar("R", bound=Record)
