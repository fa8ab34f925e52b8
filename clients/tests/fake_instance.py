"""A small instance in memory: updates, tasks and barriers as the service has them, failing on demand."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from bus.ports import BusUnavailableError
from schema.fault import XenopsError
from schema.objects.dynamic import ObjectId, TaskObject, VmObject
from schema.objects.errors import DoesNotExist
from schema.objects.lane import Lanes
from schema.objects.task import Completed, Completion, Pending, Task, TaskState
from schema.rpc import decode_request, encode_failure, encode_result

DONE = Completed(completion=Completion(duration=0.5))


class FakeInstance:
    """A door to it; what it does not know itself, `answers` knows by method."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.log: list[ObjectId] = []
        self.barriers: list[tuple[int, int, str]] = []
        self.tasks: dict[str, Task] = {}
        self.cancelled: list[str] = []
        self.answers: dict[str, Callable[..., Any]] = {}
        self.asked: list[str] = []
        self.silent = 0

    def tell(self, *objects: ObjectId) -> None:
        """Objects have changed."""
        with self.changed:
            self.log += objects
            self.changed.notify_all()

    def task(self, number: str, state: TaskState | None = None, **fields: Any) -> str:
        """A task is as it is now."""
        known = {"dbg": "test", "ctime": 0.0, "subtasks": (), "debug_info": (), "backtrace": "()"}
        self.tasks[number] = Task(
            **{**known, "id": number, "state": state or Pending(progress=0.0), "cancellable": True, **fields}
        )
        self.tell(TaskObject(id=number))
        return number

    def call(self, _queue: str, body: bytes, _timeout_s: float) -> bytes:
        """See `Door`; fails while it is silent."""
        request = decode_request(body)
        with self.changed:
            self.asked.append(request.method)
            if self.silent:
                self.silent -= 1
                raise BusUnavailableError("nobody answers")
        params = {key: value for key, value in request.params.items() if key not in {"debug_info", "unit"}}
        try:
            return encode_result(request.method, self._answer(request.method, params))
        except XenopsError as error:
            return encode_failure(error.error)

    def close(self) -> None:
        """Nothing is held."""

    def _answer(self, method: str, params: dict[str, Any]) -> Any:
        match method:
            case _ if method in self.answers:
                return self.answers[method](**params)
            case "UPDATES.get":
                return self._updates(**params)
            case "UPDATES.last_id":
                return len(self.log)
            case "UPDATES.inject_barrier":
                with self.changed:
                    self.barriers.append((params["id"], len(self.log), params["vm_id"]))
                self.tell(VmObject(id=params["vm_id"]))
                return None
            case "UPDATES.remove_barrier":
                self.barriers = [one for one in self.barriers if one[0] != params["id"]]
                return None
            case "LANE.list":
                return Lanes(total=0, waiting=0, lanes=())
            case "Task.list":
                return tuple(self.tasks.values())
            case _ if method.startswith("Task."):
                return self._about_task(method, params["id"])
            case _:
                raise AssertionError(method)

    def _about_task(self, method: str, number: str) -> Any:
        if number not in self.tasks:
            raise XenopsError(DoesNotExist(klass="task", id=number))
        if method == "Task.stat":
            return self.tasks[number]
        if method == "Task.cancel":
            self.cancelled.append(number)
        else:
            del self.tasks[number]
        return None

    def _updates(self, last_id: int | None, timeout: int) -> Any:
        end = time.monotonic() + timeout
        with self.changed:
            since = last_id or 0
            self.changed.wait_for(lambda: len(self.log) > since, end - time.monotonic())
            objects = tuple(dict.fromkeys(self.log[since:]))
            barriers = tuple(
                (number, tuple(self._of_vm(vm, self.log[since:place])))
                for number, place, vm in self.barriers
                if place >= since
            )
            return barriers, objects, len(self.log)

    @staticmethod
    def _of_vm(vm: str, objects: Iterable[ObjectId]) -> Iterable[ObjectId]:
        return dict.fromkeys(
            one for one in objects if not isinstance(one, TaskObject) and vm in {one.id, one.id[0]}
        )
