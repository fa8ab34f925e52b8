"""Spoken: what libvirt refuses, as an error of the interface."""

from collections.abc import Iterator
from contextlib import contextmanager

from schema.fault import internal_error

from virt.values import VirtError


@contextmanager
def spoken() -> Iterator[None]:
    """While inside, what libvirt refuses becomes an `Internal_error` with its words."""
    try:
        yield
    except VirtError as error:
        raise internal_error(str(error)) from error
