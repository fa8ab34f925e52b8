"""What is done with messages in quarantine over the API, and what is refused."""

import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from page_in_hand import INSTANCE, Page, message
from schema.fault import internal_error
from schema.objects.quarantine import Quarantine
from schema.overseen import Acted


@pytest.fixture(name="page", scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with Page(tmp_path_factory.mktemp("page")) as page:
        yield page


def no(_: object) -> object:
    raise internal_error("no such luck")


def test_a_message_in_quarantine_is_retried_and_discarded_with_who_asked(page: Page) -> None:
    told = Quarantine(total=2, records=(message(4), message(5, reads=False)))
    page.answers["QUARANTINE.list"] = lambda _: told
    first, second = page.get("/quarantine").json["records"]
    assert (first["no_retry"], "does not count" in second["no_retry"]) == ("", True)
    before = len(page.written("Acted"))
    for verb in ("retry", "discard"):
        page.asked.clear()
        reply = page.act(f"/quarantine/{INSTANCE}/4/{verb}")
        assert reply.status == HTTPStatus.OK, reply
        asked = (f"QUARANTINE.{verb}", {"debug_info": "dashboard:alice", "log": INSTANCE, "offset": 4})
        assert asked in page.asked
    acted = [one for one in page.written("Acted")[before:] if isinstance(one, Acted)]
    assert [(one.who, one.action, one.subject) for one in acted] == [
        ("alice", "retry-message", f"{INSTANCE}@4"),
        ("alice", "discard-message", f"{INSTANCE}@4"),
    ]


def test_a_message_is_not_retried_by_a_reader_nor_while_that_is_unsafe(page: Page) -> None:
    page.answers["QUARANTINE.list"] = lambda _: Quarantine(total=1, records=(message(5, reads=False),))
    before = len(page.written("Acted"))
    path = f"/quarantine/{INSTANCE}/5/retry"
    refused = page.act(path)
    assert (refused.status, "does not count" in refused.json["detail"]) == (HTTPStatus.CONFLICT, True)
    assert page.ask("POST", f"/api/v1/instances/{INSTANCE}{path}").status == HTTPStatus.FORBIDDEN
    assert page.act(f"/quarantine/{INSTANCE}/6/discard").status == HTTPStatus.NOT_FOUND
    page.answers["QUARANTINE.list"] = no
    assert page.act(path).status == HTTPStatus.CONFLICT
    assert len(page.written("Acted")) == before


def test_style_and_script_are_kept_by_browsers_under_the_name_of_their_content_alone(page: Page) -> None:
    text = page.ask("GET", "/login").text
    found = re.search(r'href="(/static/page\.css\?[0-9a-f]{8})"', text)
    assert found
    kept = page.ask("GET", found.group(1), token=None)
    assert (kept.status, "immutable" in kept.headers["cache-control"]) == (HTTPStatus.OK, True)
    for path in ("/static/page.css", "/static/none.css?12345678", "/login?12345678"):
        assert page.ask("GET", path).headers["cache-control"] == "no-store"
