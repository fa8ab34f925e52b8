"""Libxl: the door to Xen's own toolstack library; its values cross as JSON, its complaints become errors.

Each operation has a context of its own, out of a few that are kept: it waits there for its end, and can be
aborted from another thread. What the library says in its log while it fails is the error's sentence.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from worker_xen.binding import load
from worker_xen.xenlight.binding import LIBXL
from worker_xen.xenlight.values import (
    AbortedError,
    Device,
    DomainInfo,
    Json,
    LibxlError,
    NoSuchDomainError,
    domain_info,
)

CONTEXTS_KEPT = 8
"""Each has a connection to xenstore; more are made when more work at once, and closed afterwards."""

Trigger = Literal["POWER", "SLEEP", "S3RESUME"]

_NO_DOMAIN = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Context:
    """A context of libxl's, used by one operation at a time, and its log."""

    pointer: Any
    log: Any


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation that has begun: how its end is told, by its number."""

    context: Context
    pointer: Any
    number: int


OnAbort = Callable[[Callable[[], None]], Any]
"""Given what aborts an operation, answers a context manager during which that may be called."""


class Libxl:
    """Safe for any thread. Errors of all: `LibxlError`."""

    def __init__(self, bindings: Path) -> None:
        """Open the library. Errors: `BindingError`; `LibxlError` when the hypervisor does not answer."""
        module = load(LIBXL, bindings)
        self.lib, self.ffi = module.lib, module.ffi
        self._lock = threading.Lock()
        self._free: list[Context] = [self.open()]
        self._numbers = 0

    def close(self) -> None:
        """Let go of what is kept."""
        with self._lock:
            contexts, self._free = self._free, []
        for context in contexts:
            self.lib.xenops_close(context.pointer, context.log)

    def info(self, domid: int) -> DomainInfo | None:
        """A domain; None: there is none."""
        code = self.ffi.new("int *")
        with self._context() as context:
            text = self.lib.xenops_dominfo(context.pointer, domid, code)
            if text == self.ffi.NULL:
                if code[0] == self.lib.ERROR_DOMAIN_NOTFOUND:
                    return None
                self.check("look at a domain", code[0] or -1, context)
            return domain_info(self._taken(text))

    def domains(self) -> list[DomainInfo]:
        """All domains, dom0 among them."""
        count = self.ffi.new("int *")
        found: list[DomainInfo] = []
        with self._context() as context:
            while (text := self.lib.xenops_domains(context.pointer, len(found), count)) != self.ffi.NULL:
                found.append(domain_info(self._taken(text)))
            self.check("list domains", min(count[0], 0), context)
        return found

    def version(self) -> Json:
        """The hypervisor's version, as libxl words it."""
        return self._asked("ask for Xen's version", self.lib.xenops_version)

    def physinfo(self) -> Json:
        """The host's processors and memory, as libxl words them."""
        return self._asked("ask for the host's hardware", self.lib.xenops_physinfo)

    def create(self, config: Json, aborting: OnAbort) -> int:
        """Make a domain with all its devices, and leave it paused; answers its number."""
        return self._make("create a domain", config, aborting, self.lib.libxl_domain_create_new)

    def restore(self, config: Json, source: int, aborting: OnAbort) -> int:
        """Make a domain of what `suspend` wrote, read from an open file; answers its number."""
        parameters = self.ffi.new("libxl_domain_restore_params *")
        self.lib.libxl_domain_restore_params_init(parameters)
        parameters.stream_version = 2

        def restore(context: Any, configured: Any, domid: Any, *ending: Any) -> int:
            given = (source, -1, parameters, *ending)
            return int(self.lib.libxl_domain_create_restore(context, configured, domid, *given))

        return self._make("restore a domain", config, aborting, restore)

    def needed_memory_kib(self, config: Json) -> int:
        """What Xen needs for a domain, above the memory that its guest sees."""
        needed = self.ffi.new("uint64_t *")
        with self._context() as context, self._config(context, config) as configured:
            code = self.lib.libxl_domain_need_memory(context.pointer, configured, _NO_DOMAIN, needed)
            self.check("reckon a domain's memory", code, context)
        return int(needed[0])

    def free_memory_kib(self) -> int:
        """What the hypervisor has left."""
        free = self.ffi.new("uint64_t *")
        with self._context() as context:
            self.check("ask for free memory", self.lib.libxl_get_free_memory(context.pointer, free), context)
        return int(free[0])

    def suspend(self, domid: int, target: int, aborting: OnAbort, *, live: bool) -> None:
        """Let the guest suspend itself and write it to an open file; its domain stays, shut down."""
        flags = self.lib.LIBXL_SUSPEND_LIVE if live else 0
        self._do("save a domain", self.lib.libxl_domain_suspend, domid, target, flags, aborting=aborting)

    def resume(self, domid: int) -> None:
        """Go on after `suspend`, in the same domain."""
        self._do("resume a domain", self.lib.libxl_domain_resume, domid, 1)

    def destroy(self, domid: int) -> None:
        """End a domain with all its devices; there is none, nothing to do."""
        with suppress(NoSuchDomainError):
            self._do("destroy a domain", self.lib.libxl_domain_destroy, domid)

    def pause(self, domid: int) -> None:
        """Stop its processors."""
        self._do("pause a domain", self.lib.libxl_domain_pause, domid)

    def unpause(self, domid: int) -> None:
        """Let them run."""
        self._do("unpause a domain", self.lib.libxl_domain_unpause, domid)

    def ask_shutdown(self, domid: int, *, reboot: bool) -> None:
        """Ask the guest, by xenstore, to end or to begin anew."""
        verb = self.lib.libxl_domain_reboot if reboot else self.lib.libxl_domain_shutdown
        self._do("ask a guest to shut down", verb, domid)

    def trigger(self, domid: int, name: Trigger) -> None:
        """Press a button, which is all that a guest without drivers hears; or wake one that sleeps."""
        trigger = getattr(self.lib, f"LIBXL_TRIGGER_{name}")
        self._do(f"send the trigger {name}", self.lib.libxl_send_trigger, domid, trigger, 0)

    def monitor(self, domid: int, command: str) -> str:
        """What QEMU's old monitor says to a command."""
        said, words = self.ffi.new("char **"), self.ffi.new("char[]", command.encode())
        with self._context() as context:
            how = self._how(context)
            code = self.lib.libxl_qemu_monitor_command(context.pointer, domid, words, said, how.pointer)
            self._end(f"have the device model do {command!r}", code, how)
            return "" if said[0] == self.ffi.NULL else self._text(said[0]).strip()

    def rename(self, domid: int, name: str) -> None:
        """Give a domain another name."""
        with self._context() as context:
            old = self.lib.libxl_domid_to_name(context.pointer, domid)
            code = self.lib.libxl_domain_rename(context.pointer, domid, old, name.encode())
            self.lib.free(old)
            self.check("rename a domain", code, context)

    def add_device(self, domid: int, device: Device, aborting: OnAbort) -> None:
        """Give a domain a device; waits for its backend."""
        with self._context() as context, self._device(context, device.kind, device.config) as pointer:
            how = self._how(context)
            begin = getattr(self.lib, f"libxl_device_{device.kind}_add")
            code = begin(context.pointer, domid, pointer, how.pointer)
            self._end(f"add a {device.kind}", code, how, aborting)

    def remove_device(self, domid: int, device: Device, *, force: bool) -> None:
        """Take a device away; unforced, the guest must let it go. A disk that is not there, nothing to do."""
        with self._context() as context, self._device(context, device.kind, device.config) as pointer:
            if device.kind == "disk":  # as libxl has chosen its backend
                name = str(device.config["vdev"]).encode()
                if self.lib.libxl_vdev_to_device_disk(context.pointer, domid, name, pointer):
                    return
            how = self._how(context)
            verb = "destroy" if force else "remove"
            begin = getattr(self.lib, f"libxl_device_{device.kind}_{verb}")
            code = begin(context.pointer, domid, pointer, how.pointer)
            self._end(f"{verb} a {device.kind}", code, how)

    def insert_medium(self, domid: int, disk: Json) -> None:
        """Change what is in a drive of a domain with a device model."""
        with self._context() as context, self._device(context, "disk", disk) as pointer:
            how = self._how(context)
            code = self.lib.libxl_cdrom_insert(context.pointer, domid, pointer, how.pointer)
            self._end("change a medium", code, how)

    def make_assignable(self, pci: Json) -> None:
        """Take a PCI device from dom0's driver."""
        with self._context() as context, self._device(context, "pci", pci) as pointer:
            code = self.lib.libxl_device_pci_assignable_add(context.pointer, pointer, 1)
            self.check("take a PCI device from its driver", code, context)

    def set_memory_target(self, domid: int, target_kib: int) -> None:
        """Tell the guest's balloon where to go, and the hypervisor the limit."""
        with self._context() as context:
            code = self.lib.libxl_set_memory_target(context.pointer, domid, target_kib, 0, 1)
            self.check("set a memory target", code, context)

    def set_vcpus(self, domid: int, count: int, maximum: int) -> None:
        """Tell the guest which of its processors are there: the first ones."""
        bitmap = self.ffi.new("libxl_bitmap *")
        with self._context() as context:
            self.lib.libxl_bitmap_init(bitmap)
            self.check(
                "count vCPUs", self.lib.libxl_cpu_bitmap_alloc(context.pointer, bitmap, maximum), context
            )
            for number in range(count):
                self.lib.libxl_bitmap_set(bitmap, number)
            how = self._how(context)
            code = self.lib.libxl_set_vcpuonline(context.pointer, domid, bitmap, how.pointer)
            try:
                self._end("set vCPUs", code, how)
            finally:
                self.lib.libxl_bitmap_dispose(bitmap)

    def console(self, domid: int, *, emulated: bool) -> str | None:
        """The terminal of a domain's first console, or emulated serial line; None: not there yet."""
        path = self.ffi.new("char **")
        with self._context() as context:
            kinds = (self.lib.LIBXL_CONSOLE_TYPE_PV, self.lib.LIBXL_CONSOLE_TYPE_SERIAL)
            kind = kinds[emulated]
            if self.lib.libxl_console_get_tty(context.pointer, domid, 0, kind, path):
                return None
            return self._text(path[0])

    def hypervisor_console(self) -> str:
        """What the hypervisor has said."""
        lines, line = [], self.ffi.new("char **")
        with self._context() as context:
            reader = self.lib.libxl_xen_console_read_start(context.pointer, 0)
            if reader == self.ffi.NULL:
                self.check("read the hypervisor's console", -1, context)
            while self.lib.libxl_xen_console_read_line(context.pointer, reader, line) > 0:
                lines.append(self.ffi.string(line[0]).decode(errors="replace"))
            self.lib.libxl_xen_console_read_finish(context.pointer, reader)
        return "".join(lines)

    def send_debug_keys(self, keys: str) -> None:
        """Press keys on the hypervisor's console."""
        with self._context() as context:
            text = self.ffi.new("char[]", keys.encode())
            code = self.lib.libxl_send_debug_keys(context.pointer, text)
            self.check("send debug keys", code, context)

    def open(self) -> Context:
        """A context of the caller's own."""
        log = self.lib.xenops_log_make()
        pointer = self.lib.xenops_open(log)
        if pointer == self.ffi.NULL:
            raise LibxlError("open libxl", -1, self.ffi.string(log.words).decode(errors="replace"))
        return Context(pointer, log)

    @contextmanager
    def _context(self) -> Iterator[Context]:
        with self._lock:
            context = self._free.pop() if self._free else None
        context = context or self.open()
        context.log.words = b"\0"
        try:
            yield context
        except BaseException:  # what has failed once is not used again
            self.lib.xenops_close(context.pointer, context.log)
            raise
        with self._lock:
            if len(self._free) < CONTEXTS_KEPT:
                self._free.append(context)
                return
        self.lib.xenops_close(context.pointer, context.log)

    @contextmanager
    def _config(self, context: Context, config: Json) -> Iterator[Any]:
        pointer = self.ffi.new("libxl_domain_config *")
        self.lib.libxl_domain_config_init(pointer)
        try:
            text = json.dumps(config).encode()
            code = self.lib.libxl_domain_config_from_json(context.pointer, pointer, text)
            self.check("understand a domain's configuration", code, context)
            yield pointer
        finally:
            self.lib.libxl_domain_config_dispose(pointer)

    @contextmanager
    def _device(self, context: Context, kind: str, device: Json) -> Iterator[Any]:
        pointer = self.ffi.new(f"libxl_device_{kind} *")
        getattr(self.lib, f"libxl_device_{kind}_init")(pointer)
        try:
            parse = getattr(self.lib, f"libxl_device_{kind}_from_json")
            code = parse(context.pointer, pointer, json.dumps(device).encode())
            self.check(f"understand a {kind}", code, context)
            yield pointer
        finally:
            getattr(self.lib, f"libxl_device_{kind}_dispose")(pointer)

    def _make(self, what: str, config: Json, aborting: OnAbort, verb: Callable[..., int]) -> int:
        domid = self.ffi.new("uint32_t *", _NO_DOMAIN)
        with self._context() as context, self._config(context, config) as configured:
            how = self._how(context)
            code = verb(context.pointer, configured, domid, how.pointer, self.ffi.NULL)
            try:
                self._end(what, code, how, aborting)
            except LibxlError:
                if domid[0] not in {0, _NO_DOMAIN}:
                    self.destroy(domid[0])
                raise
        return int(domid[0])

    def _do(
        self,
        what: str,
        verb: Callable[..., int],
        domid: int,
        *arguments: Any,
        aborting: OnAbort | None = None,
    ) -> None:
        with self._context() as context:
            how = self._how(context)
            code = verb(context.pointer, domid, *arguments, how.pointer)
            self._end(what, code, how, aborting)

    def _how(self, context: Context) -> _Operation:
        with self._lock:
            self._numbers += 1
            number = self._numbers
        how = self.ffi.new("libxl_asyncop_how *")
        self.lib.xenops_how(how, number)
        return _Operation(context, how, number)

    def _end(self, what: str, code: int, how: _Operation, aborting: OnAbort | None = None) -> None:
        """Wait for an operation that has begun with a code."""
        context = how.context
        if code == 0:
            with nullcontext() if aborting is None else aborting(lambda: self._abort(how)):
                code = self.lib.xenops_await(context.pointer, how.number)
        self.check(what, code, context)

    def _abort(self, how: _Operation) -> None:
        self.lib.libxl_ao_abort(how.context.pointer, how.pointer)

    def check(self, what: str, code: int, context: Context) -> None:
        """Raise what libxl has answered, unless it is 0. Errors: `LibxlError`."""
        if code == 0:
            return
        words = self.ffi.string(context.log.words).decode(errors="replace")
        if code == self.lib.ERROR_ABORTED:
            raise AbortedError(what, code, words)
        if code == self.lib.ERROR_DOMAIN_NOTFOUND:
            raise NoSuchDomainError(what, code, words)
        raise LibxlError(what, code, words)

    def _asked(self, what: str, question: Callable[[Any], Any]) -> Json:
        with self._context() as context:
            text = question(context.pointer)
            if text == self.ffi.NULL:
                self.check(what, -1, context)
            return self._taken(text)

    def _taken(self, text: Any) -> Json:
        found: Json = json.loads(self._text(text))
        return found

    def _text(self, text: Any) -> str:
        """A string that is now ours to free."""
        words = str(self.ffi.string(text).decode(errors="replace"))
        self.lib.free(text)
        return words
