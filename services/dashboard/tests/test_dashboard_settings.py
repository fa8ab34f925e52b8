"""Where the page may be served, and where not; what starts and what says why it does not."""

import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bus.memory import MemoryBroker, MemoryBus
from bus.process import Settings as BusSettings
from bus.process import SettingsError
from dashboard.__main__ import NICENESS, give_way
from dashboard.figures import of_events, of_health
from dashboard.operators import Operator, OperatorRole, TokensError, tokens_text
from dashboard.pulse import Health
from dashboard.service import build
from dashboard.settings import LOCAL, Settings, from_environment
from dashboard.web.render import NOTHING, UNBROKEN, brief, clock, figure, short, span
from dashboard.web.server import bind
from page_in_hand import INSTANCE
from schema.objects.events import Events, Readers

LEAST = {"XENOPS_BROKER": "amqp://b", "XENOPS_INSTANCE": "i", "XENOPS_PAGE_TOKENS": "/tokens"}


def test_the_page_is_this_machine_s_unless_told_otherwise() -> None:
    settings = from_environment(LEAST)
    assert (settings.host, settings.port, settings.hosts, settings.tls) == ("127.0.0.1", 8600, LOCAL, None)
    assert (settings.broker, settings.instances, settings.url_file) == ("amqp://b", ("i",), None)
    named = from_environment({**LEAST, "XENOPS_PAGE": "[::1]:0", "XENOPS_PAGE_HOSTS": "Ops.example, b"})
    assert (named.host, named.port, named.hosts[-2:]) == ("::1", 0, ("ops.example", "b"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"XENOPS_PAGE_TOKENS": ""}, "XENOPS_PAGE_TOKENS is not set"),
        ({"XENOPS_PAGE": "8600"}, "write 127.0.0.1:8600"),
        ({"XENOPS_PAGE": "127.0.0.1:99999"}, "write 127.0.0.1:8600"),
        ({"XENOPS_PAGE": "0.0.0.0:8600"}, "cross the network"),
        ({"XENOPS_PAGE": "ops.example:8600"}, "cross the network"),
        ({"XENOPS_PAGE_CERTIFICATE": "/c"}, "go together"),
        ({"XENOPS_PAGE_TRACES": "https://jaeger.example/"}, "with {trace} in it"),
        ({"XENOPS_PAGE_TRACES": "javascript:{trace}"}, "with {trace} in it"),
        ({"XENOPS_PAGE_CERTIFICATE": "/c", "XENOPS_PAGE_KEY": "/k"}, "No such file"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_words(more: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        from_environment({**LEAST, **more})


def test_beyond_this_machine_names_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", lambda *_: None)
    far = {**LEAST, "XENOPS_PAGE": "0.0.0.0:8600", "XENOPS_PAGE_CERTIFICATE": "c", "XENOPS_PAGE_KEY": "k"}
    with pytest.raises(SettingsError, match="XENOPS_PAGE_HOSTS"):
        from_environment(far)
    assert from_environment({**far, "XENOPS_PAGE_HOSTS": "ops"}).tls is not None


def test_a_port_is_taken_again_if_it_is_free(tmp_path: Path) -> None:
    remembered = tmp_path / "url"
    first, port = bind("127.0.0.1", 0, remembered)
    remembered.write_text(f"http://127.0.0.1:{port}/\n")
    second, other = bind("127.0.0.1", 0, remembered)
    assert other != port
    first.close()
    second.close()
    third, again = bind("127.0.0.1", 0, remembered)
    assert again == port
    with pytest.raises(OSError, match="cannot be served"):
        bind("127.0.0.1", port, None)
    third.close()
    remembered.write_text("nonsense")
    bind("127.0.0.1", 0, remembered)[0].close()


def test_without_usable_tokens_nothing_starts(tmp_path: Path) -> None:
    bus = MemoryBus(MemoryBroker())
    path = tmp_path / "tokens"
    with pytest.raises(TokensError, match="cannot be read"):
        build(bus, Settings(BusSettings((INSTANCE,)), path))
    path.write_text(tokens_text([(Operator("a", OperatorRole.READER), "s" * 40)]))
    path.chmod(0o644)
    with pytest.raises(TokensError, match="chmod 600"):
        build(bus, Settings(BusSettings((INSTANCE,)), path))
    bus.close()


def test_figures_of_health_and_of_those_who_wait() -> None:
    health = (Health("eventhub", "slow", took_s=2.0), Health("worker", "out", "none"))
    assert of_health(health) == {
        "service_up": {"eventhub": 0.5, "worker": 0.0},
        "service_answer_seconds": {"eventhub": 2.0},
    }
    readers = (Readers(token=1, count=2, behind=3), Readers(token=2, count=1, behind=0))
    events = Events(token=2, seen=9, objects=0, readers=readers, barriers=())
    assert of_events(events) == {"long_polls": 3.0, "long_polls_behind": 3.0}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, NOTHING),
        (0.0, "0.0 ms"),
        (0.00002, "< 0.1 ms"),
        (0.0005, "0.5 ms"),
        (0.34, "340 ms"),
        (0.9996, "1.0 s"),
        (3.21, "3.2 s"),
        (59.96, "1 min"),
        (300, "5 min"),
        (303, "5 min 3 s"),
        (7500, "2 h 5 min"),
        (2e5, "2 d 7 h"),
    ],
)
def test_durations_are_said_for_people(seconds: float | None, words: str) -> None:
    assert span(seconds) == words.replace(" ", UNBROKEN)


def test_times_figures_and_texts_are_said_for_people() -> None:
    assert (clock(None), clock(0.0)) == (NOTHING, "1970-01-01 00:00:00")
    assert [figure(value) for value in (None, 0.0, 3.0, 0.1234, 1234.5)] == [
        NOTHING,
        "0",
        "3",
        "0.123",
        "1,234",
    ]
    assert short("a\u202eb\nc") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert short("x" * 1_000).endswith("…")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"kind": "Failed", "x": 1}, "Failed"),
        ({"kind": "Atomic", "atomic": {"kind": "VM_pause", "vm": "v"}}, "VM_pause"),
        ({"a": 1}, "a"),
        ([1, 2], "2 of them"),
        ([{"kind": "Vm"}], "Vm"),
        (7, "7"),
        (0.25001144, "0.25"),
        (1764424000.5, "1764424000.5"),
    ],
)
def test_parts_of_records_are_said_in_a_few_words(value: object, words: str) -> None:
    assert brief(value) == words


def test_a_bus_that_takes_no_words_of_ours_is_no_reason_to_end(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.touch(mode=0o600)
    path.write_text(tokens_text([(Operator("a", OperatorRole.READER), "s" * 40)]))
    bus = MemoryBus(MemoryBroker())
    service = build(bus, Settings(BusSettings((INSTANCE,)), path))
    bus.close()
    service._listener.close()
    watch = service._watches[INSTANCE]
    watch.live = True
    watch._ping()
    assert "no word of ours" in watch.trouble


def test_its_process_lets_others_go_first_once() -> None:
    def niceness() -> tuple[int, int]:
        """Of a thread, which Linux counts for itself, before and after."""
        before = os.getpriority(os.PRIO_PROCESS, 0)
        give_way()
        return before, os.getpriority(os.PRIO_PROCESS, 0)

    with ThreadPoolExecutor(1) as thread:
        begun, then = thread.submit(niceness).result()
        assert then == max(begun, NICENESS)
        assert thread.submit(niceness).result() == (then, then)
