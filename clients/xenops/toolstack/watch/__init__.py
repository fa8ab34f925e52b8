"""Watch: following an instance, and waiting for what it does, without asking again and again."""

from xenops.toolstack.watch.waiters import TaskGoneError, WatcherStoppedError
from xenops.toolstack.watch.watcher import Handler, Watcher

__all__ = ["Handler", "TaskGoneError", "Watcher", "WatcherStoppedError"]
