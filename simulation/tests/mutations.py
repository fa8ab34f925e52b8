"""Mutations: rules of the protocol, each broken on purpose: the simulation must notice."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bus.dedup import Dedup
from bus.follow import Follower
from bus.insist import Insistent
from bus.place import anchor_of
from bus.ports import Entry
from bus.window import Window
from engine.journal import Journal, JournalEntry
from engine.lock import Held, VmLocks
from engine.store import FileStore, refusals
from engine.worker import runner as runners
from engine.worker.core import Effect as WorkerEffect
from engine.worker.core import WorkerCore
from engine.worker.leases_read import ReadBefore
from engine.worker.tools import Tools
from eventhub.core import EventHub
from eventhub.tasks import Tasks
from eventhub.updates import Updates
from frontend.core import Effect as FrontendEffect
from frontend.core import Frontend
from mutations_of_migrations import OF_MIGRATIONS, Mutation, Patch
from redirector.core import Redirector
from redirector.effects import Append, Notify
from redirector.effects import Effect as RedirectorEffect
from redirector.fold import Fold
from redirector.lanes import Lanes
from redirector.requests import Requests
from redirector.workers import Workers
from schema.ids import LeaseToken, TaskId, VmId
from schema.notices import Rejected
from schema.records import Finished, Leased, Refused, Submitted
from simulation.publisher import Publisher


def dedup_off(patch: Patch) -> None:
    """Every envelope counts, repeated or not."""
    patch.setattr(Dedup, "accepts", lambda *_: True)


def nothing_is_sent_again(patch: Patch) -> None:
    """A new channel forgets what was unconfirmed on the last one."""

    def restart(window: Window) -> None:
        window._outbox.clear()
        window._parcels.clear()
        window._first_tag_seq = window._last_seq + 1

    patch.setattr(Window, "restart", restart)


def any_confirm_is_news(patch: Patch) -> None:
    """A record that was lost is not missed while later ones are confirmed."""
    patch.setattr(Window, "front", property(lambda window: len(window._confirmed) + window.unconfirmed()))


def refused_is_forgotten(patch: Patch) -> None:
    """What the broker does not take for now is not offered again."""
    patch.setattr(Insistent, "_keep", lambda *_: None)


def what_the_log_has_lost_is_done_again(patch: Patch) -> None:
    """A VM's last task is known by its lease alone, which the log may have lost, and nobody misses it."""
    patch.setattr(runners.Runner, "_leased_as", lambda runner, entry: entry.token == runner.lease.token)
    what_the_log_lacks_is_not_missed(patch)


def what_the_log_lacks_is_not_missed(patch: Patch) -> None:
    """Whoever is leased a task does not see that the log has lost a later lease of its VM."""
    patch.setattr(ReadBefore, "lacks", lambda *_: False)


def what_the_log_has_is_missed(patch: Patch) -> None:
    """Whoever is leased a task believes that the log has lost the lease before."""
    patch.setattr(ReadBefore, "lacks", lambda *_: True)


def journal_does_not_fence(patch: Patch) -> None:
    """A lease that was run before, or is older, is run all the same."""
    patch.setattr(Journal, "read", lambda *_: None)


def journal_forgets_what_was_put_right(patch: Patch) -> None:
    """Whoever still has the lease takes it for one never begun."""

    def forget(entry: JournalEntry, _: Any, tools: Tools) -> JournalEntry:
        tools.journal._entries.remove(tools.journal._path(entry.vm))
        return entry

    patch.setattr("engine.worker.orphans.note_end", forget)


def what_is_put_right_stays_begun(patch: Patch) -> None:
    """A task that finds what a dead worker has left, and is then not obeyed, leaves it noted as begun."""
    patch.setattr(runners, "note_end", lambda entry, *_: entry)


def who_ends_late_is_noted(patch: Patch) -> None:
    """A migration's end replaces what was noted of its VM meanwhile: what was fenced is run again."""
    patch.setattr(Held, "regain", lambda *_: None)
    patch.setattr(Journal, "end", lambda journal, entry, finished: journal._write(ended(entry, finished)))


