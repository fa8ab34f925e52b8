"""The event hub as a process: settings from the environment, the broker's bus, ends on SIGTERM or SIGINT."""

import logging
import os
import signal
import sys
import threading

from bus.rabbit import RabbitBus

from eventhub.service import build
from eventhub.settings import SettingsError, from_environment


def main() -> int:
    """Serve until told to end; answers the exit code."""
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("eventhub").setLevel(logging.INFO)  # libraries speak up only when something is wrong
    try:
        settings = from_environment(os.environ)
    except SettingsError as error:
        sys.stderr.write(f"eventhub: {error}\n")
        return 2
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    bus = RabbitBus(settings.broker, "eventhub", settings.instances)
    service = build(bus, settings)
    service.start()
    ended.wait()
    service.stop()
    bus.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
