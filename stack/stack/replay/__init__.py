"""Replay: an exported log, read by a service's own core, without a broker: what it knew, and what it did."""

from stack.replay.reading import ReplayError, ServiceName, Wanted, replay

__all__ = ["ReplayError", "ServiceName", "Wanted", "replay"]
