"""Tapless: what cannot be kept of a VIF that has no tap of its own."""

from engine.hosted.port_rules import PortRules
from schema.fault import unimplemented


def refuse_unheld(rules: PortRules, what: str, *, has_tap: bool) -> None:
    """Rules hang on a tap; without one only none can be kept. Errors: `Unimplemented`."""
    if not (has_tap or rules.is_open):
        raise unimplemented(f"{what} in QEMU's own network")
