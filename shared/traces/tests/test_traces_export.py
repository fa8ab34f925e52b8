import contextlib
import gzip
import http.server
import json
import logging
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status
from schema.records import ObserverChanged, ObserverCreated, TracingSet
from traces import Kind, Observers, Start, Tracer, current_span
from typing_extensions import override

PATIENCE_S = 120.0


class Receiver:
    """A collector: keeps the posts to it, by their path; answers `status`."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, bytes]] = []
        self.status = 200
        self._more = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                encoded = self.headers["Content-Encoding"] == "gzip"
                status = receiver.take(self.path, gzip.decompress(body) if encoded else body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            @override
            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, body: bytes) -> int:
        with self._more:
            self.posts.append((path, body))
            self._more.notify_all()
            return self.status

    def wait(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.posts) >= count, PATIENCE_S), self.posts

    def zipkin(self) -> list[dict[str, Any]]:
        return [span for _, body in self.posts for span in json.loads(body)]

    def otlp(self) -> list[ResourceSpans]:
        return [
            spans
            for _, body in self.posts
            for spans in ExportTraceServiceRequest.FromString(body).resource_spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(name="receiver")
def receive() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def observing(*endpoints: str, **settings: str | float) -> Observers:
    """One observer that wants all spans at those endpoints."""
    observers = Observers()
    for setting, value in settings.items():
        observers.apply(TracingSet(request_id="r", setting=setting, value=value))
    observers.apply(
        ObserverCreated(
            request_id="r", uuid="u", name="n", attributes=(("a", "b"),), endpoints=endpoints, enabled=True
        )
    )
    return observers


def written(directory: Path) -> list[dict[str, Any]]:
    """All spans in the files of a directory."""
    lines = [line for path in sorted(directory.glob("*.ndjson")) for line in path.read_bytes().splitlines()]
    for path in sorted(directory.glob("*.ndjson.zst")):
        with zstandard.open(path, "rb") as file:
            lines += file.read().splitlines()
    return [span for line in lines for span in json.loads(line)]


def traced(observers: Observers, *starts: Start) -> Tracer:
    """A tracer that has made these spans and has got them out."""
    tracer = Tracer("xenopsd-test", "i")
    tracer.follow(observers)
    for start in starts:
        tracer.end(tracer.begin(start))
    tracer.close(PATIENCE_S)
    return tracer


PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
OTHER = f"00-{'c' * 32}-{'d' * 16}-01"


def test_without_observers_there_are_no_spans_and_no_library_is_loaded() -> None:
    program = (
        "import sys; from traces import Observers, Start, Tracer; tracer = Tracer('s', 'i');"
        "tracer.follow(Observers()); assert tracer.begin(Start('x')) is None; tracer.close();"
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'requests', 'google'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_spans_go_into_a_file_as_the_original_writes_them(tmp_path: Path) -> None:
    observers = observing("bugtool", trace_log_dir=str(tmp_path / "json"), host_id="h/1")
    start = Start("VM_start", Kind.SERVER, PARENT, at=1.5, attributes={"x": "y"}, baggage=(("k", "v"),))
    traced(observers, start, Start("root"))
    [file] = (tmp_path / "json").iterdir()
    assert file.name.startswith("xenopsd-test-h_1-2")
    assert file.name.endswith("-00:00.ndjson")
    assert file.stat().st_mode & 0o777 == 0o700
    assert len(file.read_bytes().splitlines()) == 1
    child, root = written(tmp_path / "json")
    assert (child["traceId"], child["parentId"], child["kind"]) == ("a" * 32, "b" * 16, "SERVER")
    assert (child["name"], child["timestamp"]) == ("VM_start", 1_500_000)
    assert child["localEndpoint"] == {"serviceName": "xenopsd-test"}
    assert child["tags"] == {"a": "b", "x": "y", "k": "v", "xenops.instance": "i"}
    assert {"parentId", "kind"} & root.keys() == set()
    assert root["traceId"] != child["traceId"]


def test_a_file_that_is_full_is_compressed_and_followed_by_another(tmp_path: Path) -> None:
    observers = observing("bugtool", trace_log_dir=str(tmp_path), max_file_size=1, export_chunk_size=1)
    traced(observers, Start("one"), Start("two"))
    assert len(list(tmp_path.glob("*.ndjson.zst"))) == 2
    assert list(tmp_path.glob("*.ndjson")) == []
    assert [span["name"] for span in written(tmp_path)] == ["one", "two"]


def test_a_full_file_stays_as_it_is_where_that_is_wished(tmp_path: Path) -> None:
    observers = observing(
        "bugtool",
        trace_log_dir=str(tmp_path),
        max_file_size=1,
        export_chunk_size=1,
        compress_tracing_files=False,
    )
    traced(observers, Start("one"), Start("two"))
    assert len(list(tmp_path.glob("*.ndjson"))) == 2


def test_spans_are_posted_to_zipkin(receiver: Receiver) -> None:
    traced(observing(f"{receiver.url}/api/v2/spans?x=1"), Start("one", links=(OTHER,)))
    assert [path for path, _ in receiver.posts] == ["/api/v2/spans?x=1"]
    [span] = receiver.zipkin()
    assert span["name"] == "one"
    assert span["tags"]["links"] == OTHER


def test_spans_are_posted_to_a_collector_of_opentelemetry(receiver: Receiver) -> None:
    tracer = Tracer("xenopsd-test", "i")
    tracer.follow(observing(f"{receiver.url}/v1/traces", host_id="h"))
    failing = tracer.begin(Start("one", Kind.CONSUMER, PARENT, links=(OTHER,)))
    tracer.end(failing, ValueError("no"))
    tracer.end(tracer.begin(Start("two")))
    tracer.close(PATIENCE_S)
    [(path, _)] = receiver.posts
    assert path == "/v1/traces"
    [resource] = receiver.otlp()
    told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert (told["service.name"], told["host.id"]) == ("xenopsd-test", "h")
    one, two = resource.scope_spans[0].spans
    assert (one.trace_id.hex(), one.parent_span_id.hex()) == ("a" * 32, "b" * 16)
    assert (one.kind, one.status.code) == (Span.SPAN_KIND_CONSUMER, Status.STATUS_CODE_ERROR)
    assert one.links[0].trace_id.hex() == "c" * 32
    attributes = {pair.key: pair.value.string_value for pair in one.attributes}
    assert (attributes["exception.type"], attributes["exception.message"]) == ("ValueError", "no")
    assert attributes["a"] == "b"
    assert (two.status.code, two.parent_span_id) == (Status.STATUS_CODE_OK, b"")
    assert two.end_time_unix_nano >= two.start_time_unix_nano


def test_every_observer_gets_every_span_with_its_own_attributes(tmp_path: Path, receiver: Receiver) -> None:
    observers = observing("bugtool", trace_log_dir=str(tmp_path))
    observers.apply(
        ObserverCreated(
            request_id="r",
            uuid="other",
            name="m",
            attributes=(("a", "c"),),
            endpoints=(receiver.url,),
            enabled=True,
        )
    )
    traced(observers, Start("one"))
    assert [span["tags"]["a"] for span in written(tmp_path) + receiver.zipkin()] == ["b", "c"]


def test_what_names_no_span_is_no_parent_and_no_link(tmp_path: Path) -> None:
    observers = observing("bugtool", trace_log_dir=str(tmp_path))
    traced(observers, Start("one", parent="nonsense", links=("nonsense", OTHER)))
    [span] = written(tmp_path)
    assert "parentId" not in span
    assert span["tags"]["links"] == OTHER


def test_spans_get_out_at_the_interval(receiver: Receiver) -> None:
    tracer = Tracer("s", "i")
    tracer.follow(observing(receiver.url, export_interval=0.1))
    tracer.end(tracer.begin(Start("one")))
    receiver.wait(1)
    tracer.close(PATIENCE_S)


def test_what_a_new_setting_makes_due_gets_out_at_once(receiver: Receiver) -> None:
    tracer = Tracer("s", "i")
    tracer.follow(observing(receiver.url, export_interval=3600.0))
    tracer.end(tracer.begin(Start("one")))
    tracer.follow(observing(receiver.url, export_interval=1800.0))
    receiver.wait(1)
    tracer.close(PATIENCE_S)


def test_a_full_queue_does_not_wait_for_the_interval(receiver: Receiver) -> None:
    tracer = Tracer("s", "i")
    tracer.follow(observing(receiver.url, export_interval=3600.0, max_spans=4))
    for _ in range(3):
        tracer.end(tracer.begin(Start("one")))
    receiver.wait(1)
    tracer.close(PATIENCE_S)


def test_a_collector_that_is_down_costs_what_comes_too_much_and_is_spoken_of_once(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    tracer = Tracer("s", "i")
    tracer.follow(observing(receiver.url, export_interval=3600.0, max_spans=10))
    for _ in range(13):
        tracer.end(tracer.begin(Start("one")))
    receiver.wait(1)
    tracer.flush()
    receiver.wait(2)
    receiver.status = 200
    tracer.close(PATIENCE_S)
    assert len(receiver.zipkin()[-10:]) == 10
    assert caplog.text.count("spans are kept back") == 1
    assert f"{receiver.url} answers 500" in caplog.text
    assert sum(map(int, re.findall(r"(\d+) spans for", caplog.text))) == 3


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "http://[", "ftp://host/", "http://host:0/"])
def test_an_endpoint_that_is_none_is_spoken_of(endpoint: str, caplog: pytest.LogCaptureFixture) -> None:
    traced(observing(endpoint), Start("one"))
    assert "is neither 'bugtool' nor an http or https URL" in caplog.text


@pytest.mark.parametrize("path", ["/api/v2/spans", "/v1/traces"])
def test_a_collector_that_nobody_runs_is_spoken_of(
    path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traces.send.SEND_TIMEOUT_S", 0.5)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, so nobody else is; it does not listen
        traced(observing(f"http://127.0.0.1:{nobody.getsockname()[1]}{path}"), Start("one"))
    assert "does a collector listen there?" in caplog.text


def test_a_directory_that_none_can_be_is_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    traced(observing("bugtool", trace_log_dir=str(tmp_path / "file")), Start("one"))
    assert f"{tmp_path}/file" in caplog.text
    traced(observing("bugtool", trace_log_dir="a\0b"), Start("one"))
    assert "null byte" in caplog.text


def test_a_disabled_observer_gets_what_had_ended_and_nothing_more(tmp_path: Path) -> None:
    tracer = Tracer("s", "i")
    observers = observing("bugtool", trace_log_dir=str(tmp_path))
    tracer.follow(observers)
    tracer.end(tracer.begin(Start("one")))
    late = tracer.begin(Start("late"))
    outlets = [outlet for _, outlet in tracer._outlets.values()]
    observers.apply(ObserverChanged(request_id="r", uuid="u", enabled=False))
    tracer.follow(observers)
    assert tracer.begin(Start("two")) is None
    tracer.end(late)
    for outlet in outlets:
        outlet.join(PATIENCE_S)
    assert [span["name"] for span in written(tmp_path)] == ["one"]


def test_so_many_traces_and_spans_are_under_way_and_no_deeper_than_allowed(tmp_path: Path) -> None:
    tracer = Tracer("s", "i")
    tracer.follow(observing("bugtool", trace_log_dir=str(tmp_path), max_traces=1, max_spans=2, max_depth=2))
    first = tracer.begin(Start("first"))
    assert first is not None
    assert tracer.begin(Start("another trace")) is None
    second = tracer.begin(first.child("second"))
    assert second is not None
    assert tracer.begin(first.child("third")) is None
    tracer.end(second)
    assert tracer.begin(second.child("too deep")) is None
    tracer.end(tracer.begin(first.child("third again")))
    tracer.end(first)
    tracer.end(tracer.begin(Start("another trace")))
    tracer.close(PATIENCE_S)


def fail_within(tracer: Tracer) -> None:
    with contextlib.suppress(KeyError), tracer.within(Start("outer")) as outer:
        assert current_span() is outer
        with tracer.step("inner"):
            raise KeyError("x")


def test_what_is_raised_within_a_span_is_its_error_and_goes_on(tmp_path: Path) -> None:
    tracer = Tracer("s", "i")
    tracer.follow(observing("bugtool", trace_log_dir=str(tmp_path)))
    fail_within(tracer)
    assert current_span() is None
    with tracer.step("no span around it") as nothing:
        assert nothing is None
    with tracer.within(Start("told")) as told:
        assert told is not None
        told.error = "refused"
    tracer.close(PATIENCE_S)
    inner, shown, refused = written(tmp_path)
    assert (inner["name"], inner["parentId"]) == ("inner", shown["id"])
    assert inner["tags"]["exception.type"] == shown["tags"]["exception.type"] == "KeyError"
    assert [span["tags"]["error"] for span in (inner, shown, refused)] == ["true"] * 3


def test_the_log_names_the_trace_that_it_speaks_of(tmp_path: Path) -> None:
    log = logging.getLogger()
    handler = logging.FileHandler(tmp_path / "log")
    log.addHandler(handler)
    tracer = Tracer("s", "i")
    try:
        tracer.follow(observing("bugtool", trace_log_dir=str(tmp_path / "json")))
        with tracer.within(Start("one")) as span:
            log.warning("100 %% of %s", "it")
        log.warning("outside")
    finally:
        log.removeHandler(handler)
        handler.close()
        tracer.close(PATIENCE_S)
    assert span is not None
    inside, outside = (tmp_path / "log").read_text().splitlines()
    assert inside == f"100 % of it [trace {span.trace_id} span {span.span_id}]"
    assert outside == "outside"
