"""Traces as collectors get them: from services as processes on a real broker, over HTTP and from files."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bus.rabbit import RabbitBus
from engine.conformance.samples import sample_vbd, sample_vm
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from schema.debug_info import DebugInfo, write_debug_info
from typing_extensions import override
from xenops.client import Client
from xenops.events import wait_for_task

from conftest import INSTANCE, PATIENCE_S, Stack, until_served

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
"""The span of the client's own in which it calls."""

PARENT = f"00-{TRACE}-{CALLER}-01"
POLL_S = 0.05


class Collector:
    """A collector of OpenTelemetry and of Zipkin: spans by name, as service, id and parent."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, str, str]] = []
        take = self._take

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            @override
            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True)
        self._thread.start()

    def _take(self, path: str, body: bytes) -> None:
        if path == "/api/v2/spans":
            self.spans += zipkin_spans(body)
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                if span.trace_id.hex() == TRACE:
                    ids = span.span_id.hex(), span.parent_span_id.hex()
                    self.spans.append((span.name, told["service.name"], *ids))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def zipkin_spans(body: bytes) -> list[tuple[str, str, str, str]]:
    return [
        (span["name"], span["localEndpoint"]["serviceName"], span["id"], span.get("parentId", ""))
        for line in body.splitlines()
        for span in json.loads(line)
        if span["traceId"] == TRACE
    ]


@pytest.fixture(name="collector")
def collect() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(name="connect")
def connecting(stack: Stack) -> Iterator[Callable[[str], Client]]:
    bus = RabbitBus(stack.node.url, "tracing")
    bus.ready(PATIENCE_S)
    yield lambda dbg: Client(bus, INSTANCE, dbg=dbg)
    bus.close()


def observe(client: Client, *endpoints: str) -> None:
    """Have all spans sent to the endpoints, often; services follow within milliseconds."""
    client.observer.set_export_interval(0.1)
    client.observer.create("u", "n", (("a", "b"),), enabled=False)
    client.observer.set_endpoints("u", endpoints)
    client.observer.set_enabled("u", enabled=True)


def start_traced(
    connect: Callable[[str], Client], spans: Callable[[], list[tuple[str, str, str, str]]]
) -> None:
    """Start VMs until one's whole trace has come: a service may follow an observer a little later."""
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    client, traced = connect("d"), connect(write_debug_info(DebugInfo("mine", PARENT)))
    client.vm.add(sample_vm())
    client.vbd.add(sample_vbd())
    while not is_whole(spans()):
        assert time.monotonic() < deadline, spans()
        wait_for_task(client, traced.vm.start("v1"), PATIENCE_S)
        wait_for_task(client, client.vm.shutdown("v1", None), PATIENCE_S)
        pause.wait(POLL_S)
    client.vm.remove("v1")


def is_whole(spans: list[tuple[str, str, str, str]]) -> bool:
    """Whether a start is there as one tree: from the client's call on, by every service, to what is told."""
    for name, service, span, above in spans:
        if (name, service, above) == ("process VM.start", "xenopsd-frontend", CALLER):
            lane = child(spans, span, "lane", "xenopsd-redirector")
            start = child(spans, lane, "VM_start", "xenopsd-worker")
            tell = child(spans, start, "tell", "xenopsd-eventhub")
            if tell and child(spans, start, "VM_create", "xenopsd-worker"):
                return True
    return False


def child(spans: list[tuple[str, str, str, str]], parent: str, name: str, service: str) -> str:
    """The id of a span below another; none below none."""
    found = (span for a, b, span, above in spans if (a, b) == (name, service) and above == parent != "")
    return next(found, "")


@pytest.mark.parametrize("path", ["/v1/traces", "/api/v2/spans"])
def test_a_collector_gets_a_start_as_one_tree(
    connect: Callable[[str], Client], collector: Collector, path: str
) -> None:
    observe(connect("d"), f"{collector.url}{path}")
    start_traced(connect, lambda: collector.spans)
    connect("d").observer.destroy("u")


def test_the_hosts_bug_report_gets_it_and_a_collector_that_is_down_delays_nothing(
    connect: Callable[[str], Client], collector: Collector, tmp_path: Path
) -> None:
    collector.close()
    client = connect("d")
    client.observer.set_trace_log_dir(str(tmp_path))
    observe(client, "bugtool", f"{collector.url}/v1/traces", f"{collector.url}/api/v2/spans")
    start_traced(
        connect, lambda: [span for file in tmp_path.iterdir() for span in zipkin_spans(file.read_bytes())]
    )
    client.observer.destroy("u")


def test_an_observer_outlives_every_service(
    stack: Stack, connect: Callable[[str], Client], collector: Collector
) -> None:
    observe(connect("d"), f"{collector.url}/api/v2/spans")
    for service in list(stack.processes):
        stack.kill(service)
    until_served(connect("d"))
    start_traced(connect, lambda: collector.spans)
    connect("d").observer.destroy("u")
