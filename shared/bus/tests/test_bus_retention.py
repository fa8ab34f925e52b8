import pytest
from bus.retention import SEGMENT_BYTES, USUAL, Coverage, Retention, RetentionError, retention_from


def test_a_log_is_made_as_it_always_was_unless_told_otherwise() -> None:
    assert retention_from({}) == USUAL
    assert USUAL.arguments() == {
        "x-queue-type": "stream",
        "x-max-length-bytes": 20_000_000_000,
        "x-stream-max-segment-size-bytes": 100_000_000,
    }


def test_size_age_and_replicas_are_settings() -> None:
    environment = {
        "XENOPS_LOG_BYTES_MAX": "1000000000",
        "XENOPS_LOG_AGE_MAX": "30D",
        "XENOPS_LOG_REPLICAS": "3",
    }
    retention = retention_from(environment)
    assert retention == Retention(1_000_000_000, "30D", 3)
    arguments = retention.arguments()
    assert arguments["x-max-age"] == "30D"
    assert arguments["x-initial-cluster-size"] == 3


@pytest.mark.parametrize(
    "retention", [Retention(100_000_000), Retention(age_max="1h"), Retention(200_000_000, "1h")]
)
def test_a_small_log_or_one_kept_by_age_is_dropped_in_smaller_pieces(retention: Retention) -> None:
    assert retention.arguments()["x-stream-max-segment-size-bytes"] < SEGMENT_BYTES


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("XENOPS_LOG_BYTES_MAX", "99999999"),
        ("XENOPS_LOG_BYTES_MAX", "20GB"),
        ("XENOPS_LOG_AGE_MAX", "30"),
        ("XENOPS_LOG_AGE_MAX", "0D"),
        ("XENOPS_LOG_AGE_MAX", "5m"),
        ("XENOPS_LOG_REPLICAS", "0"),
        ("XENOPS_LOG_REPLICAS", "-1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(RetentionError, match=f"{name} is '{value}'"):
        retention_from({name: value})


def warned(places: dict[str, int], first: int, end: int) -> list[str]:
    coverage = Coverage()
    for service, place in places.items():
        coverage.note(service, place)
    return list(coverage.warnings(first, end))


def test_nobody_is_late_while_nothing_was_dropped() -> None:
    assert warned({"redirector": 0}, 0, 1_000_000) == []


def test_who_has_put_away_the_newer_part_of_what_is_kept_is_not_late() -> None:
    assert warned({"redirector": 900, "eventhub": 325}, 100, 1_000) == []


def test_who_has_put_away_only_the_oldest_is_warned_of() -> None:
    (warning,) = warned({"redirector": 900, "worker.w": 324}, 100, 1_000)
    assert warning.startswith("worker.w has put away the log up to 324 only")


def test_who_comes_too_late_is_told_what_a_start_means() -> None:
    (warning,) = warned({"eventhub": 99}, 100, 1_000)
    assert "has dropped all before 100" in warning


def test_an_older_snapshot_that_is_told_late_changes_nothing() -> None:
    coverage = Coverage()
    coverage.note("s", 900)
    coverage.note("s", 10)
    assert list(coverage.warnings(100, 1_000)) == []
