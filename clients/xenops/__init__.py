"""The typed xenops client: `connect` to an instance, call it, wait for its tasks and events."""

from schema.fault import XenopsError

from xenops.client import Client, connect
from xenops.events import WaitTimeoutError, event_wait, wait_for_task

__all__ = ["Client", "WaitTimeoutError", "XenopsError", "connect", "event_wait", "wait_for_task"]
