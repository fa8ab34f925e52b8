"""Spoken: what libvirt refuses, as an error of the interface."""

from collections.abc import Iterator
from contextlib import contextmanager

from schema.fault import internal_error

from virt.values import VirtError
from virt.xml import ImpossibleTextError


@contextmanager
def spoken() -> Iterator[None]:
    """While inside, what libvirt refuses becomes an `Internal_error` with its words."""
    try:
        yield
    except VirtError as error:
        raise internal_error(str(error)) from error


@contextmanager
def configured(what: str) -> Iterator[None]:
    """While inside, what libvirt cannot be told of becomes an `Internal_error` that says what to do."""
    try:
        yield
    except ImpossibleTextError as error:
        raise internal_error(f"Cannot {what}: {error}: correct its configuration") from error
