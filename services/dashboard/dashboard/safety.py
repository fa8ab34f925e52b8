"""Safety: which actions operators may ask for now, and why not; what each is asked of."""

from dataclasses import dataclass
from enum import StrEnum

from bus.retrial import retrial
from bus.stories.story import State, Story
from schema.ids import is_safe_name, read_task_id
from schema.objects.quarantine import Quarantine
from schema.overseen import DISCARD_MESSAGE, RETRY_MESSAGE, message_name

from dashboard.fold.instance import InstanceFold

PRIORITY_MAX = 1_000
"""How far a priority may be from 0; the redirector's own limit."""

WITHIN_S_MAX = 30 * 24 * 3600.0
"""The furthest deadline that is set."""


class Verb(StrEnum):
    """What an operator can do."""

    CANCEL = "cancel"
    """Let a task stop, whether it waits or runs."""
    DISCARD = "discard"
    """Let a task that waits never begin."""
    PRIORITISE = "prioritise"
    DEADLINE = "deadline"
    HOLD = "hold"
    RELEASE = "release"
    DRAIN = "drain"
    UNDRAIN = "undrain"
    RETRY_MESSAGE = RETRY_MESSAGE
    """Let a message in quarantine be judged again; its subject is `schema.overseen.message_name`."""
    DISCARD_MESSAGE = DISCARD_MESSAGE
    """Note that a message in quarantine was seen."""


ON_TASKS = frozenset({Verb.CANCEL, Verb.DISCARD, Verb.PRIORITISE, Verb.DEADLINE})
ON_LANES = frozenset({Verb.HOLD, Verb.RELEASE})
ON_MESSAGES = frozenset({Verb.RETRY_MESSAGE, Verb.DISCARD_MESSAGE})


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator asks for. `number` is a priority, or seconds from now until a deadline; None: none.

    `force`: also if it leaves nobody to run tasks.
    """

    verb: Verb
    subject: str
    number: float | None = None
    force: bool = False

    @property
    def said(self) -> str:
        """What is written down of it."""
        detail = "" if self.number is None else f" {self.number:g}"
        return f"{self.verb}{detail}{' by force' if self.force else ''}"


class UnsafeError(Exception):
    """The action is refused now; the sentence says why, and what to do."""


class UnknownError(Exception):
    """There is no such task or worker."""


def check(action: Action, fold: InstanceFold) -> None:
    """Whether an action may be asked for; raises UnsafeError or UnknownError."""
    if action.verb in ON_TASKS:
        _check_task(action, _story(action.subject, fold))
    elif action.verb in ON_LANES:
        if not is_safe_name(action.subject):
            raise UnknownError(f"no VM can be called {action.subject!r}")
    elif action.verb is Verb.DRAIN:
        _check_drain(action, fold)
    elif action.verb is Verb.UNDRAIN and fold.workers.find(action.subject) is None:
        raise UnknownError(f"there is no worker {action.subject!r}")


def check_message(action: Action, told: Quarantine) -> None:
    """Whether an action on a message may be asked for; raises UnsafeError or UnknownError."""
    found = (one for one in told.records if message_name(one.log, one.offset) == action.subject)
    one = next(found, None)
    if one is None:
        raise UnknownError(f"{action.subject!r} is not among the {len(told.records)} messages that are kept")
    if action.verb is Verb.DISCARD_MESSAGE:
        if one.done:
            raise UnsafeError(f"{action.subject} was {one.done} by {one.by} already")
        return
    reason = retrial(one)
    if isinstance(reason, str):
        raise UnsafeError(f"{action.subject} is not appended anew: {reason}")


def _story(task: str, fold: InstanceFold) -> Story:
    number = read_task_id(task)
    story = None if number is None else fold.tasks.find(number)
    if story is None:
        raise UnknownError(f"there is no task {task!r}: it never was, or ended too long ago")
    return story


def _check_task(action: Action, story: Story) -> None:
    if story.ended:
        raise UnsafeError(f"task {story.id} has ended ({story.state}): nothing can be done to it any more")
    if action.verb is Verb.CANCEL:
        if not story.cancellable:
            raise UnsafeError(f"task {story.id} has passed the point of no return: wait for its end")
        return
    if story.state is not State.WAITING:
        where = (
            f"it was merged into {story.into}" if story.state is State.MERGED else f"{story.worker} runs it"
        )
        raise UnsafeError(f"task {story.id} does not wait any more, {where}: cancel it, or let it end")
    if action.verb is Verb.PRIORITISE and abs(action.number or 0) > PRIORITY_MAX:
        raise UnsafeError(f"a priority is from {-PRIORITY_MAX} to {PRIORITY_MAX}")
    if action.verb is Verb.DEADLINE and not 0 <= (action.number or 0) <= WITHIN_S_MAX:
        raise UnsafeError(f"a deadline is at most {WITHIN_S_MAX:g} seconds from now")


def _check_drain(action: Action, fold: InstanceFold) -> None:
    worker = fold.workers.find(action.subject)
    if worker is None:
        raise UnknownError(f"there is no worker {action.subject!r}")
    others = [one for one in fold.workers.all() if one.name != worker.name and one.up and not one.draining]
    if worker.up and not worker.draining and not others and not action.force:
        waiting = fold.tasks.count(State.WAITING)
        raise UnsafeError(
            f"no other worker takes tasks here: {waiting} that wait, and all that come, would wait until "
            f"{worker.name} is undrained; ask for it by force if that is what you want"
        )