def ended(entry: JournalEntry, finished: Finished) -> JournalEntry:
    """An entry of an execution that has ended."""
    return entry.model_copy(update={"finished": finished})


def no_locks(patch: Patch) -> None:
    """A VM is executed by whoever wants to."""

    @contextmanager
    def held(_: VmLocks, vm: VmId, _wait: Any) -> Iterator[Any]:
        locks = Held.__new__(Held)
        locks._handles = {vm: -1}
        yield locks

    patch.setattr(VmLocks, "held", held)


def crashed_is_not_put_right(patch: Patch) -> None:
    """What a worker has died in is left as it is."""
    patch.setattr(runners, "put_right", lambda *_: None)
    patch.setattr("engine.worker.orphans.put_right", lambda *_: None)


def owed_checks_are_not_done(patch: Patch) -> None:
    """What has failed half way is left as it is."""
    patch.setattr(runners.Runner, "_perform_owed", lambda *_: None)


def two_leases_of_a_vm(patch: Patch) -> None:
    """A lane does not wait for what runs."""
    patch.setattr("redirector.lane.Lane.leasable", lambda lane: bool(lane.waiting) and not lane.held)


def repeat_is_a_task(patch: Patch) -> None:
    """A request that is repeated is run again."""
    patch.setattr(Requests, "first", lambda *_: None)


def lost_worker_is_waited_for(patch: Patch) -> None:
    """The leases of a worker that is gone never expire."""
    patch.setattr(Redirector, "_lose_workers", lambda *_: [])


def term_ignored(patch: Patch) -> None:
    """A leader that was replaced is still obeyed, and no journal knows a task by more than its lease."""
    patch.setattr(runners.Runner, "_leased_as", lambda runner, entry: entry.token == runner.lease.token)
    obeyed = WorkerCore._on_leased

    def on_leased(core: WorkerCore, token: LeaseToken, record: Leased) -> list[WorkerEffect]:
        core.term = record.term
        return obeyed(core, token, record)

    patch.setattr(WorkerCore, "_on_leased", on_leased)


def unwritten_leases_stay(patch: Patch) -> None:
    """What a leader had decided and never written counts for its next term."""
    patch.setattr(Workers, "void_unwritten", lambda _: [])


def merged_does_not_end(patch: Patch) -> None:
    """A task that was merged into another does not end with it."""
    patch.setattr(Tasks, "_followers", lambda *_: iter(()))


def removed_task_keeps_its_lane(patch: Patch) -> None:
    """The end of a task does not let the next one of its VM go."""
    patch.setattr(Lanes, "release", lambda *_: None)


def change_told_one_place_too_early(patch: Patch) -> None:
    """A change is noted at the place before its own: who stands there misses it."""
    change = Updates.change
    patch.setattr(Updates, "change", lambda self, objects, place: change(self, objects, place - 1))


def late_election_deposes(patch: Patch) -> None:
    """Whoever reads another's election leads no more, though nobody else holds the queue."""

    def on_election(redirector: Redirector, *, own: bool) -> list[RedirectorEffect]:
        redirector.leads = own
        return []

    patch.setattr(Redirector, "_on_election", on_election)


def refusal_is_told_before_it_is_written(patch: Patch) -> None:
    """Whoever decides to refuse says so at once."""
    submitted = Redirector._on_submitted

    def on_submitted(
        redirector: Redirector, task: TaskId, record: Submitted, now: float
    ) -> list[RedirectorEffect]:
        effects = submitted(redirector, task, record, now)
        for effect in effects:
            if isinstance(effect, Append) and isinstance(effect.record, Refused) and record.reply_to:
                notice = Rejected(request_id=record.request_id, error=effect.record.error)
                return [*effects, Notify(record.reply_to, notice)]
        return effects

    patch.setattr(Redirector, "_on_submitted", on_submitted)


