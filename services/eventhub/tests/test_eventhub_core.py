"""The event hub's core: what is answered, when, to whom, byte for byte."""

import json

import pytest
from bus.ports import Request
from eventhub import core, tokens
from eventhub.calls import GET_WAIT_S_MAX
from eventhub.updates import BARRIERS_MAX
from hub_in_hand import DONE, VM, WORKER, XVDA, Hub, changed, finished
from schema import records
from schema.ids import LeaseToken, Term
from schema.objects.dynamic import TaskObject, VmObject
from schema.rpc import encode_request


@pytest.fixture
def hub() -> Hub:
    return Hub()


def test_task_stat_answers_as_the_original_does(hub: Hub) -> None:
    task = hub.submit()
    assert hub.ask("a", "Task.stat", id=str(task)) == (
        b'{"result":{"cancellable":true,"backtrace":"()","debug_info":{"cancel_points_seen":"0"},"subtasks":{},'
        b'"state":["Pending",0.0],"ctime":0.0,"dbg":"lab","id":"0"},"error":null,"id":0}'
    )
    hub.read(finished(task))
    answer = json.loads(hub.ask("b", "Task.stat", id=str(task)) or b"")
    assert answer["result"]["state"] == ["Completed", {"duration": 0.0}]


@pytest.mark.parametrize("method", ["Task.stat", "Task.cancel", "Task.destroy", "Task.destroy_on_finish"])
def test_an_unknown_task_does_not_exist_once_the_log_cannot_have_it(hub: Hub, method: str) -> None:
    assert hub.ask("a", method, id="999999") is None
    hub.pass_time(core.BEHIND_WAIT_S - 0.1)
    assert hub.answers == {}
    hub.pass_time(0.1)
    assert hub.answers["a"] == b'{"result":null,"error":["Does_not_exist",["task","999999"]],"id":0}'


@pytest.mark.parametrize("task", ["", "007", "x", "-1", "9" * 4000, "\u0663", "1"])
def test_what_can_be_no_task_does_not_exist_at_once(hub: Hub, task: str) -> None:
    hub.read(*[changed()] * 8)
    body = hub.ask("a", "Task.stat", id=task)
    assert body == f'{{"result":null,"error":["Does_not_exist",["task","{task}"]],"id":0}}'.encode()


def test_task_stat_waits_until_the_tasks_own_entry_is_read(hub: Hub) -> None:
    assert hub.ask("a", "Task.stat", id="1") is None
    hub.read(changed())
    assert hub.answers == {}
    hub.submit()
    assert json.loads(hub.answers["a"])["result"]["id"] == "1"


@pytest.mark.parametrize("method", ["Task.stat", "Task.cancel"])
def test_of_a_log_that_may_be_lost_no_end_is_told_before_it_is_found_again(hub: Hub, method: str) -> None:
    task = hub.submit()
    hub.read(finished(task))
    hub.core.on_log(sure=False)
    assert hub.ask("a", method, id=str(task)) is None
    hub.pass_time(core.BEHIND_WAIT_S)
    assert (hub.answers, hub.appended) == ({}, [])
    hub.core.on_log(sure=True)
    hub.pass_time(0.1)
    assert hub.answers["a"] == hub.ask("b", method, id=str(task))


def test_nor_is_it_told_that_a_task_is_none(hub: Hub) -> None:
    hub.read(*[changed()] * 8)
    hub.core.on_log(sure=False)
    assert hub.ask("a", "Task.stat", id="3") is None
    hub.core.on_log(sure=True)
    hub.pass_time(0.1)
    assert b"Does_not_exist" in hub.answers["a"]


def test_what_has_not_ended_may_be_told_and_who_has_waited_for_long_is_told_what_was_known(hub: Hub) -> None:
    ended, task = hub.submit(), hub.submit()
    hub.read(finished(ended))
    hub.core.on_log(sure=False)
    assert b"Pending" in (hub.ask("a", "Task.stat", id=str(task)) or b"")
    assert hub.ask("b", "Task.stat", id=str(ended)) is None
    hub.pass_time(core.START_WAIT_S)
    assert b"Completed" in hub.answers["b"]


