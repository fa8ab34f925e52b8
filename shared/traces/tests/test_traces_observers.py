from typing import Any

import pytest
from schema.ids import VmId
from schema.records import ObserverChanged, ObserverCreated, ObserverDestroyed, Removed, TracingSet
from traces import Observer, Observers, Settings
from traces.observers import ENDPOINTS_MAX, OBSERVERS_MAX


def created(uuid: str = "u", **changes: Any) -> ObserverCreated:
    fields: dict[str, Any] = {
        "request_id": "r",
        "uuid": uuid,
        "name": "n",
        "attributes": (("a", "b"),),
        "endpoints": ("bugtool",),
        "enabled": True,
    }
    return ObserverCreated(**(fields | changes))


def changed(**changes: Any) -> ObserverChanged:
    return ObserverChanged(request_id="r", uuid="u", **changes)


@pytest.fixture(name="observers")
def with_one() -> Observers:
    observers = Observers()
    assert observers.apply(created()) is None
    return observers


def test_an_enabled_observer_is_to_be_served(observers: Observers) -> None:
    assert observers.enabled() == {"u": Observer("n", (("a", "b"),), ("bugtool",), enabled=True)}


def test_an_observer_without_endpoints_or_that_is_disabled_is_not(observers: Observers) -> None:
    observers.apply(changed(endpoints=()))
    assert observers.enabled() == {}
    observers.apply(changed(endpoints=("bugtool",), enabled=False))
    assert observers.enabled() == {}
    observers.apply(changed(enabled=True, attributes=()))
    assert observers.enabled()["u"] == Observer("n", (), ("bugtool",), enabled=True)


def test_an_observer_that_is_created_again_is_as_told_last(observers: Observers) -> None:
    assert observers.apply(created(name="m", attributes=())) is None
    assert observers.enabled()["u"].name == "m"


def test_a_change_of_an_unknown_observer_is_refused_in_the_originals_words(observers: Observers) -> None:
    assert observers.apply(ObserverDestroyed(request_id="r", uuid="u")) is None
    complaint = observers.apply(changed(enabled=True))
    assert complaint == 'Failure("The TracerProvider : u does not exist")'
    assert observers.enabled() == {}


def test_there_are_limits_that_say_so(observers: Observers) -> None:
    for number in range(OBSERVERS_MAX - 1):
        assert observers.apply(created(f"u{number}")) is None
    assert "destroy some first" in (observers.apply(created("one more")) or "")
    many = ("bugtool",) * (ENDPOINTS_MAX + 1)
    assert "at most" in (observers.apply(created(endpoints=many)) or "")
    assert "at most" in (observers.apply(changed(endpoints=many)) or "")
    assert len(observers.enabled()) == OBSERVERS_MAX


@pytest.mark.parametrize(
    ("asked", "kept"), [(5.0, 5.0), (0.0, 0.1), (-1.0, 0.1), (float("inf"), 86400.0), (float("nan"), 86400.0)]
)
def test_the_interval_is_one_that_can_be_waited_for(asked: float, kept: float) -> None:
    observers = Observers()
    observers.apply(TracingSet(request_id="r", setting="export_interval", value=asked))
    assert observers.settings == Settings(export_interval=kept)


def test_settings_and_records_of_a_newer_writer_are_passed_over() -> None:
    observers = Observers()
    observers.apply(TracingSet(request_id="r", setting="colour", value="red"))
    observers.apply(Removed(vm=VmId("v")))
    observers.apply(TracingSet(request_id="r", setting="host_id", value="h"))
    assert observers.settings == Settings(host_id="h")
