"""The typed xenops client for asyncio: `connect` to an instance, await its calls, tasks and events."""

from xenops.aio.client import AsyncClient, connect
from xenops.aio.events import event_wait, wait_for_task

__all__ = ["AsyncClient", "connect", "event_wait", "wait_for_task"]