def test_tasks_are_listed(hub: Hub) -> None:
    hub.submit()
    hub.submit()
    assert [task["id"] for task in json.loads(hub.ask("a", "Task.list") or b"")["result"]] == ["0", "1"]


def test_a_cancel_is_answered_when_it_stands_in_the_log(hub: Hub) -> None:
    task = hub.submit()
    assert hub.ask("a", "Task.cancel", id=str(task)) is None
    assert hub.appended == [records.CancelRequested(vm=VM, task=task, by="lab")]
    hub.read_own()
    assert hub.answers["a"] == DONE


def test_a_finished_task_is_not_cancelled_any_more(hub: Hub) -> None:
    task = hub.submit()
    hub.read(finished(task))
    assert hub.ask("a", "Task.cancel", id=str(task)) == DONE
    assert hub.appended == []


def test_equal_wishes_become_one_record(hub: Hub) -> None:
    task = hub.submit()
    hub.ask("a", "Task.cancel", id=str(task))
    hub.ask("b", "Task.cancel", id=str(task))
    assert len(hub.appended) == 1
    hub.read_own()
    assert hub.answers == {"a": DONE, "b": DONE}


def test_a_destroyed_task_is_gone_once_it_is_answered(hub: Hub) -> None:
    task = hub.submit()
    hub.ask("a", "Task.destroy_on_finish", id=str(task))
    assert hub.appended == [records.TaskDestroyed(vm=VM, task=task, on_finish=True)]
    hub.read_own()
    hub.ask("b", "Task.destroy", id=str(task))
    hub.read_own()
    assert hub.answers == {"a": DONE, "b": DONE}
    assert b"Does_not_exist" in (hub.ask("c", "Task.stat", id=str(task)) or b"")


def test_a_wish_that_cannot_be_appended_is_refused_with_the_reason(hub: Hub) -> None:
    hub.ask("a", "UPDATES.remove_barrier", id=7)
    hub.perform(hub.core.on_append_failed(hub.appended[0], "the broker is full"))
    assert b"the broker is full" in hub.answers["a"]
    assert hub.core.on_append_failed(hub.appended[0], "twice") == []


def test_a_wish_that_is_never_read_back_is_answered_in_bounded_time(hub: Hub) -> None:
    hub.ask("a", "UPDATES.remove_barrier", id=7)
    hub.pass_time(core.WRITE_WAIT_S)
    assert b"look, and ask again" in hub.answers["a"]


def test_updates_come_in_the_order_of_change_with_the_task_last(hub: Hub) -> None:
    task = hub.submit()
    hub.read(changed(), finished(task))
    assert hub.get("a", None) == ((), (VmObject(id=VM), XVDA, TaskObject(id="0")), 3)


def test_what_starts_and_progresses_is_told(hub: Hub) -> None:
    task = hub.submit()
    hub.read(
        records.Elected(redirector="r"),
        records.Leased(vm=VM, task=task, worker=WORKER, term=Term(1)),
        records.Started(vm=VM, task=task, token=LeaseToken(2), worker=WORKER, changed=(VmObject(id=VM),)),
        records.Progress(vm=VM, task=task, token=LeaseToken(2), fraction=0.5, changed=(XVDA,)),
    )
    assert hub.get("a", None)[1] == (VmObject(id=VM), XVDA, TaskObject(id="0"))


def test_get_waits_for_news_and_is_woken_once_for_a_batch(hub: Hub) -> None:
    hub.read(changed())
    token = hub.get("a", None)[2]
    assert hub.get("b", token) is None
    assert hub.get("c", token) is None
    sent = hub.sent
    hub.read(changed(XVDA), records.Heartbeat(worker=WORKER), changed())
    assert hub.told("b") == ((), (XVDA, VmObject(id=VM)), 4)
    assert hub.answers["c"] == hub.answers["b"]
    assert hub.sent == sent + 1


