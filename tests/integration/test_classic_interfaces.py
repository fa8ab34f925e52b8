"""What interfaces on classic let pass: the control domain is told before any frame."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from engine.conformance.execution import SuiteExecution
from engine.conformance.subject import Life, make_life, refusal
from engine.hosted.port_rules import RATE_TO_GUEST, PortRules, port_rules
from hvm_in_hand import have_programs
from schema.objects.errors import InternalError
from schema.objects.network import LocalNetwork
from schema.objects.vif import Autoconf6, Dhcp4, Locked, LockedAddresses, Static4, Unlocked, Unspecified4, Vif
from test_classic_conformance import ClassicHvmSubject, ClassicSubject, standing
from test_classic_deaths import make_subject, nothing_is_left

__all__ = ["make_subject", "nothing_is_left"]

LOCKED = Locked(addresses=LockedAddresses(ipv4=("10.9.0.1",), ipv6=()))


@pytest.fixture(name="life")
def start(subject: ClassicSubject) -> Life:
    """Its interface is open."""
    life = make_life(subject)
    life.start()
    assert not subject.host.rules
    return life


def rules_of(subject: ClassicSubject, life: Life, vif: Vif) -> PortRules:
    domid = subject.backend.vm.get_state(life.vm).domids[0]
    return subject.host.rules[f"vif{domid}.{vif.position}"]


def test_an_interface_is_locked_and_opened_while_the_guest_runs(subject: ClassicSubject, life: Life) -> None:
    vif, verbs = life.devices.vifs[0], subject.backend.vif
    verbs.set_locking_mode(SuiteExecution(), life.id, vif, LOCKED)
    assert rules_of(subject, life, vif).mode == LOCKED
    verbs.set_trunks(SuiteExecution(), life.id, vif, (10, 20))
    assert rules_of(subject, life, vif).trunks == (10, 20)
    assert rules_of(subject, life, vif).mode == LOCKED
    verbs.set_locking_mode(SuiteExecution(), life.id, vif, Unlocked())
    verbs.set_trunks(SuiteExecution(), life.id, vif, ())
    assert rules_of(subject, life, vif).is_open
    subject.host.rules.clear()
    life.stop()
    verbs.set_locking_mode(SuiteExecution(), life.id, vif, LOCKED)
    assert not subject.host.rules


def test_one_that_comes_locked_is_so_from_the_beginning(subject: ClassicSubject, life: Life) -> None:
    """netback keeps the rate of what the guest sends; of what it gets, the rules."""
    vif = subject.make_vif(life.vm, 1).model_copy(
        update={"locking_mode": LOCKED, "rate": (1000, 50_000), "other_config": ((RATE_TO_GUEST, "7"),)}
    )
    subject.backend.vif.plug(SuiteExecution(), life.id, vif)
    wanted = replace(port_rules("", vif), rate=None)
    assert replace(rules_of(subject, life, vif), tap="") == wanted
    life.stop()


def test_addresses_that_make_no_sense_change_nothing(subject: ClassicSubject, life: Life) -> None:
    wrong = Locked(addresses=LockedAddresses(ipv4=("10.9.0.0/24",), ipv6=()))
    vif = life.devices.vifs[0]
    error = refusal(lambda: subject.backend.vif.set_locking_mode(SuiteExecution(), life.id, vif, wrong))
    assert isinstance(error, InternalError)
    another = subject.make_vif(life.vm, 1).model_copy(update={"locking_mode": wrong})
    assert isinstance(
        refusal(lambda: subject.backend.vif.plug(SuiteExecution(), life.id, another)), InternalError
    )
    assert not subject.host.rules
    assert not subject.backend.vif.get_state(life.id, another).plugged
    life.stop()


def test_a_guests_agent_finds_which_addresses_an_interface_shall_have(
    subject: ClassicSubject, life: Life
) -> None:
    vif, verbs, store = life.devices.vifs[0], subject.backend.vif, subject.host.store
    domid = subject.backend.vm.get_state(life.vm).domids[0]
    path = f"/local/domain/{domid}/xenserver/device/vif/0/static-ip-setting"
    verbs.set_ipv4_configuration(
        SuiteExecution(), life.id, vif, Static4(addresses=("192.0.2.1/24",), gateway="192.0.2.254")
    )
    verbs.set_ipv6_configuration(SuiteExecution(), life.id, vif, Autoconf6())
    assert store.read(f"{path}/address") == b"192.0.2.1/24"
    assert store.read(f"{path}/enabled6") == b"2"
    verbs.set_ipv4_configuration(SuiteExecution(), life.id, vif, Dhcp4())
    assert store.read(f"{path}/enabled") == b"2"
    assert store.read(f"{path}/address") is None
    verbs.unplug(SuiteExecution(), life.id, vif, force=True)
    assert store.read(path) is None
    another = vif.model_copy(update={"ipv4_configuration": Dhcp4()})
    verbs.plug(SuiteExecution(), life.id, another)
    assert store.read(f"{path}/enabled") == b"2"
    verbs.set_ipv4_configuration(SuiteExecution(), life.id, another, Unspecified4())
    assert store.read(path) is None
    life.stop()


def test_a_guest_may_put_its_emulated_card_away_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    have_programs(tmp_path, monkeypatch)
    with standing("xenstored", ClassicHvmSubject, tmp_path) as subject:
        life, verbs = make_life(subject), subject.backend.vif
        life.start()
        vif, (domid,) = life.devices.vifs[0], subject.backend.vm.get_state(life.vm).domids
        verbs_of_its_end: tuple[Callable[[SuiteExecution], None], ...] = (
            lambda task: verbs.set_carrier(task, life.id, vif, carrier=False),
            lambda task: verbs.move(task, life.id, vif, LocalNetwork(bridge="xenbr1")),
            lambda task: verbs.set_locking_mode(task, life.id, vif, LOCKED),
            lambda task: verbs.unplug(task, life.id, vif, force=True),
        )
        for verb in verbs_of_its_end:
            subject.host.going.add(f"tap{domid}.0")
            verb(SuiteExecution())
            assert not subject.host.going, "the card was not even looked for"
        life.stop()
        subject.end_device_models()
