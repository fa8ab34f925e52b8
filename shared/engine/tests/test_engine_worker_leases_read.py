from collections.abc import Iterator

import pytest
from engine.worker import leases_read
from engine.worker.leases_read import KNOWS_NOTHING, LeasesRead, ReadBefore
from engine.worker.snapshot import CoreState, decoded, encoded
from hypothesis import given
from hypothesis import strategies as st
from schema.ids import LeaseToken, Term, VmId

VMS = [VmId(name) for name in "abc"]
LOGS = st.lists(st.sampled_from(VMS), max_size=40)


def read(vms: list[VmId], into: LeasesRead, first: int = 0) -> Iterator[ReadBefore]:
    """A log that is nothing but leases of these VMs."""
    for place, vm in enumerate(vms, first):
        yield into.note(vm, LeaseToken(place))


@given(LOGS, st.integers(0, 40))
def test_of_a_log_that_was_read_no_lease_is_missed(vms: list[VmId], start: int) -> None:
    """Wherever the reading begins, as after an earlier version's snapshot."""
    for into in (LeasesRead(LeaseToken(start)), LeasesRead(None)):
        for place, before in enumerate(read(vms[start:], into, start), start):
            stood = [earlier for earlier in range(place) if vms[earlier] == vms[place]]
            assert not any(before.lacks(LeaseToken(token)) for token in stood)


@given(LOGS, st.integers(0, 40), st.integers(1, 5))
def test_a_lease_that_was_obeyed_and_stands_there_no_more_is_missed_by_the_first_after_the_loss(
    vms: list[VmId], cut: int, grown: int
) -> None:
    """The log ends at the cut, and grows beyond what it had; then one of the lost leases' VMs is leased."""
    into = LeasesRead(LeaseToken(0))
    list(read(vms[:cut], into))
    for vm in dict.fromkeys(vms[cut:]):
        lost = max(place for place, leased in enumerate(vms) if leased == vm)
        assert into.note(vm, LeaseToken(len(vms) + grown)).lacks(LeaseToken(lost))


def test_who_knows_nothing_misses_nothing() -> None:
    assert not KNOWS_NOTHING.lacks(LeaseToken(7))


def test_of_vms_leased_long_ago_it_is_known_that_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_read, "VMS_MAX", 2)
    into = LeasesRead(LeaseToken(0))
    list(read([*VMS, VMS[1], VMS[2]], into))
    assert not into.note(VMS[0], LeaseToken(9)).lacks(LeaseToken(0))
    assert into.note(VMS[2], LeaseToken(10)).lacks(LeaseToken(8))


def test_a_snapshot_has_it_in_lines_of_a_thousand_and_an_earlier_one_lacks_it() -> None:
    many = {VmId(f"vm{number}"): LeaseToken(number) for number in range(2_500)}
    state = CoreState(None, Term(0), {}, {}, frozenset(), {}, read=LeasesRead(LeaseToken(0), many))
    first, *others = encoded(state)
    assert len(others) == 3
    assert decoded([first, *others]).read == state.read
    earlier = first.replace(b',"read_since":0', b"")
    assert earlier != first
    assert decoded([earlier]).read == LeasesRead(None)
