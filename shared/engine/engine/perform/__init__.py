"""Performing: one atomic, by the backend's verbs, with what the store says of the VM and its devices."""

from engine.perform.performer import Performer

__all__ = ["Performer"]
