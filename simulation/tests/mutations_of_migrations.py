"""Mutations of migrations: rules by which one VM lives on one side, each broken on purpose."""

from collections.abc import Callable

import pytest
from engine.journal import Journal, JournalEntry
from engine.migrate import connect
from engine.migrate.channel import Channel
from engine.migrate.fate import Fate
from engine.migrate.source import Departure
from engine.migrate.wire import Network
from engine.worker.service import WorkerService

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], None]


def who_left_is_not_told(patch: Patch) -> None:
    """Clients hear of a migrated VM what its task says in the end, and nothing when that has failed."""

    def leave(departure: Departure) -> None:
        course = departure._course.insisting()
        course.held.also(departure._departing, course.threads.sleep)
        if course.store.exists(departure._departing):
            departure._clear(course)

    patch.setattr(Departure, "leave", leave)


def who_fails_at_last_has_the_vm(patch: Patch) -> None:
    """A source takes it that a destination which has agreed has the VM, whatever it says then."""
    patch.setattr(Departure, "settle", lambda departure, _: departure.leave())


def who_does_not_answer_has_the_vm(patch: Patch) -> None:
    """A source that has asked its destination for long enough takes its own side of the VM away."""
    patch.setattr(Departure, "_keep", lambda departure: departure.leave())


def what_is_left_over_stays(patch: Patch) -> None:
    """What cannot be taken away in some seconds stays where it is, for good."""
    patch.setattr(Journal, "leave_over", lambda *_: None)


def name_is_taken_back_once(patch: Patch) -> None:
    """A VM whose migration has failed keeps its departing id when that cannot be changed at once."""
    patch.setattr("engine.migrate.stay.TRIES_TIMEOUT_S", 0.0)


def who_has_gone_on_never_arrived(patch: Patch) -> None:
    """A destination forgets a VM that has left it again, and its source takes it as given up."""
    patch.setattr(WorkerService, "has_arrived", lambda *_: False)


def two_put_right_at_once(patch: Patch) -> None:
    """Whoever finds that a VM was handed over when its worker died asks what became of it, and acts alone."""
    patch.setattr(
        "engine.worker.recovery._another_has_done_it", lambda entry, _, held: held.release(entry.vm)
    )


def what_departs_is_listed(patch: Patch) -> None:
    """Who is told of all VMs is told of those, too, that may be another host's by now."""
    patch.setattr(Journal, "is_leaving", lambda *_: False)


def handover_is_not_noted(patch: Patch) -> None:
    """Nobody knows after a crash on which side of the third synchronisation point a migration was."""
    patch.setattr(Journal, "note_handover", lambda *_: None)


def what_is_announced_stays(patch: Patch) -> None:
    """Metadata that a source has sent ahead stay at its destination until it takes them back itself."""
    patch.setattr(Journal, "announced", lambda _: [])


def destination_is_not_asked(patch: Patch) -> None:
    """A source that has lost its connection goes on with the VM."""
    patch.setattr("engine.migrate.source.fate_of", lambda *_: Fate.GIVEN_UP)


def name_that_could_not_be_taken_is_not(patch: Patch) -> None:
    """A VM that has arrived bears its arriving id for good when that cannot be changed at once."""
    patch.setattr("engine.migrate.stay.TRIES_TIMEOUT_S", 0.0)
    patch.setattr(JournalEntry, "is_overdue", False)


def no_such_ticket_is_a_bug(patch: Patch) -> None:
    """A worker does not expect that the frontend at which a source waits was started anew."""

    def join(network: Network, where: str, ticket: str) -> Channel:
        try:
            return connect.join(network, where, ticket)
        except connect.TicketError as error:
            raise LookupError(ticket) from error

    patch.setattr("engine.migrate.destination.join", join)


OF_MIGRATIONS: dict[Mutation, int | str] = {
    who_left_is_not_told: "a-vm-that-has-left-while-its-migration-failed",
    who_fails_at_last_has_the_vm: "a-destination-whose-disk-is-full-when-it-takes-over",
    who_does_not_answer_has_the_vm: "a-destination-that-is-away-for-longer-than-its-source-asks",
    what_is_left_over_stays: "left-over-at-a-source-whose-worker-is-started-anew",
    name_is_taken_back_once: "a-full-disk-when-a-vm-takes-its-name-back",
    who_has_gone_on_never_arrived: "gone-on-before-its-source-asked",
    two_put_right_at_once: "put-right-by-two-at-once-once-it-was-handed-over",
    what_departs_is_listed: "xapi-started-while-a-vm-is-kept",
    handover_is_not_noted: "its-source-dies-once-it-has-handed-over",
    what_is_announced_stays: "announced-by-a-source-that-dies-for-good",
    destination_is_not_asked: "its-destination-dies-once-it-has-taken-over",
    no_such_ticket_is_a_bug: "an-arrival-at-a-frontend-that-knows-no-such-ticket",
    name_that_could_not_be_taken_is_not: "a-destination-started-anew-while-its-disk-is-full",
}
"""Each with a seed or a file under `failures` that shows it."""
