"""What people see, what they may ask for, and what others cannot make the page do."""

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from http import HTTPStatus

import pytest
from bus.ports import BrokerSeen
from dashboard.sessions import IDLE_S
from dashboard.web.pages import SCREENS
from page_in_hand import HUB_VERSION, INSTANCE, OPERATOR, READER, WORKER, Page, message
from schema import records
from schema.fault import internal_error
from schema.ids import TaskId, VmId, WorkerName
from schema.log_records import Stranded
from schema.objects.quarantine import Quarantine, QuarantinedRecord
from schema.operations import VmStart
from schema.overseen import Atom, Pinged
from typing_extensions import override

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)>{{7*7}}\u202e\x00"


@pytest.fixture(name="page")
def as_usual(served: Page) -> Iterator[Page]:
    """The page as it is when all is well, whatever clock and services did in the test before."""
    answers = dict(served.answers)
    served.await_("/readyz", lambda reply: reply.status == HTTPStatus.OK)
    yield served
    served.answers = answers


@pytest.fixture(name="served", scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("page")) as page:
        page.append(records.WorkerUp(worker=WORKER, epoch="e", capacity=2))
        yield page


class _Markup(HTMLParser):
    """All elements, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def key_of(text: str) -> str:
    found = re.search(r'name="form_key" value="([^"]+)"', text)
    assert found
    return found.group(1)


def test_who_is_not_signed_in_is_asked_to(page: Page) -> None:
    for name, _ in SCREENS:
        reply = page.screen("", name)
        assert (reply.status, reply.headers["location"]) == (HTTPStatus.SEE_OTHER, "/login")
    assert page.screen("xenops_session=guessed", "overview").status == HTTPStatus.SEE_OTHER
    assert page.form("/login", token="wrong").status == HTTPStatus.UNAUTHORIZED  # noqa: S106  it is none


def test_a_session_s_cookie_is_kept_from_scripts_and_other_sites(page: Page) -> None:
    cookie = page.form("/login", token=READER).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("name", [name for name, _ in SCREENS])
def test_each_screen_is_whole(page: Page, name: str) -> None:
    reply = page.screen(page.enter(), name)
    assert reply.status == HTTPStatus.OK
    assert reply.text.rstrip().endswith("</html>")
    assert reply.text.count("<h1") == 1
    assert f'href="/i/{INSTANCE}/{name}" aria-current="page"' in reply.text


def test_names_and_texts_of_others_are_shown_as_text_and_nothing_else(page: Page) -> None:
    hostile = page.submit("hostile-vm", dbg=HOSTILE)
    page.append(records.WorkerUp(worker=WorkerName(HOSTILE), epoch=HOSTILE, capacity=1))
    page.run(hostile, "hostile-vm", WorkerName(HOSTILE))
    page.append(
        records.Finished(
            vm=VmId("hostile-vm"),
            task=hostile,
            outcome=records.Failed(error=internal_error(HOSTILE).error),
            atoms=(Atom(HOSTILE, 0.0, 1.0, failed=True),),
        )
    )
    waits = page.submit(HOSTILE, dbg=HOSTILE)
    words = dict.fromkeys(("log", "reason", "routing_key", "user", "producer", "shown"), HOSTILE)
    one = QuarantinedRecord(offset=1, seq=1, at=0.0, size=1, **words)
    page.answers["QUARANTINE.list"] = lambda _: Quarantine(total=1, records=(one,))
    cookie = page.enter()
    screens = [*(name for name, _ in SCREENS), f"tasks/{hostile}", f"tasks/{waits}", "vms/hostile-vm"]
    seen = 0
    for name in screens:
        text = page.screen(cookie, name).text
        seen += "alert(1)" in text
        for tag, attributes in _Markup(text).elements:
            assert tag != "img"
            assert not any(attribute.startswith("on") for attribute in attributes)
            assert tag != "script" or (attributes.get("src") or "").startswith("/static/page.js?")
            assert "style" not in attributes
            assert not (attributes.get("href") or "").lower().startswith("javascript:")
        assert "49" not in re.findall(r"<td>(49)</td>", text)
    assert seen >= 7


def test_a_button_does_what_it_says_and_goes_back(page: Page) -> None:
    cookie = page.enter()
    key = key_of(page.screen(cookie, "queues").text)
    page.asked.clear()
    fields = {"verb": "hold", "subject": "vm7", "back": "vms/vm7", "form_key": key}
    reply = page.form(f"/i/{INSTANCE}/do", cookie, **fields)
    assert (reply.status, reply.headers["location"]) == (HTTPStatus.SEE_OTHER, f"/i/{INSTANCE}/vms/vm7")
    assert ("LANE.hold", {"debug_info": "dashboard:alice", "id": "vm7"}) in page.asked


@pytest.mark.parametrize("key", ["", "guessed", "ключ"])
def test_a_form_that_another_site_sends_does_nothing(page: Page, key: str) -> None:
    page.asked.clear()
    reply = page.form(f"/i/{INSTANCE}/do", page.enter(), verb="hold", subject="vm7", form_key=key)
    assert (reply.status, "another session" in reply.text) == (HTTPStatus.CONFLICT, True)
    assert "LANE.hold" not in [method for method, _ in page.asked]


def test_one_session_s_key_is_none_of_another(page: Page) -> None:
    key = key_of(page.screen(page.enter(), "queues").text)
    reply = page.form(f"/i/{INSTANCE}/do", page.enter(), verb="hold", subject="vm7", form_key=key)
    assert reply.status == HTTPStatus.CONFLICT


def test_a_form_leads_nowhere_else(page: Page) -> None:
    cookie = page.enter()
    key = key_of(page.screen(cookie, "queues").text)
    for back in ("//evil.example", "https://evil.example/", "../../evil", "\r\nset-cookie: x=y"):
        fields = {"verb": "hold", "subject": "vm7", "back": back, "form_key": key}
        reply = page.form(f"/i/{INSTANCE}/do", cookie, **fields)
        assert reply.headers["location"].startswith(f"/i/{INSTANCE}/")
        assert "set-cookie" not in reply.headers


def test_a_reader_sees_no_buttons_and_is_refused_without_them(page: Page) -> None:
    cookie = page.enter(READER)
    text = page.screen(cookie, "workers").text
    assert "Drain" not in text
    fields = {"verb": "drain", "subject": WORKER, "form_key": key_of(text)}
    reply = page.form(f"/i/{INSTANCE}/do", cookie, **fields)
    assert (reply.status, "bob is a reader" in reply.text) == (HTTPStatus.CONFLICT, True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"verb": "explode", "subject": "x"}, "no action"),
        ({"verb": "prioritise", "subject": "0", "number": "much"}, "is no number"),
        ({"verb": "prioritise", "subject": "0", "number": "nan"}, "too far"),
        ({"verb": "cancel", "subject": "99999"}, "there is no task"),
        ({"verb": "drain", "subject": "never"}, "there is no worker"),
    ],
)
def test_a_form_that_makes_no_sense_is_answered_in_words(
    page: Page, fields: dict[str, str], words: str
) -> None:
    cookie = page.enter()
    key = key_of(page.screen(cookie, "queues").text)
    reply = page.form(f"/i/{INSTANCE}/do", cookie, **fields, form_key=key)
    assert reply.status >= HTTPStatus.BAD_REQUEST
    assert words in reply.text


def test_who_signs_out_is_out(page: Page) -> None:
    cookie = page.enter()
    key = key_of(page.screen(cookie, "overview").text)
    assert page.form("/logout", cookie, form_key="guessed").status == HTTPStatus.SEE_OTHER
    assert page.screen(cookie, "overview").status == HTTPStatus.OK
    page.form("/logout", cookie, form_key=key)
    assert page.screen(cookie, "overview").status == HTTPStatus.SEE_OTHER


def test_a_task_shows_its_steps_while_it_runs_and_leads_to_its_trace(page: Page) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    asked = records.Submitted(
        vm=VmId("live"),
        operation=VmStart(vm=VmId("live")),
        request_id="live",
        dbg="lab",
        accept_by=2e9,
        traceparent=f"00-{trace}-b7ad6b7169203331-01",
    )
    task = TaskId(page.append(asked))
    token = page.run(task, "live")
    page.append(
        records.Progress(
            vm=VmId("live"),
            task=task,
            token=token,
            fraction=0.3,
            atom="VM_build",
            atom_began_s=1.0,
            atoms=(Atom("VM_create", 0.0, 1.0),),
            ran_s=1.5,
        )
    )
    text = page.screen(page.enter(), f"tasks/{task}").text
    assert f'href="https://traces.example/?id={trace}"' in text
    assert "VM_create, done: VM_create: 1.000 s" in text
    assert "VM_build, running" in text


def test_workers_tell_their_version_and_the_broker_is_shown(page: Page) -> None:
    page.append(records.WorkerUp(worker=WORKER, epoch="f", capacity=2, version="1.2.3"))
    text = page.screen(page.enter(), "workers").text
    assert "1.2.3" in text
    assert "memory at this process" in text


def test_what_migrations_have_left_is_shown_while_there_is_any_by_page_api_and_metric(page: Page) -> None:
    cookie = page.enter()
    assert "Left by migrations" not in page.screen(cookie, "workers").text
    kept = Stranded(vm=VmId("moving-0"), of=VmId("moving"), state="kept", where="<far>:80")
    page.append(records.Heartbeat(worker=WORKER, stranded=(kept,)))
    shown = '"stranded":[{"id":"moving-0","vm":"moving","state":"kept","where":"<far>:80"}]'
    page.await_(f"/api/v1/instances/{INSTANCE}/workers", lambda reply: shown in reply.text)
    text = page.screen(cookie, "workers").text
    assert "Left by migrations" in text
    assert "moving-0" in text
    assert "&lt;far&gt;:80 says whether it runs there; it stands still here" in text
    assert "1 left by migrations" in page.screen(cookie, "overview").text
    figure = f'xenops_worker_stranded{{instance="{INSTANCE}",worker="{WORKER}"}} 1.0'
    page.await_("/metrics", lambda reply: figure in reply.text)


def test_the_log_is_shown_without_what_is_written_though_nothing_happens(page: Page) -> None:
    page.append(
        records.TaskDestroyed(vm=VmId("told"), task=TaskId(1)),
        Pinged(by="somebody-else", number=1),
    )
    cookie = page.enter()
    page.await_(f"/api/v1/instances/{INSTANCE}/log", lambda reply: "somebody-else" in reply.text)
    told, all_of_it, only = (
        page.screen(cookie, f"log?{query}").text for query in ("", "kind=all", "kind=Pinged")
    )
    assert ("TaskDestroyed</td>" in told, "Pinged</td>" in told) == (True, False)
    assert ("TaskDestroyed</td>" in all_of_it, "Pinged</td>" in all_of_it) == (True, True)
    assert ("TaskDestroyed</td>" in only, "Pinged</td>" in only) == (False, True)


def test_an_entry_is_summed_up_without_machinery_and_shown_as_a_whole_on_demand(page: Page) -> None:
    operation = VmStart(vm=VmId("summed"))
    page.append(
        records.Submitted(vm=VmId("summed"), operation=operation, request_id="r7", dbg="her", accept_by=0.0)
    )
    told = page.screen(page.enter(), "log?vm=summed").text
    assert "<b>dbg</b> her" in told
    assert "<b>request_id</b>" not in told
    assert '"request_id": "r7"' in html.unescape(told)


def test_versions_of_redirector_and_event_hub_are_shown(page: Page) -> None:
    page.append(records.Elected(redirector="r", version="4.5.6"))
    shown = page.await_(f"/api/v1/instances/{INSTANCE}", lambda reply: HUB_VERSION in reply.text)
    assert {one["service"]: one["version"] for one in shown.json["health"]}["redirector"] == "4.5.6"
    assert HUB_VERSION in page.screen(page.enter(), "workers").text


def test_filters_and_pages_of_many_rows(page: Page) -> None:
    cookie = page.enter()
    for query in (
        "vm=vm1",
        "state=failed",
        "state=nonsense",
        "error=%3Cscript%3E",
        "page=7",
        "operation=VM_start",
    ):
        assert page.screen(cookie, f"tasks?{query}").status == HTTPStatus.OK
    assert page.screen(cookie, "log?before=3&kind=WorkerUp").status == HTTPStatus.OK
    assert page.screen(cookie, "log?before=nonsense").status == HTTPStatus.OK
    wrong = page.screen(cookie, "queues?page=0")
    assert (wrong.status, "text/html" in wrong.headers["content-type"]) == (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        True,
    )


def test_what_is_not_there_is_answered_with_a_page(page: Page) -> None:
    cookie = page.enter()
    for path in ("tasks/99999", "nothing", "vms/.."):
        reply = page.screen(cookie, path)
        assert (reply.status, "text/html" in reply.headers["content-type"]) == (HTTPStatus.NOT_FOUND, True)


def test_where_services_are_silent_the_screens_say_so(page: Page) -> None:
    def no(_: object) -> object:
        raise internal_error("no such luck")

    page.answers |= {"EVENTS.stat": no, "QUARANTINE.list": no}
    cookie = page.enter()
    for name in ("events", "quarantine"):
        assert "no such luck" in page.screen(cookie, name).text


def test_while_the_broker_is_away_it_is_named_at_once_and_nobody_else_is_blamed(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    cookie = page.enter()
    seen = BrokerSeen("RabbitMQ", "host:5672", trouble="connection refused")
    monkeypatch.setattr(page.own, "broker", lambda: seen)
    monkeypatch.delitem(page.answers, "LANE.list")
    text = page.screen(cookie, "queues").text
    assert "may be old: there is no connection to the broker (connection refused)." in text
    assert "redirector does not answer" not in text
    reply = page.act("/lanes/vm1/hold")
    assert (reply.status, "no connection to the broker" in reply.json["detail"]) == (
        HTTPStatus.CONFLICT,
        True,
    )


def test_messages_have_the_buttons_that_may_be_pressed(page: Page) -> None:
    told = Quarantine(total=3, records=(message(4), message(5, reads=False), message(6, done="retried")))
    page.answers["QUARANTINE.list"] = lambda _: told
    cookie = page.enter()
    text = page.screen(cookie, "quarantine").text
    values = [one["value"] for tag, one in _Markup(text).elements if one.get("name") in ("verb", "subject")]
    assert values == [
        *("retry-message", f"{INSTANCE}@4", "discard-message", f"{INSTANCE}@4"),
        *("discard-message", f"{INSTANCE}@5"),
    ]
    page.asked.clear()
    fields = {"verb": "discard-message", "subject": f"{INSTANCE}@5", "back": "quarantine"}
    reply = page.form(f"/i/{INSTANCE}/do", cookie, **fields, form_key=key_of(text))
    assert reply.status == HTTPStatus.SEE_OTHER
    assert "QUARANTINE.discard" in [method for method, _ in page.asked]
    assert 'name="verb"' not in page.screen(page.enter(READER), "quarantine").text


def test_a_token_that_is_taken_back_ends_its_sessions_at_once(page: Page) -> None:
    cookie = page.enter(OPERATOR)
    text = page.tokens.read_text()
    page.tokens.write_text("\n".join(line for line in text.splitlines() if "alice" not in line) + "\n")
    assert page.screen(cookie, "overview").status == HTTPStatus.SEE_OTHER
    page.tokens.write_text(text)


def test_while_the_tokens_cannot_be_read_nobody_is_let_in_and_why_is_said(page: Page) -> None:
    cookie = page.enter()
    page.tokens.chmod(0o644)
    assert page.screen(cookie, "overview").status == HTTPStatus.SERVICE_UNAVAILABLE
    assert "chmod 600" in page.get("").json["detail"]
    page.tokens.chmod(0o600)
    assert page.screen(cookie, "overview").status == HTTPStatus.OK


def test_a_session_that_nobody_uses_is_over(page: Page) -> None:
    cookie = page.enter()
    page.clock.ahead_s += IDLE_S + 1
    assert page.screen(cookie, "overview").status == HTTPStatus.SEE_OTHER


def test_a_page_that_does_not_hear_its_own_words_says_so_and_does_nothing(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page.own, "append", lambda *_: page.bus.append(INSTANCE))
    page.clock.ahead_s += 3_600.0
    ready = page.ask("GET", "/readyz", token=None)
    assert (ready.status, ready.json["status"]) == (HTTPStatus.SERVICE_UNAVAILABLE, "not ready")
    assert "came by" in ready.json["why"][INSTANCE]
    assert "may be old" in page.screen(page.enter(), "overview").text
    reply = page.act("/lanes/vm1/hold")
    assert (reply.status, "nothing is done" in reply.json["detail"]) == (HTTPStatus.CONFLICT, True)
