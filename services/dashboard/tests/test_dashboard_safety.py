"""What operators may do, and what not now; sessions and tokens; whether anybody is deaf."""

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from bus.ports import BrokerSeen
from dashboard import pulse
from dashboard.fold.workers import WorkerSeen
from dashboard.operators import Doorkeeper, Operator, OperatorRole, TokensError, check_private, tokens_text
from dashboard.safety import Action, UnknownError, UnsafeError, Verb, check, check_message
from dashboard.sessions import AGE_S, IDLE_S, SESSIONS_MAX, Sessions
from log_in_hand import VM, WORKER, Hand
from page_in_hand import message
from schema import records
from schema.ids import VmId, WorkerName
from schema.objects.lane import Worker
from schema.objects.quarantine import Quarantine

ALICE, BOB = Operator("alice", OperatorRole.OPERATOR), Operator("bob", OperatorRole.READER)
SECRET, OTHER = "a" * 40, "b" * 40


def refused(hand: Hand, action: Action) -> str:
    with pytest.raises((UnsafeError, UnknownError)) as caught:
        check(action, hand.fold)
    return str(caught.value)


def test_what_waits_may_be_discarded_prioritised_and_given_a_deadline() -> None:
    hand = Hand()
    task = str(hand.submit())
    for verb, number in (
        (Verb.DISCARD, None),
        (Verb.PRIORITISE, 5.0),
        (Verb.DEADLINE, None),
        (Verb.CANCEL, None),
    ):
        check(Action(verb, task, number), hand.fold)
    assert "from -1000 to 1000" in refused(hand, Action(Verb.PRIORITISE, task, 1001.0))
    assert "at most" in refused(hand, Action(Verb.DEADLINE, task, -1.0))


def test_what_runs_may_be_cancelled_until_the_point_of_no_return() -> None:
    hand = Hand()
    hand.elect()
    task = hand.submit()
    token = hand.lease(task)
    assert "w runs it" in refused(hand, Action(Verb.DISCARD, str(task)))
    check(Action(Verb.CANCEL, str(task)), hand.fold)
    hand.read(records.Progress(vm=VM, task=task, token=token, fraction=0.5, cancellable=False))
    assert "point of no return" in refused(hand, Action(Verb.CANCEL, str(task)))
    hand.finish(task)
    assert "has ended (done)" in refused(hand, Action(Verb.CANCEL, str(task)))


def test_what_was_merged_is_not_discarded() -> None:
    hand = Hand()
    hand.elect()
    first, second = hand.submit(), hand.submit()
    hand.read(records.Merged(vm=VM, task=second, into=first, term=hand.term))
    assert f"merged into {first}" in refused(hand, Action(Verb.DISCARD, str(second)))


@pytest.mark.parametrize("task", ["99", "x", "-1", "9" * 30, "٣", ""])
def test_a_task_that_nobody_knows_is_none(task: str) -> None:
    assert "there is no task" in refused(Hand(), Action(Verb.CANCEL, task))


def test_lanes_may_be_held_if_a_vm_can_be_called_so() -> None:
    check(Action(Verb.HOLD, "any-vm"), Hand().fold)
    assert "can be called" in refused(Hand(), Action(Verb.RELEASE, "../etc"))


def test_the_last_worker_is_drained_by_force_only() -> None:
    hand = Hand()
    hand.up()
    assert "by force" in refused(hand, Action(Verb.DRAIN, WORKER))
    check(Action(Verb.DRAIN, WORKER, force=True), hand.fold)
    hand.up(WorkerName("w2"))
    check(Action(Verb.DRAIN, WORKER), hand.fold)
    check(Action(Verb.UNDRAIN, WORKER), hand.fold)
    for verb in (Verb.DRAIN, Verb.UNDRAIN):
        assert "there is no worker" in refused(hand, Action(verb, "never"))


def test_what_is_written_down_says_how() -> None:
    assert Action(Verb.PRIORITISE, "1", 5.0).said == "prioritise 5"
    assert Action(Verb.DRAIN, "w", force=True).said == "drain by force"


def test_a_session_is_over_when_nobody_uses_it_or_after_a_day() -> None:
    sessions = Sessions()
    sessions.begin(ALICE, ("s", "k"), 0.0)
    assert sessions.find("s", IDLE_S) is not None
    assert sessions.find("s", 2 * IDLE_S) is not None
    assert sessions.find("s", 3 * IDLE_S + 1) is None
    assert sessions.find("s", 3 * IDLE_S + 1) is None
    sessions.begin(ALICE, ("t", "k"), 0.0)
    now = 0.0
    while now < AGE_S:
        assert sessions.find("t", now) is not None
        now += IDLE_S
    assert sessions.find("t", AGE_S + 1) is None
    sessions.begin(ALICE, ("u", "k"), 0.0)
    sessions.end("u")
    sessions.end("u")
    assert len(sessions) == 0