def test_what_changes_nothing_wakes_nobody(hub: Hub) -> None:
    assert hub.get("a", None) is None
    hub.read(records.Heartbeat(worker=WORKER))
    assert hub.told("a") is None


def test_get_without_news_ends_with_its_time_and_the_same_token(hub: Hub) -> None:
    hub.read(changed())
    token = hub.get("a", None)[2]
    assert hub.get("now", token, timeout=0) == ((), (), token)
    assert hub.get("b", token, timeout=1) is None
    hub.pass_time(0.9)
    assert hub.told("b") is None
    hub.pass_time(0.2)
    assert hub.told("b") == ((), (), token)


def test_who_has_waited_less_waits_on(hub: Hub) -> None:
    hub.get("a", None, timeout=1)
    hub.get("b", None, timeout=2)
    hub.pass_time(1)
    assert (hub.told("a"), hub.told("b")) == (((), (), 0), None)
    hub.pass_time(1)
    assert hub.told("b") == ((), (), 0)


def test_get_without_a_timeout_ends_some_day(hub: Hub) -> None:
    assert hub.get("a", None, timeout=None) is None
    hub.pass_time(GET_WAIT_S_MAX + 1)
    assert hub.told("a") == ((), (), 0)


def test_a_token_that_another_replica_gave_a_moment_ago_waits_for_this_one(hub: Hub) -> None:
    hub.read(changed())
    assert hub.get("a", 2) is None
    hub.read(changed(XVDA), changed())
    assert hub.told("a") == ((), (VmObject(id=VM),), 3)


def test_a_token_beyond_the_log_gives_everything_never_silence(hub: Hub) -> None:
    hub.read(changed())
    assert hub.get("a", 1_000_000) is None
    hub.pass_time(core.BEHIND_WAIT_S)
    assert hub.told("a") == ((), (VmObject(id=VM),), 1)


def test_a_token_from_another_life_of_the_log_gives_everything() -> None:
    hub = Hub()
    hub.at = 1_795_385_700.0
    hub.read(changed(), changed(XVDA))
    later = Hub()
    later.at = 1_795_390_000.0
    later.read(changed(), changed(), changed())
    token = hub.get("a", None)[2]
    assert tokens.place_of(0, token) is None
    assert later.get("b", token)[1] == (VmObject(id=VM),)


def test_the_first_token_of_the_original_means_everything(hub: Hub) -> None:
    hub.read(changed())
    assert hub.get("a", 0)[1] == (VmObject(id=VM),)


def test_last_id_is_the_token_of_the_last_change(hub: Hub) -> None:
    assert hub.ask("a", "UPDATES.last_id") == b'{"result":0,"error":null,"id":0}'
    hub.read(changed(), records.Heartbeat(worker=WORKER))
    assert hub.ask("b", "UPDATES.last_id") == b'{"result":1,"error":null,"id":0}'


def test_a_barrier_comes_before_the_rest_until_it_is_removed(hub: Hub) -> None:
    hub.read(changed(XVDA))
    hub.ask("a", "UPDATES.inject_barrier", vm_id=VM, id=77)
    assert hub.appended == [records.Barrier(vm=VM, barrier=77)]
    hub.read_own()
    assert hub.answers["a"] == DONE
    assert hub.get("b", None) == (((77, (XVDA,)),), (XVDA,), 2)
    hub.ask("c", "UPDATES.remove_barrier", id=77)
    hub.read_own()
    assert hub.get("d", None) == ((), (XVDA,), 2)


def test_a_name_that_can_be_no_vm_gets_no_barrier(hub: Hub) -> None:
    body = hub.ask("a", "UPDATES.inject_barrier", vm_id="../etc", id=1)
    assert body == b'{"result":null,"error":["Does_not_exist",["VM","../etc/config"]],"id":0}'


