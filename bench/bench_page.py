"""The operators' page: 1,000 VMs with lanes, 10,000 ended tasks; each screen over HTTP, and in Chromium.

    python bench/bench_page.py [STREAMS]

Everything but the dashboard is a bus in memory without services. A screen's figures are what it takes, and
what of it is processor time. Then STREAMS readers follow the log while records are appended: how late they
are told, what they cost; beside as many that read nothing. Then 10,000 want to follow at once: how many are
let in, what the others are told, and what all of them cost.
"""

import contextlib
import http.client
import resource
import secrets
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from bus.memory import MemoryBroker, MemoryBus
from bus.process import Settings as BusSettings
from dashboard.operators import Operator, OperatorRole, tokens_text
from dashboard.service import Service, build
from dashboard.settings import Settings
from playwright.sync_api import sync_playwright
from schema import records
from schema.ids import InstanceName, TaskId, Term, VmId, WorkerName
from schema.operations import VmStart
from schema.overseen import Atom
from schema.records import Record

INSTANCE = InstanceName("bench")
TOKEN = secrets.token_hex(32)
VMS, ENDED = 1_000, 10_000
REPEATS = 15
SCREENS = (
    "overview",
    "queues",
    "tasks",
    "tasks?state=done&page=50",
    "vms/vm-0001",
    "events",
    "workers",
    "log",
)
RECORDS = 200
CROWD = 10_000
PAINTED = """new Promise((done) => new PerformanceObserver((list) => {
  for (const entry of list.getEntriesByName('first-contentful-paint')) done(entry.startTime);
}).observe({type: 'paint', buffered: true}))"""


def main() -> None:
    """Print all figures."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    broker = MemoryBroker()
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.closing(MemoryBus(broker, "others")) as others,
    ):
        begin = time.perf_counter()
        count = fill(others)
        page = serve(broker, Path(directory))
        until(lambda: page._watches[INSTANCE].fold.offset >= count - 1)  # noqa: SLF001
        print(f"{count} records read in {time.perf_counter() - begin:.1f} s, made included")
        print(memory())
        for screen in SCREENS:
            print(f"{screen:28} {fetched(page, screen)}")
        paint(page)
        follow(page, others, streams)
        crowd(page)
        page.stop()


def memory() -> str:
    """The most that this process ever had."""
    return f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"


def fill(bus: MemoryBus) -> int:
    """A log in which 10,000 tasks have ended, and of each VM one runs and two wait; answers its length."""
    log: list[Record] = [records.WorkerUp(worker=WorkerName("w"), epoch="e", capacity=VMS)]
    log.append(records.Elected(redirector="r"))
    term, atoms = Term(1), tuple(Atom(f"VBD_plug_{n}", n * 0.01, 0.01) for n in range(20))
    for number in range(ENDED + VMS):
        vm = VmId(f"vm-{number % VMS:04}")
        task = TaskId(len(log))
        log.append(submitted(vm, f"r{number}"))
        log.append(records.Leased(vm=vm, task=task, worker=WorkerName("w"), term=term))
        if number < ENDED:
            log.append(
                records.Finished(vm=vm, task=task, outcome=records.Succeeded(), duration_s=0.2, atoms=atoms)
            )
    log += [submitted(VmId(f"vm-{n % VMS:04}"), f"w{n}") for n in range(2 * VMS)]
    bus.append(INSTANCE, *log).result()
    return len(log)


def submitted(vm: VmId, request: str) -> Record:
    """A task of a VM."""
    return records.Submitted(vm=vm, operation=VmStart(vm=vm), request_id=request, dbg="bench", accept_by=2e9)


def serve(broker: MemoryBroker, directory: Path) -> Service:
    """A dashboard on that log."""
    tokens = directory / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(tokens_text([(Operator("bench", OperatorRole.OPERATOR), TOKEN)]))
    page = build(MemoryBus(broker, "dashboard"), Settings(BusSettings((INSTANCE,)), tokens))
    page.start()
    return page


def until(done: Callable[[], bool]) -> None:
    """Wait; the page's own thread does the work."""
    while not done():
        threading.Event().wait(0.01)


def connected(page: Service) -> http.client.HTTPConnection:
    """A connection to the page."""
    return http.client.HTTPConnection(urlsplit(page.url).netloc, timeout=60)


