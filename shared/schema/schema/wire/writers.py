"""Writers: from Python values to wire values, by rpclib's rules."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from schema.wire.shape import (
    Association,
    Choice,
    Enumeration,
    Integer,
    Opaque,
    Optional,
    Product,
    Scalar,
    Sequence,
    Shape,
    Structure,
    Sum,
    shape_of,
)
from schema.wire.value import NULL, Dict

Writer = Callable[[Any], Any]


def writer_of(annotation: Any) -> Writer:
    """The writer of a type."""
    return _writer(shape_of(annotation))


def _writer(shape: Shape) -> Writer:
    match shape:
        case Scalar() | Integer():
            return float if shape == Scalar(float) else _itself
        case Opaque():
            return _opaque
        case Optional():
            write = writer_of(shape.content)
            return lambda value: [] if value is None else [write(value)]
        case Sequence():
            write = writer_of(shape.content)
            return lambda values: [write(value) for value in values]
        case Association():
            write = writer_of(shape.content)
            return lambda pairs: Dict([(key, write(value)) for key, value in pairs])
        case Product():
            return _parts(shape.contents)
        case Structure():
            return _structure(shape)
        case Sum():
            return _sum(shape)
        case Enumeration():
            return str


def _itself(value: Any) -> Any:
    return value


def _opaque(value: Any) -> Any:
    return None if value is NULL else value


def _parts(contents: tuple[Any, ...]) -> Writer:
    writers = [writer_of(content) for content in contents]
    return lambda parts: [write(part) for write, part in zip(writers, parts, strict=True)]


def _structure(shape: Structure) -> Writer:
    """Fields go out last declared first; an option is bare, or not there at all."""
    fields: list[tuple[str, Writer, bool]] = []
    for field in reversed(shape.fields):
        content = shape_of(field.type)
        optional = isinstance(content, Optional)
        fields.append(
            (
                field.name,
                writer_of(content.content) if isinstance(content, Optional) else _writer(content),
                optional,
            )
        )

    def write(value: Any) -> Dict:
        held = value.__dict__
        return Dict(
            [
                (name, write_field(held[name]))
                for name, write_field, optional in fields
                if not (optional and held[name] is None)
            ]
        )

    return write


def _sum(shape: Sum) -> Writer:
    arms = {choice.type: _choice(choice) for choice in shape.choices}
    return lambda value: arms[type(value)](value)


def _choice(choice: Choice) -> Writer:
    """A tag alone, or with its content unless that is null."""
    tag = choice.tag
    names = [name for name, _ in choice.fields]
    if not names:
        return lambda _: tag
    if len(names) > 1:
        write_parts = _parts(tuple(annotation for _, annotation in choice.fields))
        read_parts = attrgetter(*names)
        return lambda value: [tag, write_parts(read_parts(value))]
    write_content = writer_of(choice.fields[0][1])
    read_content = attrgetter(names[0])

    def write(value: Any) -> Any:
        content = write_content(read_content(value))
        return tag if content is None else [tag, content]

    return write
