"""The simulator: a backend in full, whose hypervisor is a file or this process's memory."""

from engine.simulator.backend import Simulator
from engine.simulator.faults import Crash, Delay, Fail, Fault, Hang, parse_faults
from engine.simulator.settings import Guest, SimulatorSettings

__all__ = [
    "Crash",
    "Delay",
    "Fail",
    "Fault",
    "Guest",
    "Hang",
    "Simulator",
    "SimulatorSettings",
    "parse_faults",
]