def test_barriers_have_a_limit(hub: Hub) -> None:
    hub.read(*(records.Barrier(vm=VM, barrier=number) for number in range(BARRIERS_MAX)))
    assert b"UPDATES.remove_barrier" in (hub.ask("a", "UPDATES.inject_barrier", vm_id=VM, id=1) or b"")


def test_refresh_tells_all_of_a_vms_objects(hub: Hub) -> None:
    hub.read(changed(XVDA, VmObject(id=VM)))
    hub.ask("a", "UPDATES.refresh_vm", id=VM)
    assert hub.appended == [records.Changed(vm=VM, changed=(VmObject(id=VM), XVDA))]
    assert hub.ask("b", "UPDATES.refresh_vm", id="unknown") == DONE


def test_a_removed_vm_is_told_to_who_waits(hub: Hub) -> None:
    hub.read(changed(XVDA, VmObject(id=VM)))
    hub.get("a", 1)
    hub.read(records.Removed(vm=VM))
    assert hub.told("a") == ((), (VmObject(id=VM),), 2)


def test_requests_that_come_before_the_log_is_read_wait_for_it() -> None:
    hub = Hub(live=False)
    assert hub.ask("a", "Task.list") is None
    hub.read(changed())
    assert hub.answers == {}
    hub.pass_time(1)
    hub.perform(hub.core.on_live(hub.now))
    assert hub.answers["a"] == b'{"result":[],"error":null,"id":0}'


def test_requests_do_not_wait_for_ever_for_the_log_to_be_read() -> None:
    hub = Hub(live=False)
    hub.ask("a", "Task.list")
    hub.pass_time(core.START_WAIT_S)
    assert b"ask again later" in hub.answers["a"]


def test_too_many_that_wait_are_told_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "WAITING_MAX", 1)
    hub.get("a", None)
    assert b"ask again later" in (hub.ask("b", "UPDATES.get", last_id=None, timeout=30) or b"")
    assert b"ask again later" in (hub.ask("c", "Task.stat", id="7") or b"")
    assert hub.ask("d", "Task.list") == b'{"result":[],"error":null,"id":0}'


def test_a_malformed_request_is_answered_in_the_originals_words(hub: Hub) -> None:
    hub.perform(hub.core.on_request(Request(b"{", "a", "a"), hub.now))
    assert hub.answers["a"]
    assert hub.core.on_request(Request(b"{"), hub.now) == []


def test_a_method_of_another_service_is_refused(hub: Hub) -> None:
    assert b"does not serve it" in (hub.ask("a", "VM.exists", id=VM) or b"")


def test_nobody_is_answered_who_did_not_say_where(hub: Hub) -> None:
    for method in ("Task.list", "UPDATES.get"):
        params = {} if method == "Task.list" else {"last_id": None, "timeout": 5}
        body = encode_request(method, debug_info="lab", **params)
        assert hub.core.on_request(Request(body), hub.now) == []


def test_a_wish_of_one_whose_name_is_no_text_stands_in_the_log(hub: Hub) -> None:
    task = hub.submit()
    body = encode_request("Task.cancel", debug_info="ops \udcff", id=str(task))
    hub.perform(hub.core.on_request(Request(body, "a", "a"), hub.now))
    assert hub.appended == [records.CancelRequested(vm=VM, task=task, by="ops \\udcff")]
    hub.read_own()
    assert hub.answers["a"] == DONE


def test_a_wish_that_waits_keeps_back_no_news_of_a_task_whose_result_is_an_object(hub: Hub) -> None:
    task = hub.submit()
    assert hub.ask("a", "UPDATES.remove_barrier", id=1) is None
    hub.read(records.Finished(vm=VM, task=task, outcome=records.Succeeded(result={"a": 1})))
    assert json.loads(hub.ask("b", "Task.stat", id=str(task)) or b"")["result"]["state"][0] == "Completed"
    hub.read_own()
    assert hub.answers["a"] == DONE
