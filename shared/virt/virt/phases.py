"""Phases: the five calls of which a migration between two libvirtds is made, each to one libvirtd alone.

Libvirt's public calls make all five, and so want to reach both. These are in its library for libvirtd's
own use, by a private version of their symbols, unchanged since 1.1 (2013): hence `are_there`. A cookie is
what one side's libvirtd tells the other's.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import libvirt  # type: ignore[import-untyped]

from virt.meaning import Handle

Parameters = Mapping[str, str | Sequence[str]]
"""By libvirt's names (`VIR_MIGRATE_PARAM_*`)."""

_PHASES = ("Begin", "Prepare", "Perform", "Finish", "Confirm")


def are_there() -> bool:
    """Whether the library at hand has them."""
    return all(hasattr(_library(), _name(phase)) for phase in _PHASES)


def begin(domain: Handle, parameters: Parameters, flags: int) -> tuple[str, bytes]:
    """At the source: the domain is kept for this migration; its document and a cookie for `prepare`."""
    call = _function("Begin", ctypes.c_void_p)
    with _typed(parameters) as words, _cookie_out() as out:
        document = call(_pointer(domain), *words, *out.places, flags)
        if not document:
            raise libvirt.libvirtError("it cannot begin")
        with _freed(document):
            return ctypes.string_at(document).decode(), out.content()


def prepare(handle: Handle, parameters: Parameters, cookie: bytes, flags: int) -> bytes:
    """At the destination: a domain waits for its state; a cookie for `perform`."""
    call, uri = _function("Prepare", ctypes.c_int), ctypes.c_void_p()
    with _typed(parameters) as words, _cookie_out() as out:
        _refuse_failed(
            call(_pointer(handle), *words, *_cookie_in(cookie), *out.places, ctypes.byref(uri), flags)
        )
        with _freed(uri):
            return out.content()


def perform(domain: Handle, parameters: Parameters, cookie: bytes, flags: int) -> bytes:
    """At the source: all goes over, until the guest stands still; a cookie for `finish`."""
    call = _function("Perform", ctypes.c_int)
    with _typed(parameters) as words, _cookie_out() as out:
        _refuse_failed(call(_pointer(domain), None, *words, *_cookie_in(cookie), *out.places, flags))
        return out.content()


def finish(handle: Handle, parameters: Parameters, cookie: bytes, flags: int, *, failed: bool) -> bytes:
    """At the destination: the domain is there, or, `failed`, is not; a cookie for `confirm`."""
    call = _function("Finish", ctypes.c_void_p)
    with _typed(parameters) as words, _cookie_out() as out:
        domain = call(_pointer(handle), *words, *_cookie_in(cookie), *out.places, flags, int(failed))
        if domain:
            _library().virDomainFree(ctypes.c_void_p(domain))
        elif not failed:
            raise libvirt.libvirtError("it cannot finish")
        return out.content()


def confirm(domain: Handle, parameters: Parameters, cookie: bytes, flags: int, *, failed: bool) -> None:
    """At the source: the domain is gone, or, `failed`, goes on."""
    call = _function("Confirm", ctypes.c_int)
    with _typed(parameters) as words:
        _refuse_failed(call(_pointer(domain), *words, *_cookie_in(cookie), flags, int(failed)))


@cache
def _library() -> Any:
    """The one that libvirt-python is linked with: a process has it once."""
    return ctypes.CDLL("libvirt.so.0")


def _name(phase: str) -> str:
    return f"virDomainMigrate{phase}3Params"


def _function(phase: str, answer: Any) -> Any:
    function = _library()[_name(phase)]
    function.restype = answer
    return function


def _pointer(handle: Handle) -> ctypes.c_void_p:
    return ctypes.c_void_p(handle.c_pointer())


def _refuse_failed(answer: int) -> None:
    if answer < 0:
        raise libvirt.libvirtError("it cannot")


@contextmanager
def _typed(parameters: Parameters) -> Iterator[tuple[ctypes.c_void_p, ctypes.c_int]]:
    """As libvirt's array of typed parameters, and its length."""
    library, array, count, room = _library(), ctypes.c_void_p(), ctypes.c_int(), ctypes.c_int()
    places = (ctypes.byref(array), ctypes.byref(count), ctypes.byref(room))
    try:
        for name, value in parameters.items():
            for each in (value,) if isinstance(value, str) else value:
                _refuse_failed(library.virTypedParamsAddString(*places, name.encode(), each.encode()))
        yield array, count
    finally:
        library.virTypedParamsFree(array, count)


class _CookieOut:
    def __init__(self) -> None:
        self.data, self.length = ctypes.c_void_p(), ctypes.c_int()

    @property
    def places(self) -> tuple[Any, Any]:
        return ctypes.byref(self.data), ctypes.byref(self.length)

    def content(self) -> bytes:
        return ctypes.string_at(self.data, self.length.value) if self.data.value else b""


@contextmanager
def _cookie_out() -> Iterator[_CookieOut]:
    out = _CookieOut()
    try:
        yield out
    finally:
        _free(out.data)


def _cookie_in(cookie: bytes) -> tuple[bytes | None, int]:
    return cookie or None, len(cookie)


@contextmanager
def _freed(pointer: ctypes.c_void_p | int) -> Iterator[None]:
    try:
        yield
    finally:
        _free(pointer if isinstance(pointer, ctypes.c_void_p) else ctypes.c_void_p(pointer))


def _free(pointer: ctypes.c_void_p) -> None:
    ctypes.CDLL(None).free(pointer)
