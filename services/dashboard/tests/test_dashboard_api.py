"""What programs are answered, and what they are refused."""

import socket
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from dashboard.fold.feed import Feed, seen_by
from dashboard.web.describe import document
from dashboard.web.guard import BODY_BYTES_MAX
from page_in_hand import INSTANCE, OPERATOR, WORKER, Page
from schema import records
from schema.fault import internal_error
from schema.ids import VmId
from schema.objects.events import Events, Readers, StandingBarrier
from schema.objects.lane import Lane, Lanes, LaneTasks, WaitingTask
from schema.objects.quarantine import Quarantine, QuarantinedRecord
from schema.overseen import Acted, Atom

VM = VmId("vm1")
DOCUMENT = Path(__file__).parents[3] / "docs/operators/openapi.json"


@pytest.fixture(name="page")
def answer_as_usual(served: Page) -> Iterator[Page]:
    answers = dict(served.answers)
    yield served
    served.answers = answers


@pytest.fixture(name="served", scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("page")) as page:
        page.append(records.WorkerUp(worker=WORKER, epoch="e", capacity=2))
        yield page


@pytest.mark.parametrize("token", [None, "nobody's", "", "x" * 2_000])
def test_who_shows_no_token_sees_nothing(page: Page, token: str | None) -> None:
    for path in ("", "/tasks", "/lanes", "/events", "/log", "/diagnostics"):
        reply = page.get(path, token=token)
        assert reply.status == HTTPStatus.UNAUTHORIZED
        assert "token" in reply.json["detail"]
    assert page.ask("GET", "/metrics", token=token).status == HTTPStatus.UNAUTHORIZED
    assert page.act("/lanes/vm1/hold", token=token).status == HTTPStatus.UNAUTHORIZED


def test_a_reader_may_not_act(page: Page) -> None:
    before = len(page.written("Acted"))
    reply = page.ask("POST", f"/api/v1/instances/{INSTANCE}/lanes/vm1/hold")
    assert (reply.status, "bob is a reader" in reply.json["detail"]) == (HTTPStatus.FORBIDDEN, True)
    assert len(page.written("Acted")) == before


def test_a_browser_s_session_is_not_enough_to_act_over_the_api(page: Page) -> None:
    cookie = page.enter()
    assert page.get("", token=None, headers={"cookie": cookie}).status == HTTPStatus.OK
    path = f"/api/v1/instances/{INSTANCE}/lanes/vm1/hold"
    reply = page.ask("POST", path, token=None, headers={"cookie": cookie})
    assert reply.status == HTTPStatus.UNAUTHORIZED


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "", "localhost@evil"])
def test_under_another_name_nothing_is_served(page: Page, host: str) -> None:
    reply = page.get("", headers={"host": host})
    assert reply.status in (HTTPStatus.MISDIRECTED_REQUEST, HTTPStatus.BAD_REQUEST)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_what_another_site_s_page_sends_is_refused(page: Page, headers: dict[str, str]) -> None:
    path = f"/api/v1/instances/{INSTANCE}/lanes/vm1/hold"
    reply = page.ask("POST", path, token=OPERATOR, headers=headers)
    assert (reply.status, "another site" in reply.json["detail"]) == (HTTPStatus.FORBIDDEN, True)


