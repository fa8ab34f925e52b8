"""Rules: what a guest's interface lets pass, whichever of its ends in the control domain it takes."""

from engine.hosted.port_rules import PortRules, port_rules
from schema.objects.vif import Vif


def rules_of(interface: str, vif: Vif) -> PortRules:
    """What may pass, but for the rate of what the guest sends, which netback keeps."""
    return port_rules(interface, vif.model_copy(update={"rate": None}))
