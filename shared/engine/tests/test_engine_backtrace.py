import re
import socket
from pathlib import Path

import pytest
from engine.worker.backtrace import Sexp, backtrace_of, write_sexp
from schema.fault import internal_error


@pytest.mark.parametrize(
    ("sexp", "text"),
    [
        ((), "()"),
        (("a", "b"), "(a b)"),
        (("process", "/usr/sbin/xenopsd @ vm"), '(process"/usr/sbin/xenopsd @ vm")'),
        (("x y", "z"), '("x y"z)'),
        (
            ("name", "Xenops_server.queue_operation_int.(fun)"),
            '(name"Xenops_server.queue_operation_int.(fun)")',
        ),
        ((("a", "1"), ("b", "2"), "c"), "((a 1)(b 2)c)"),
        (("", ";", "a|#b", "|", "#"), '("" ";" "a|#b"| #)'.replace('" "', '""')),
        (('"\\\n\t\r\b', "\x00\x7f", "ä"), '("\\"\\\\\\n\\t\\r\\b""\\000\\127""\\195\\164")'),
    ],
)
def test_an_expression_is_written_as_sexplib_writes_it(sexp: Sexp, text: str) -> None:
    assert write_sexp(sexp) == text


def fail() -> None:
    raise internal_error("no")


def caught() -> BaseException:
    try:
        fail()
    except Exception as error:  # noqa: BLE001  the point of it
        return error
    raise AssertionError


def test_a_backtrace_has_the_originals_fields_innermost_first() -> None:
    text = re.sub(r"(line|chars_start|chars_end) [1-9]\d*", r"\1 N", backtrace_of(caught()))
    process = re.escape(f" @ {socket.gethostname()}")
    inner, outer = text[1:-1].split("))((")
    for frame, name, is_raise in ((f"{inner}))", "fail", "true"), (f"(({outer}", "caught", "false")):
        found = re.fullmatch(rf'\(\(process"[^"]+{process}"\)(.*)\(name [\w.]+\.{name}\)(.*)\)', frame)
        assert found
        assert found[1] == "(filename tests/test_engine_backtrace.py)(line N)(chars_start N)(chars_end N)"
        assert found[2] == f"(is_inline false)(is_raise {is_raise})"


def test_an_error_that_was_never_raised_has_none() -> None:
    assert backtrace_of(ValueError()) == "()"


def test_where_it_is_installed_is_not_told() -> None:
    assert str(Path(__file__).resolve().parents[2]) not in backtrace_of(caught())
