"""Stage: all that a scenario is played on, as whoever looks at it sees it: its hosts and its client."""

from dataclasses import dataclass

from simulation.client import Client
from simulation.scenario import Scenario
from simulation.site import Site


@dataclass(frozen=True, slots=True)
class Stage:
    """Of one scenario."""

    scenario: Scenario
    sites: tuple[Site, ...]
    client: Client
