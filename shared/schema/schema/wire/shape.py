"""Shapes: what a Python annotation is on the wire, as a closed union that reader and writer are made from."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, NewType, Union, get_args, get_origin

from schema.wire.scalars import INT_BITS
from schema.wire.types import Abstract, Arm, AssocList, DeviceId, Struct, Variant, Width


@dataclass(frozen=True, slots=True)
class Scalar:
    """`unit`, `bool`, `float` or `string`."""

    type: type


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer of so many bits; `name` is the original's in error texts."""

    bits: int
    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """An abstract type of the original, by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """`x option`."""

    content: Any


@dataclass(frozen=True, slots=True)
class Sequence:
    """`x list`."""

    content: Any


@dataclass(frozen=True, slots=True)
class Association:
    """`(string * x) list`."""

    content: Any


@dataclass(frozen=True, slots=True)
class Product:
    """A tuple of two to four; `make` builds the Python value from the parts."""

    contents: tuple[Any, ...]
    make: Any


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a struct: `default` stands in for any value that cannot be read."""

    name: str
    type: Any
    has_default: bool
    default: Any


@dataclass(frozen=True, slots=True)
class Structure:
    """A struct, its fields in declaration order."""

    type: type[Struct]
    name: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One arm of a variant: none, one or several contents, in `fields`."""

    tag: str
    type: type[Arm]
    fields: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """A variant with contents."""

    choices: tuple[Choice, ...]
    default: Arm | None


@dataclass(frozen=True, slots=True)
class Enumeration:
    """A variant whose arms are all `unit`."""

    type: type[StrEnum]


Shape = (
    Scalar | Integer | Opaque | Optional | Sequence | Association | Product | Structure | Sum | Enumeration
)

_SCALARS = (type(None), bool, float, str)


def shape_of(annotation: Any) -> Shape:
    """The wire shape that an annotation says; raises TypeError for one that says none."""
    if get_origin(annotation) is Annotated:
        content, *marks = get_args(annotation)
        return _marked(content, marks)
    if annotation is None or annotation in _SCALARS:
        return Scalar(annotation or type(None))
    if annotation is int:
        return Integer(INT_BITS, "int")
    if get_origin(annotation) in (Union, types.UnionType):
        return _optional(annotation)
    if isinstance(annotation, NewType):
        return shape_of(annotation.__supertype__)
    if get_origin(annotation) is tuple:
        return _tuple(get_args(annotation))
    if isinstance(annotation, type):
        return _class(annotation)
    raise TypeError(f"{annotation!r} has no wire form: use the markers of schema.wire.types")


def _marked(content: Any, marks: list[Any]) -> Shape:
    for mark in marks:
        match mark:
            case Width(bits):
                return Integer(bits, f"int{bits}")
            case Abstract(name):
                return Opaque(name)
            case AssocList():
                ((_, item),) = [get_args(pair) for pair in get_args(content)[:1]]
                return Association(item)
            case Variant():
                return Sum(tuple(map(_choice, get_args(content) or (content,))), mark.default)
            case _:
                pass  # pydantic's own markers say nothing of the wire
    return shape_of(content)


def _optional(annotation: Any) -> Optional:
    contents = [argument for argument in get_args(annotation) if argument is not type(None)]
    if len(contents) != 1:
        raise TypeError(f"{annotation!r} is no option: mark a union of arms with Variant")
    return Optional(contents[0])


def _tuple(arguments: tuple[Any, ...]) -> Shape:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return Sequence(arguments[0])
    return Product(arguments, lambda *parts: parts)


def _class(class_: type) -> Shape:
    if issubclass(class_, StrEnum):
        return Enumeration(class_)
    if class_ is DeviceId:
        return Product((str, str), DeviceId)
    if issubclass(class_, Struct):
        return Structure(class_, class_.wire_name, tuple(_fields(class_)))
    if issubclass(class_, Arm):
        return Sum((_choice(class_),), None)
    raise TypeError(f"{class_.__name__} has no wire form: derive it from Struct or Arm")


def _fields(class_: type[Struct]) -> list[Field]:
    return [
        Field(name, _annotation(info), *_wire_default(info)) for name, info in class_.model_fields.items()
    ]


def _wire_default(info: Any) -> tuple[bool, Any]:
    extra = info.json_schema_extra
    marked = isinstance(extra, Mapping) and bool(extra.get("wire_default"))
    return marked, info.default if marked else None


def _choice(class_: type[Arm]) -> Choice:
    contents = dict(class_.model_fields)
    (tag,) = get_args(contents.pop("kind").annotation)
    return Choice(tag, class_, tuple((name, _annotation(info)) for name, info in contents.items()))


def _annotation(info: Any) -> Any:
    """A field's annotation with the markers that pydantic took off it."""
    for mark in info.metadata:
        if isinstance(mark, Width | Abstract | AssocList | Variant):
            return Annotated[info.annotation, mark]
    return info.annotation