def test_the_oldest_session_makes_room() -> None:
    sessions = Sessions()
    for number in range(SESSIONS_MAX + 1):
        sessions.begin(ALICE, (str(number), "k"), 0.0)
    assert sessions.find("0", 0.0) is None
    assert len(sessions) == SESSIONS_MAX


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_token_is_known_until_its_line_is_gone(tmp_path: Path) -> None:
    path = written(tmp_path / "tokens", tokens_text([(ALICE, SECRET), (BOB, OTHER)]))
    keeper = Doorkeeper(path)
    assert keeper.who(SECRET) == ALICE
    assert ALICE.acts
    assert keeper.who(OTHER) == BOB
    assert not BOB.acts
    assert keeper.who("") is None
    assert keeper.who("c" * 40) is None
    written(path, tokens_text([(BOB, OTHER)]))
    os.utime(path, (1, 1))
    assert keeper.who(SECRET) is None
    assert not keeper.knows(ALICE)
    assert keeper.knows(BOB)
    path.unlink()
    with pytest.raises(TokensError, match="cannot be read"):
        keeper.who(OTHER)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no token in it"),
        ("alice operator short", "at least 32"),
        (f"alice boss {SECRET}", "reader or operator"),
        (f"alice operator {SECRET} more", "NAME ROLE SECRET"),
        (f"../x operator {SECRET}", "a name has"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_without_saying_what_stands_there(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(TokensError, match=words) as caught:
        Doorkeeper(written(tmp_path / "tokens", text))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("mode", [0o660, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(TokensError, match="chmod 600"):
        Doorkeeper(written(tmp_path / "tokens", tokens_text([(ALICE, SECRET)]), mode))


@pytest.mark.parametrize(
    ("mode", "owner", "fine"), [(0o440, 0, True), (0o460, 0, False), (0o440, 1000, False)]
)
def test_systemds_credentials_are_private_though_their_mode_names_roots_group(
    tmp_path: Path, mode: int, owner: int, *, fine: bool
) -> None:
    found = os.stat_result((0o100000 | mode, 1, 1, 1, owner, 0, 100, 0, 0, 0))
    with nullcontext() if fine else pytest.raises(TokensError):
        check_private(found, tmp_path)


def test_a_folder_is_no_file_of_tokens(tmp_path: Path) -> None:
    with pytest.raises(TokensError, match="plain file"):
        Doorkeeper(tmp_path)


def test_we_are_ready_while_our_words_come_by() -> None:
    one = pulse.Pulse()
    assert "no word of ours" in one.trouble(0.0)
    number = one.write(0.0)
    one.hear(number, 0.25)
    one.hear(number, 9.0)  # once more: known
    assert (one.trouble(1.0), one.took_s) == ("", 0.25)
    assert "came by" in one.trouble(0.25 + pulse.DEAF_S + 1)
    for at in range(100):
        one.write(float(at))
    assert len(one._written) <= 2 * pulse.DEAF_S + 1


def told(silent_s: float) -> Worker:
    return Worker(worker="w", state="up", capacity=1, busy=0, leases=0, silent_s=silent_s)


def test_services_that_are_deaf_are_told_from_those_that_are_not() -> None:
    heard = (WorkerSeen("w", up=True, heard_at=99.0), WorkerSeen("gone", heard_at=0.0))
    assert pulse.of_hub(0.01).state == "ok"
    assert pulse.of_hub(2.0).state == "slow"
    assert pulse.of_redirector([told(1.5)], heard, 0.1, 100.0).state == "ok"
    deaf = pulse.of_redirector([told(60.0)], heard, 0.1, 100.0)
    assert (deaf.state, "w" in deaf.said) == ("slow", True)
    assert pulse.of_workers(heard, 100.0).state == "ok"
    assert pulse.of_workers(heard, 100.0).said == f"{heard[0].name} is up"
    assert pulse.of_workers([heard[0], replace(heard[0], name=WorkerName("w2"))], 100.0).said == "2 are up"
    assert pulse.of_workers(heard, 200.0).state == "slow"
    assert pulse.of_workers((), 200.0).state == "out"


def test_the_broker_is_shown_with_its_version_and_with_what_is_wrong() -> None:
    seen = BrokerSeen("RabbitMQ 3.10.8", "h:5672")
    assert pulse.of_broker(seen) == pulse.Health("broker", "ok", "RabbitMQ 3.10.8 at h:5672")
    lost = pulse.of_broker(replace(seen, trouble="connection refused"))
    assert (lost.state, "connection refused" in lost.said) == ("out", True)
    full = pulse.of_broker(replace(seen, blocked="low on disk"))
    assert (full.state, "low on disk" in full.said) == ("slow", True)


def test_a_vm_name_is_any_that_is_safe() -> None:
    check(Action(Verb.HOLD, VmId("a.b-c_d")), Hand().fold)


def test_a_message_is_retried_if_it_counts_and_discarded_once() -> None:
    told = Quarantine(total=2, records=(message(4), message(5, reads=False, done="discarded")))
    check_message(Action(Verb.RETRY_MESSAGE, "org.xen.lab@4"), told)
    check_message(Action(Verb.DISCARD_MESSAGE, "org.xen.lab@4"), told)
    refusals = {
        (Verb.RETRY_MESSAGE, "org.xen.lab@5"): "does not count",
        (Verb.DISCARD_MESSAGE, "org.xen.lab@5"): "discarded by bob already",
        (Verb.RETRY_MESSAGE, "org.xen.lab@6"): "not among the 2",
        (Verb.DISCARD_MESSAGE, "4"): "not among the 2",
    }
    for (verb, subject), words in refusals.items():
        with pytest.raises((UnsafeError, UnknownError), match=words):
            check_message(Action(verb, subject), told)