def repeat_that_is_not_taken_fails_the_first(patch: Patch) -> None:
    """Whose repeat the broker does not take is told that all has failed."""
    failed = Frontend.on_append_failed

    def on_append_failed(frontend: Frontend, record: Submitted, reason: str) -> list[FrontendEffect]:
        if (pending := frontend._pending.get(record.request_id)) is not None:
            pending.repeated = False
        return failed(frontend, record, reason)

    patch.setattr(Frontend, "on_append_failed", on_append_failed)


def end_is_not_asked_for(patch: Patch) -> None:
    """A frontend relies on being told the end of what is awaited."""
    patch.setattr(Frontend, "_await_end", lambda *_: [])


def removed_vm_is_not_fenced(patch: Patch) -> None:
    """What a VM was executed under last is forgotten with it."""
    patch.setattr("engine.worker.removed.REMOVED_KEPT", 0)


def cancel_of_what_waits_is_ignored(patch: Patch) -> None:
    """No redirector takes a wish that a waiting task should end."""
    patch.setattr(Fold, "_on_cancel", lambda *_: None)


def every_lease_has_the_same_token(patch: Patch) -> None:
    """A token is used again."""
    obeyed = WorkerCore._on_leased

    def on_leased(core: WorkerCore, _: LeaseToken, record: Leased) -> list[WorkerEffect]:
        return obeyed(core, LeaseToken(7), record)

    patch.setattr(WorkerCore, "_on_leased", on_leased)


def half_a_rename_stays(patch: Patch) -> None:
    """A VM that is being renamed is two when its worker dies, and no more renamed."""
    rename = FileStore.rename

    def rename_once(store: FileStore, vm: str, name: str) -> None:
        if store.exists(name):
            raise refusals.vm_exists(name)
        rename(store, vm, name)

    patch.setattr(FileStore, "rename", rename_once)


def who_died_has_told_all(patch: Patch) -> None:
    """What a worker that died has changed counts as told."""
    patch.setattr(runners, "tell_again", lambda *_: None)
    patch.setattr("engine.worker.orphans.tell_again", lambda *_: None)


def changes_by_requests_are_not_noted(patch: Patch) -> None:
    """What a request has changed is told by nobody when its worker dies just then."""
    patch.setattr("engine.worker.untold.Untold.note", lambda *_: None)


def a_clients_repeat_is_a_request_of_its_own(patch: Patch) -> None:
    """A frontend does not heed the id by which its client asks again."""
    patch.setattr("schema.rpc.is_id", lambda _: False)


def fenced_tasks_do_not_end(patch: Patch) -> None:
    """A lease that a lost log brings back is left alone."""
    patch.setattr(runners.Runner, "_refuse", lambda *_: None)


def a_lost_log_is_told_nobody(patch: Patch) -> None:
    """Clients whose log was lost hear of what changes, and of nothing else."""
    patch.setattr("engine.worker.service.tell_all", lambda *_: None)


def what_another_ended_counts_as_told(patch: Patch) -> None:
    """Whoever executes a VM next says nothing of what its last worker died before it could say."""
    patch.setattr(Journal, "has_ended", lambda *_: True)


def snapshot_lacks_its_last_entry(patch: Patch) -> None:
    """A fold is put away with a place that is one entry further on than its state."""

    def on_entry(follower: Follower, entry: Entry) -> None:
        follower._since += 1
        if follower._live and not follower._busy and follower._is_due():
            follower._put_away()
        follower._of.fold.on_entry(entry)

    patch.setattr(Follower, "_on_entry", on_entry)


def sent_before_the_log_is_known(patch: Patch) -> None:
    """What is unconfirmed is sent again at once, whichever log it is."""
    patch.setattr(Publisher, "heed", lambda *_: None)


def what_is_sent_again_is_what_it_was(patch: Patch) -> None:
    """A record is known by itself alone, not by the channel on which it was sent."""
    patch.setattr("simulation.broker.anchor_of", lambda body, _: anchor_of(body, None))


