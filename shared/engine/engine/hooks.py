"""Hooks: runs the administrator's scripts before and after what happens to a VM, and heeds their veto."""

import contextlib
import logging
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from schema.fault import XenopsError, internal_error
from schema.ids import VmId
from schema.objects.errors import HookFailed
from traces import Tracer, current_span

from engine.backend import Execution

_LOG = logging.getLogger(__name__)

HOOKS_ROOT = Path("/etc/xapi.d")
"""Where scripts are looked for unless settings say otherwise; as in the original."""

_EXIT_LOGGED = 1
"""With this code a script complains, and all goes on; as in the original."""

_SCRIPT_TIMEOUT_S = 20 * 60
"""How long a script may run: as long as any atomic."""

_GRACE_S = 5
"""How long a script that was told to end may take, before it is killed."""

_OUTPUT_BYTES_MAX = 16 * 1024
"""How much of a script's output is kept: it becomes part of an error, which becomes part of a record."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""All that scripts are told, but for the span that they run for: a service's own environment may hold
passwords."""


@dataclass(frozen=True, slots=True)
class HookCall:
    """What to run (see `engine.hook_names`), for which VM and why; `arguments` are the backend's own."""

    hook: str
    vm: VmId
    reason: str
    arguments: Sequence[str] = ()


class Hooks:
    """The scripts under one root: `<root>/<hook>/*`, in the order of their names."""

    def __init__(self, root: Path = HOOKS_ROOT, tracer: Tracer | None = None) -> None:
        self._root = root
        self._step = nullcontext if tracer is None else tracer.step

    def run(self, execution: Execution, call: HookCall) -> None:
        """Run all scripts of a hook with `-vmuuid U -reason R`; no folder, no scripts.

        Exit code 0 is well, 1 is logged, any other aborts. A cancel ends the script that runs.

        Errors: `Hook_failed(<hook>/<script>, reason, output, exit code)`, `Cancelled`; `Internal_error` when
        a script cannot be run or does not end.
        """
        for script in self._scripts(call.hook):
            execution.check_cancelled()
            with self._step(f"hook {call.hook}/{script.name}"):
                self._run_script(execution, call, script)

    def _scripts(self, hook: str) -> list[Path]:
        try:
            return sorted((self._root / hook).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise internal_error(
                f"Cannot list the scripts in {self._root / hook}: {error.strerror}; see to its rights"
            ) from error

    def _run_script(self, execution: Execution, call: HookCall, script: Path) -> None:
        arguments = ("-vmuuid", call.vm, "-reason", call.reason, *call.arguments)
        _LOG.debug("VM %s: %s %s", call.vm, script, arguments)
        with tempfile.TemporaryFile() as output:
            process = _spawn([str(script), *arguments], output)
            ending = _Ending(process)
            with execution.cancellable(ending.begin), ending:
                code = _wait(process, script)
            execution.check_cancelled()
            printed = _head(output)
        name = f"{call.hook}/{script.name}"
        if code == _EXIT_LOGGED:
            _LOG.info("VM %s: hook %s (%s) complains: %r", call.vm, name, call.reason, printed)
        elif code != 0:
            shown = str(code) if code > 0 else f"signal {-code}"
            raise XenopsError(HookFailed(script=name, reason=call.reason, stdout=printed, exit_code=shown))


class _Ending:
    """How a script is ended from another thread: told to, and killed if it does not within the grace."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._kill: threading.Timer | None = None

    def begin(self) -> None:
        _signal_group(self._process, signal.SIGTERM)
        self._kill = threading.Timer(_GRACE_S, _signal_group, (self._process, signal.SIGKILL))
        self._kill.daemon = True
        self._kill.start()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        if self._kill is not None:
            self._kill.cancel()


def _spawn(command: list[str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a script in a session of its own; output goes to a file, so that no child of it can block us."""
    span = current_span()
    told = _ENVIRONMENT if span is None else _ENVIRONMENT | {"TRACEPARENT": span.traceparent}
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, env=told, start_new_session=True
        )
    except OSError as error:
        raise internal_error(
            f"Cannot run the hook script {command[0]}: {error.strerror}; "
            "make it executable with a valid first line, or remove it"
        ) from error


def _wait(process: subprocess.Popen[bytes], script: Path) -> int:
    """The exit code; a script that does not end in time is killed with all that it started."""
    try:
        return process.wait(timeout=_SCRIPT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _signal_group(process, signal.SIGKILL)
        process.wait()
        raise internal_error(
            f"The hook script {script} did not end within {_SCRIPT_TIMEOUT_S} s and was killed"
        ) from None


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a script and what it started; one that has ended is left alone, its number may be another's."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def _head(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read(_OUTPUT_BYTES_MAX).decode("utf-8", "replace")
