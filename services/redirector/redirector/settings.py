"""Settings: where a redirector connects to, and its limits, from environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass

from bus.process import ServiceSettings, SettingsError
from bus.process import from_environment as bus_settings

from redirector.limits import Limits


@dataclass(frozen=True, slots=True)
class Settings(ServiceSettings):
    """A service on the bus, and its limits."""

    limits: Limits


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings of a process.

    Raises:
        SettingsError: a variable is missing, or is no number above zero where one is needed.
    """
    usual = Limits()
    limits = Limits(
        lane_tasks_max=int(_positive(environment, "XENOPS_LANE_TASKS_MAX", usual.lane_tasks_max)),
        instance_tasks_max=int(_positive(environment, "XENOPS_INSTANCE_TASKS_MAX", usual.instance_tasks_max)),
        worker_silence_s=_positive(environment, "XENOPS_WORKER_SILENCE_S", usual.worker_silence_s),
        worker_answer_s=_positive(environment, "XENOPS_WORKER_ANSWER_S", usual.worker_answer_s),
    )
    return Settings(bus_settings(environment), limits)


def _positive(environment: Mapping[str, str], name: str, usual: float) -> float:
    text = environment.get(name, "")
    if not text:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1.0 <= value <= 1e9:
        raise SettingsError(f"{name} is {text!r}: give a number from 1 to 1000000000 (default {usual:g})")
    return value