def every_life_of_the_log_is_known(patch: Patch) -> None:
    """A worker that was cut off does not mind what another was leased in a log that it has not read."""
    begin = Journal.begin

    def begin_all_the_same(journal: Journal, entry: JournalEntry) -> None:
        if (last := journal.read(entry.vm)) is not None:
            journal.meet(last.life)
        begin(journal, entry)

    patch.setattr(Journal, "begin", begin_all_the_same)


def what_was_read_is_told_of_any_log(patch: Patch) -> None:
    """An event hub tells how tasks have ended before it knows whether its log is still the same."""
    patch.setattr(EventHub, "on_log", lambda *_, **__: None)


CAUGHT_BY: dict[Mutation, int | str] = {
    **OF_MIGRATIONS,
    dedup_off: 1,
    nothing_is_sent_again: 1,
    any_confirm_is_news: "a-record-lost-while-later-ones-are-confirmed",
    refused_is_forgotten: 25,
    journal_does_not_fence: 8,
    what_the_log_lacks_is_not_missed: "leased-again-behind-another-task-of-its-vm",
    what_the_log_has_is_missed: 0,
    what_the_log_has_lost_is_done_again: "leased-again-before-the-loss-was-known",
    who_ends_late_is_noted: "a-migration-that-ends-after-the-next-task-of-its-vm",
    journal_forgets_what_was_put_right: "put-right-by-another-worker-and-run-again",
    what_is_put_right_stays_begun: "put-right-before-a-lease-that-is-not-obeyed",
    no_locks: "executions-that-only-a-lock-keeps-apart",
    crashed_is_not_put_right: "a-worker-that-dies-in-a-start",
    owed_checks_are_not_done: 19,
    two_leases_of_a_vm: 0,
    repeat_is_a_task: 2,
    lost_worker_is_waited_for: "a-worker-that-is-lost",
    term_ignored: "obeyed-after-another-was-elected",
    unwritten_leases_stay: "leased-and-not-written-when-another-is-elected",
    merged_does_not_end: "a-check-merged-into-another",
    removed_task_keeps_its_lane: 0,
    change_told_one_place_too_early: 0,
    late_election_deposes: "an-election-late-of-one-that-leads-no-more",
    repeat_that_is_not_taken_fails_the_first: "a-repeat-that-the-broker-does-not-take",
    end_is_not_asked_for: "the-end-of-what-is-awaited-is-told-to-nobody",
    removed_vm_is_not_fenced: "leased-to-a-life-that-lags-behind-the-end-of-its-vm",
    cancel_of_what_waits_is_ignored: 24,
    every_lease_has_the_same_token: 0,
    snapshot_lacks_its_last_entry: "begun-anew-from-a-snapshot",
    half_a_rename_stays: "a-name-half-changed-when-its-worker-died",
    who_died_has_told_all: "an-arrival-that-its-worker-has-told-nobody",
    fenced_tasks_do_not_end: "a-log-that-lost-its-end-and-a-lease-that-came-back",
    what_is_sent_again_is_what_it_was: "another-log-in-which-what-was-read-last-came-to-stand-again",
    sent_before_the_log_is_known: "sent-again-to-a-log-that-lost-its-end",
    a_clients_repeat_is_a_request_of_its_own: 17,
    a_lost_log_is_told_nobody: "a-removal-lost-with-its-log",
    what_another_ended_counts_as_told: "devices-plugged-by-a-worker-that-ended-and-said-nothing",
    changes_by_requests_are_not_noted: "a-vm-added-by-a-worker-that-died-then",
    every_life_of_the_log_is_known: "parked-by-a-worker-that-is-cut-off-as-its-log-is-lost",
    what_was_read_is_told_of_any_log: "the-end-of-another-task-of-its-number",
    refusal_is_told_before_it_is_written: "told-that-it-is-refused-before-that-is-written",
}
"""Each mutation with a seed or a file under `failures` that shows it."""
