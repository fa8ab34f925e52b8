"""Planning: turns an operation and what is known of its VM into a plan, a value to be executed.

Planning reads no store and no clock. Order and content are the original's (`atomics_of_operation`), with
names of our own for groups; the golden texts in `tests/plans` show them all.
"""

from engine.plan.nodes import PARALLEL_MAX, BestEffort, Do, Parallel, Plan, Serial
from engine.plan.operations import plan
from engine.view import DeviceRequest, Situation, VmView

__all__ = [
    "PARALLEL_MAX",
    "BestEffort",
    "DeviceRequest",
    "Do",
    "Parallel",
    "Plan",
    "Serial",
    "Situation",
    "VmView",
    "plan",
]
