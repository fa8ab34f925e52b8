"""A plain read (VM.stat) through every door of a frontend, on the simulator, beside what each costs bare.

    python bench/bench_doors.py [READS]

Through the switch a call is what the original's client makes of it: four exchanges, of which one waits. The
echo is a service on the same switch, in a process of its own. All in one run, in turn.
"""

import http.client
import socket
import sys
import tempfile
from pathlib import Path

from bare import peers
from engine.conformance.samples import sample_vbd, sample_vm
from figures import interleaved, tell
from meter import tell_processor, usage
from schema.rpc import encode_request
from schema.wire import xmlrpc
from stack.layout import Layout
from stack.local import LocalStack
from stack.shape import SIMULATOR_INSTANCE, Shape
from switch_caller import ECHO_QUEUE, SwitchCaller, echo_service
from typing_extensions import override
from xenops.client import Client

VM = "vm"
LABELS = (
    "peer: one exchange with the switch",
    "peer: an echo on the switch",
    "VM.stat through the switch",
    "VM.stat over AMQP",
    "VM.stat on xenopsd's socket, JSON",
    "VM.stat on xenopsd's socket, XML",
)


def main() -> None:
    """Print one line a figure."""
    reads = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    with (
        tempfile.TemporaryDirectory(prefix="xb") as directory,
        LocalStack(layout := Layout(Path(directory) / "s"), Shape()) as stack,
        stack.client(SIMULATOR_INSTANCE) as client,
        peers(stack.administrator_url) as (amqp_echo, _),
        echo_service(layout.switch),
    ):
        add_vm(client)
        body = encode_request("VM.stat", debug_info="bench", id=VM)
        switch = SwitchCaller(layout.switch, "bench")
        sockets = layout.sockets(SIMULATOR_INSTANCE)
        in_json, in_xml = Socket(sockets / "xenopsd.json"), Socket(sockets / "xenopsd")
        call = xmlrpc.encode_call("VM.stat", [xmlrpc_params()])
        answer = switch.call(SIMULATOR_INSTANCE, body)
        assert in_json.ask(body) == answer
        amqp, *others = interleaved(
            reads,
            lambda: amqp_echo.call(b"x" * 300),
            switch.exchange,
            lambda: switch.call(ECHO_QUEUE, answer),
            lambda: switch.call(SIMULATOR_INSTANCE, body),
            lambda: client.vm.stat(VM),
            lambda: in_json.ask(body),
            lambda: in_xml.ask(call),
        )
        tell("peer: bare pika, publish, consume, reply", amqp)
        for label, figures in zip(LABELS, others, strict=True):
            tell(label, figures, amqp)
        before = usage(stack)
        for _ in range(reads):
            switch.call(SIMULATOR_INSTANCE, body)
        tell_processor(before, usage(stack), reads)
    print(f"  an answer has {len(answer)} bytes")


def add_vm(client: Client) -> None:
    """What is read."""
    client.vm.add(sample_vm(VM))
    client.vbd.add(sample_vbd(vm=VM))


def xmlrpc_params() -> object:
    """The parameters of the call, as a wire value."""
    from schema.wire.value import Dict  # noqa: PLC0415

    return Dict([("debug_info", "bench"), ("id", VM)])


class Socket(http.client.HTTPConnection):
    """xenopsd's own socket, kept open."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))

    def ask(self, body: bytes) -> bytes:
        """One call."""
        self.request("POST", "/", body)
        return self.getresponse().read()


if __name__ == "__main__":
    main()