def test_a_body_that_is_too_long_is_refused_whether_it_says_so_or_not(page: Page) -> None:
    task = page.submit()
    long = b"[" + b" " * BODY_BYTES_MAX + b"]"
    path = f"/api/v1/instances/{INSTANCE}/tasks/{task}/priority"
    said = page.ask("POST", path, token=OPERATOR, body=long)
    assert said.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    connection = page.connect()
    headers = {"authorization": f"Bearer {OPERATOR}", "content-type": "application/json"}
    connection.request("POST", path, iter([long[: BODY_BYTES_MAX // 2]] * 3), headers, encode_chunked=True)
    assert connection.getresponse().status >= HTTPStatus.BAD_REQUEST
    connection.close()
    assert page.get("").status == HTTPStatus.OK


def test_a_head_that_is_too_long_or_no_http_costs_nobody_else_anything(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    place = urlsplit(page.service.url)
    for rubbish in (
        b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000,
        b"\x16\x03\x01\x02",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection((place.hostname, place.port)) as client:
            client.sendall(rubbish)
            assert b" 4" in client.recv(1_000).partition(b"\r\n")[0]
    assert page.get("").status == HTTPStatus.OK
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_what_is_not_there_is_said_not_to_be(page: Page) -> None:
    assert page.ask("GET", "/api/v1/instances/never").status == HTTPStatus.NOT_FOUND
    assert page.get("/tasks/999999").status == HTTPStatus.NOT_FOUND
    assert page.act("/tasks/999999/cancel").status == HTTPStatus.NOT_FOUND
    assert page.act("/workers/never/drain").status == HTTPStatus.NOT_FOUND
    assert page.act("/lanes/..%2Fetc/hold").status == HTTPStatus.NOT_FOUND
    assert page.act("/lanes/%3Cb%3E/hold").status == page.get("/lanes/..").status == HTTPStatus.NOT_FOUND
    assert page.get("/lanes/unknown-vm").json["tasks"] == []
    assert page.get("/tasks?limit=0").status == HTTPStatus.UNPROCESSABLE_ENTITY


def test_every_answer_forbids_scripts_of_others_and_is_not_kept(page: Page) -> None:
    for reply in (
        page.get(""),
        page.get("", token=None),
        page.ask("GET", "/login"),
        page.ask("GET", "/nothing"),
    ):
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-store"


def test_tasks_are_found_by_what_is_known_of_them(page: Page) -> None:
    done, waits = page.submit("found"), page.submit("found")
    page.run(done, "found")
    page.append(
        records.Finished(
            vm=VmId("found"),
            task=done,
            outcome=records.Failed(error=internal_error("The DISK is full").error),
            duration_s=1.0,
            atoms=(Atom("VM_build", 0.5, 0.5, failed=True), Atom("VM_create", 0.0, 0.5)),
        )
    )

    def found(query: str) -> list[int]:
        return [task["id"] for task in page.get(f"/tasks?vm=found{query}").json["tasks"]]

    assert found("") == [waits, done]
    assert (
        found("&state=failed")
        == found("&error=disk")
        == found("&error=Internal_error")
        == found(f"&worker={WORKER}")
        == [done]
    )
    assert found("&operation=VM_poweroff") == found("&error=network") == []
    assert (found("&limit=1"), found("&skip=1")) == ([waits], [done])
    detail = page.get(f"/tasks/{done}").json
    assert (detail["error"], [atom["kind"] for atom in detail["atoms"]]) == (
        "The DISK is full",
        ["VM_create", "VM_build"],
    )


def test_lanes_show_who_runs_what_waits_and_what_is_in_the_way(page: Page) -> None:
    first, second = page.submit("busy"), page.submit("busy")
    token = page.run(first, "busy")
    page.append(records.Progress(vm=VmId("busy"), task=first, token=token, fraction=0.25, atom="VM_build"))
    told = Lane(vm="busy", held=False, blocked="task 1 runs", waiting=1)
    page.answers["LANE.list"] = lambda _: Lanes(total=1, waiting=1, lanes=(told,))
    page.answers["LANE.stat"] = lambda _: LaneTasks(
        lane=told, tasks=(WaitingTask(task=str(second), operation="VM_start", since=0.0, priority=0),)
    )
    [lane] = page.await_lanes("busy")
    assert (lane["blocked"], lane["waiting"], lane["running"]["progress"]) == ("task 1 runs", 1, 0.25)
    assert (lane["running"]["atom"], lane["running"]["token"]) == ("VM_build", token)
    detail = page.get("/lanes/busy").json
    assert [task["id"] for task in detail["tasks"]] == [second]


def test_where_nobody_leads_what_the_log_tells_is_shown_all_the_same(page: Page) -> None:
    for method in ("LANE.list", "LANE.stat", "WORKER.list"):
        page.answers[method] = no
    page.submit("alone")
    assert page.get("/lanes/alone").json["waiting"] == 1
    assert [one["state"] for one in page.await_workers("unknown")] == ["unknown"]


def no(_: object) -> object:
    raise internal_error("no redirector leads at the moment")


def test_what_only_a_service_knows_and_it_does_not_say_is_an_error_in_words(page: Page) -> None:
    page.answers["QUARANTINE.list"] = no
    reply = page.get("/quarantine")
    assert (reply.status, "no redirector" in reply.json["detail"]) == (HTTPStatus.CONFLICT, True)


def test_updates_quarantine_diagnostics_and_history_are_told(page: Page) -> None:
    page.append(records.Barrier(vm=VM, barrier=7))
    page.answers["EVENTS.stat"] = lambda _: Events(
        token=9,
        seen=2,
        objects=3,
        readers=(Readers(token=9, count=4, behind=1),),
        barriers=(StandingBarrier(id=7, token=8, objects=1), StandingBarrier(id=8, token=8, objects=1)),
    )
    shown = QuarantinedRecord(
        log=INSTANCE,
        offset=3,
        reason="forged",
        routing_key="k",
        user="u",
        producer="p",
        seq=1,
        at=0.0,
        size=9,
        shown="x",
    )
    page.answers["QUARANTINE.list"] = lambda _: Quarantine(total=1, records=(shown,))
    updates = page.get("/updates").json
    assert (updates["token"], updates["readers"][0]["count"], updates["barriers"][0]["vm"]) == (9, 4, VM)
    assert updates["barriers"][1]["offset"] == -1
    assert updates["behind"] > 0
    assert page.get("/quarantine").json["records"][0]["reason"] == "forged"
    assert page.get("/diagnostics").json == {"tasks": []}
    assert len(page.get("/history").json) >= 1
    assert page.ask("GET", "/api/v1/instances").json[0]["instance"] == INSTANCE


def test_each_action_is_written_down_with_who_asked_before_it_is_asked_for(page: Page) -> None:
    task = page.submit("act")
    page.asked.clear()
    actions: list[tuple[str, object, str, dict[str, object]]] = [
        (f"/tasks/{task}/priority", {"priority": 5}, "LANE.prioritise", {"task": str(task), "priority": 5}),
        (
            f"/tasks/{task}/deadline",
            {"within_s": 60.0},
            "LANE.set_deadline",
            {"task": str(task), "within": 60.0},
        ),
        (
            f"/tasks/{task}/deadline",
            {"within_s": None},
            "LANE.set_deadline",
            {"task": str(task), "within": None},
        ),
        (f"/tasks/{task}/discard", None, "Task.cancel", {"id": str(task)}),
        (f"/tasks/{task}/cancel", None, "Task.cancel", {"id": str(task)}),
        ("/lanes/act/hold", None, "LANE.hold", {"id": "act"}),
        ("/lanes/act/release", None, "LANE.release", {"id": "act"}),
        (f"/workers/{WORKER}/drain", {"force": True}, "WORKER.drain", {"worker": WORKER}),
        (f"/workers/{WORKER}/undrain", None, "WORKER.undrain", {"worker": WORKER}),
    ]
    for path, body, method, params in actions:
        before = len(page.written("Acted"))
        reply = page.act(path, body)
        assert reply.status == HTTPStatus.OK, reply
        assert (method, {"debug_info": "dashboard:alice", **params}) in page.asked
        acted = page.written("Acted")[before:]
        assert [(one.who, one.subject) for one in acted if isinstance(one, Acted)] == [
            ("alice", params.get("task") or params.get("id") or params.get("worker"))
        ]
    assert [one["who"] for one in page.get("/actions").json][:2] == ["alice", "alice"]


def test_an_action_that_is_unsafe_is_refused_and_nothing_is_asked(page: Page) -> None:
    task = page.submit("unsafe")
    page.run(task, "unsafe")
    page.asked.clear()
    before = len(page.written("Acted"))
    reply = page.act(f"/tasks/{task}/discard")
    assert (reply.status, "runs it" in reply.json["detail"]) == (HTTPStatus.CONFLICT, True)
    reply = page.act(f"/workers/{WORKER}/drain")
    assert (reply.status, "by force" in reply.json["detail"]) == (HTTPStatus.CONFLICT, True)
    assert len(page.written("Acted")) == before
    assert {"Task.cancel", "WORKER.drain"}.isdisjoint(method for method, _ in page.asked)


@pytest.mark.parametrize(
    "body", [{"priority": "5"}, {"priority": 5000}, {}, {"priority": 1, "more": 2}, b"{", b"\xff"]
)
def test_a_wish_that_makes_no_sense_is_refused(page: Page, body: object) -> None:
    task = page.submit("senseless")
    path = f"/api/v1/instances/{INSTANCE}/tasks/{task}/priority"
    headers = {"content-type": "application/json"}
    reply = page.ask("POST", path, token=OPERATOR, body=body, headers=headers)
    assert reply.status in (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.BAD_REQUEST)
    assert reply.json["detail"]


def test_the_log_is_shown_from_its_end_on(page: Page) -> None:
    page.append(records.LaneHeld(vm=VmId("logged")))
    last = page.append(records.LaneReleased(vm=VmId("logged")))
    entries = page.get("/log?vm=logged").json["entries"]
    assert [entry["kind"] for entry in entries] == ["LaneReleased", "LaneHeld"]
    assert [entry["kind"] for entry in page.get(f"/log?vm=logged&before={last}").json["entries"]] == [
        "LaneHeld"
    ]
    assert page.get("/log?vm=logged&kind=LaneHeld&limit=1").json["entries"][0]["record"]["vm"] == "logged"


def test_a_reader_of_events_goes_on_where_it_was(page: Page) -> None:
    vm = VmId("followed")
    events = page.events("/events?vm=followed", {"last-event-id": str(page.append(records.LaneHeld(vm=VM)))})
    page.append(records.LaneHeld(vm=vm))
    name, first, data = next(events)
    assert (name, data["kind"]) == ("entry", "LaneHeld")
    events.close()
    page.append(records.LaneReleased(vm=vm))
    page.append(records.LaneHeld(vm=vm))
    events = page.events("/events?vm=followed", {"last-event-id": first})
    found = [next(events), next(events)]
    assert [data["kind"] for _, _, data in found] == ["LaneReleased", "LaneHeld"]
    assert seen_by(found[0][1]).offset > seen_by(first).offset
    events.close()


def test_a_reader_that_was_away_for_too_long_is_told_of_the_gap(page: Page) -> None:
    watch = page.service._watches[INSTANCE]
    page.append(records.LaneHeld(vm=VM))
    kept, watch.feed = watch.feed, Feed(2)
    for _ in range(2):
        page.append(records.LaneHeld(vm=VM))
        page.append(records.LaneReleased(vm=VM))
    events = page.events("/events?after=0")
    name, _, data = next(events)
    assert (name, data["first"]) == ("gap", watch.feed.first)
    assert next(events)[0] == "entry"
    events.close()
    watch.feed = kept


def test_a_reader_that_has_seen_more_than_the_log_has_is_told_of_the_gap_and_all_that_is_kept(
    page: Page,
) -> None:
    offset = page.append(records.LaneHeld(vm=VmId("anew")))
    events = page.events("/events?vm=anew", {"last-event-id": str(offset + 1_000_000)})
    assert next(events)[0] == "gap"
    assert seen_by(next(events)[1]).offset == offset
    events.close()


def test_a_reader_of_a_log_that_was_lost_is_told_of_the_gap_though_the_new_one_has_come_as_far(
    page: Page,
) -> None:
    offset = page.append(records.LaneHeld(vm=VmId("twice")))
    events = page.events("/events?vm=twice", {"last-event-id": f"{offset}.1"})
    assert next(events)[0] == "gap"
    assert seen_by(next(events)[1]).offset == offset
    events.close()


def test_news_is_told_at_once_and_whenever_there_is_any(page: Page) -> None:
    events = page.events("/news")
    name, _, before = next(events)
    assert name == "news"
    page.append(records.LaneHeld(vm=VmId("news")))
    assert next(events)[2]["offset"] > before["offset"]
    events.close()


def test_the_description_is_the_one_that_is_kept() -> None:
    assert document() == DOCUMENT.read_text(), (
        "the API has changed: run make openapi, and look at the difference"
    )