def fetched(page: Service, screen: str) -> str:
    """How long a screen takes over HTTP, and how large it is."""
    connection = connected(page)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/login", f"token={TOKEN}", headers)
    answer = connection.getresponse()
    answer.read()
    cookie = answer.headers["set-cookie"].partition(";")[0]
    times, size, cpu = [], 0, time.process_time()
    for _ in range(REPEATS):
        begin = time.perf_counter()
        connection.request("GET", f"/i/{INSTANCE}/{screen}", headers={"cookie": cookie})
        answer = connection.getresponse()
        size = len(answer.read())
        assert answer.status == http.client.OK, answer.status
        times.append((time.perf_counter() - begin) * 1e3)
    connection.close()
    cpu_ms = (time.process_time() - cpu) / REPEATS * 1e3
    return f"{statistics.median(times):6.1f} ms median, {cpu_ms:6.1f} ms of processor, {size / 1024:5.0f} kB"


def paint(page: Service) -> None:
    """How long a browser takes until it has painted something."""
    path = shutil.which("chromium")
    if path is None:
        print("chromium is missing: no first paint (make setup installs it)")
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        screen = browser.new_page(base_url=page.url)
        screen.goto("/login")
        screen.get_by_label("Token").fill(TOKEN)
        screen.get_by_role("button").click()
        for name in ("overview", "queues", "tasks"):
            times = []
            for _ in range(REPEATS):
                screen.goto(f"/i/{INSTANCE}/{name}")
                times.append(screen.evaluate(PAINTED))
            most = max(times)
            print(
                f"first paint of {name:13} {statistics.median(times):6.0f} ms median, {most:6.0f} ms at most"
            )
        browser.close()


def follow(page: Service, others: MemoryBus, count: int) -> None:
    """Readers of the log, and ones that do not read."""
    readers = [following(page) for _ in range(2 * count)]
    until(lambda: page._streams.count == 2 * count)  # noqa: SLF001
    cpu, begin = time.process_time(), time.perf_counter()
    for number in range(RECORDS):
        others.append(INSTANCE, records.LaneHeld(vm=VmId(f"held-{number}"))).result()
    marks = [f"held-{RECORDS - 1}".encode()] * count
    for reader, mark in zip(readers[:count], marks, strict=True):
        seen = b""
        while mark not in seen:
            seen = seen[-200:] + reader.recv(65_536)
    late_s = time.perf_counter() - begin
    rate, cpu_s = count * RECORDS / late_s, time.process_time() - cpu
    print(f"{count} readers told of {RECORDS} records in {late_s:.2f} s, {rate:.0f} events/s")
    print(f"{cpu_s:.2f} s of processor for it, readers included")
    print(f"beside {count} that read nothing; {memory()}")
    for reader in readers:
        reader.close()


def following(page: Service, query: str = "") -> socket.socket:
    """A connection on which the log is asked for as events: what comes, unless the query says otherwise."""
    place = urlsplit(page.url)
    head = f"host: localhost\r\nauthorization: Bearer {TOKEN}"
    reader = socket.create_connection((place.hostname or "", place.port or 0))
    reader.sendall(f"GET /api/v1/instances/{INSTANCE}/events{query} HTTP/1.1\r\n{head}\r\n\r\n".encode())
    return reader


def crowd(page: Service) -> None:
    """Very many that want all that is kept of the log, and read nothing but how they are answered."""
    until(lambda: page._streams.count == 0)  # noqa: SLF001
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    begin, cpu = time.perf_counter(), time.process_time()
    readers, answers = [], Counter[str]()
    for _ in range(CROWD):
        reader = following(page, "?after=-1")
        status = reader.recv(12).decode().partition(" ")[2] or "closed"
        answers[status] += 1
        readers.append(reader)
    told = ", ".join(f"{number} are answered {status}" for status, number in sorted(answers.items()))
    print(f"of {CROWD} at once {told}, in {time.perf_counter() - begin:.1f} s")
    print(f"{time.process_time() - cpu:.1f} s of processor for it, their own included; {memory()}")
    for reader in readers:
        reader.close()


if __name__ == "__main__":
    main()
