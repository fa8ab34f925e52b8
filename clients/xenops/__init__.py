"""The typed xenops client: `connect` to an instance, call it, wait for its tasks and events."""

from schema.fault import XenopsError

from xenops.client import Client, connect
from xenops.events import WaitTimeoutError, event_wait, wait_for_task
from xenops.log import Log, open_log

__all__ = [
    "Client",
    "Log",
    "WaitTimeoutError",
    "XenopsError",
    "connect",
    "event_wait",
    "open_log",
    "wait_for_task",
]
