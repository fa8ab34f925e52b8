"""What a process says of itself: fields of JSON, what a message is about, and secrets that are in none."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bus.logs import (
    Concern,
    LogFormat,
    LogFormatError,
    Written,
    about,
    log_format,
    of_entry,
    passwords,
)
from bus.memory import MemoryBroker, MemoryBus
from bus.ports import BEGINNING, Entry
from schema import records
from schema.ids import InstanceName, Offset, TaskId, VmId
from schema.operations import VmStart

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SUBMITTED = records.Submitted(
    vm=VmId("vm1"),
    operation=VmStart(vm=VmId("vm1")),
    request_id="r",
    dbg="d",
    accept_by=9.0,
    traceparent=PARENT,
)
URL = "amqp://xenops-worker:hunter2%2Ftwo@localhost:5672/"


def message(text: str = "a word", *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("redirector", logging.WARNING, "f.py", 1, text, arguments, None)


def said(written: Written, record: logging.LogRecord | None = None) -> dict[str, Any]:
    line = written.line(record or message())
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.fixture(name="written")
def write_json() -> Written:
    written = Written(LogFormat.JSON, "redirector")
    written.introduce(("a", "b"), passwords(URL))
    return written


def test_a_line_says_when_how_bad_who_and_for_which_instances(written: Written) -> None:
    found = said(written, message("lane %s is full", "vm1"))
    assert found.pop("time").endswith("+00:00")
    assert found == {
        "level": "WARNING",
        "service": "redirector",
        "instance": "a,b",
        "logger": "redirector",
        "message": "lane vm1 is full",
    }


def test_a_message_names_what_is_worked_on_while_it_is(written: Written) -> None:
    with about(lambda: Concern(7, "vm1", TRACE)):
        with about(lambda: Concern(vm="vm2")):
            assert said(written)["vm"] == "vm2"
        found = said(written)
    assert (found["task"], found["vm"], found["trace"]) == (7, "vm1", TRACE)
    assert {"task", "vm", "trace"}.isdisjoint(said(written))


def test_an_entry_is_about_its_task_vm_and_trace() -> None:
    assert of_entry(Entry(Offset(7), 0.0, SUBMITTED)) == Concern(7, "vm1", TRACE)
    cancel = records.CancelRequested(vm=VmId("vm1"), task=TaskId(3))
    assert of_entry(Entry(Offset(8), 0.0, cancel)) == Concern(3, "vm1", "")
    assert of_entry(Entry(Offset(9), 0.0, records.Elected(redirector="r"))) == Concern()


def test_a_bug_in_a_handler_names_the_task_that_it_was_met_at(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[dict[str, Any]] = []
    written.setLevel(logging.ERROR)
    written.emit = lambda record: lines.append(said(written, record))  # type: ignore[method-assign]
    logging.getLogger("bus").addHandler(written)
    bus = MemoryBus(MemoryBroker())
    bus.tail(InstanceName("i"), BEGINNING, lambda _: 1 / 0, lambda: None)  # type: ignore[arg-type]
    bus.append(InstanceName("i"), SUBMITTED).result()
    bus.ready(30.0)
    bus.close()
    logging.getLogger("bus").removeHandler(written)
    [found] = lines
    assert (found["task"], found["vm"], found["trace"], found["level"]) == (0, "vm1", TRACE, "ERROR")
    assert "ZeroDivisionError" in found["exc_info"]
    assert caplog.records


@pytest.mark.parametrize("form", list(LogFormat))
def test_what_the_process_connects_by_is_struck_out_wherever_it_stands(form: LogFormat) -> None:
    written = Written(form, "worker")
    written.introduce(("i",), passwords(f"{URL},amqp://u:other-secret@h/"))
    error = OSError(f"cannot reach {URL}")
    record = message("%s; hunter2/two, other-secret", URL)
    record.exc_info = (type(error), error, None)
    line = written.line(record)
    assert "hunter2" not in line
    assert "other-secret" not in line
    assert "localhost:5672" in line


def test_text_is_as_it_was_and_a_line_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    Written(LogFormat.TEXT, "worker").handle(message("a %s", "word"))
    assert stream.getvalue().endswith(" WARNING redirector: a word\n")


def test_a_message_that_cannot_be_written_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    Written(LogFormat.JSON, "worker").handle(message("%d", "no number"))


@pytest.mark.parametrize(
    ("told", "form"), [({}, LogFormat.TEXT), ({"XENOPS_LOG_FORMAT": "json"}, LogFormat.JSON)]
)
def test_how_to_write_is_a_setting(told: dict[str, str], form: LogFormat) -> None:
    assert log_format(told) is form
    with pytest.raises(LogFormatError, match="set it to text or json"):
        log_format({"XENOPS_LOG_FORMAT": "xml"})


def test_a_service_that_is_told_a_format_that_is_none_says_what_to_set(tmp_path: Path) -> None:
    environment = {"XENOPS_LOG_FORMAT": "xml", "XENOPS_BROKER": URL, "XENOPS_INSTANCE": "i"}
    command = [sys.executable, "-m", "redirector"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "redirector: XENOPS_LOG_FORMAT is 'xml': set it to text or json\n",
    )
