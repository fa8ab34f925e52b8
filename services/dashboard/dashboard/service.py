"""The dashboard's shell: watches every instance's log, serves page and API on the bus's own loop."""

import logging
import threading

from bus.ports import Bus

from dashboard.metrics import Metrics
from dashboard.settings import Settings
from dashboard.watch import Watch
from dashboard.web.app import Parts, build_app
from dashboard.web.server import Server, bind
from dashboard.web.streams import OpenStreams

END_S = 2.0
"""How long open streams may take to end."""

_log = logging.getLogger("dashboard")


class Service:
    """All instances of one process, and its page."""

    def __init__(self, bus: Bus, settings: Settings) -> None:
        """Bind the page's port; raises OSError when it cannot be, or the tokens cannot be used."""
        metrics = Metrics()
        self._bus = bus
        self._settings = settings
        self._watches = {str(name): Watch(bus, name, metrics) for name in settings.instances}
        self._streams = OpenStreams(metrics)
        parts = Parts(self._watches, metrics, self._streams, bus.clock)
        self._server = Server(build_app(parts, settings))
        self._listener, port = bind(settings.host, settings.port, settings.url_file)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.url = f"{'https' if settings.tls else 'http'}://{host}:{port}/"

    def start(self) -> None:
        """Read the logs and serve; what is shown says that it is old until the logs are read."""
        for watch in self._watches.values():
            watch.start()
        self._bus.listen(self._listener, self._server.connection, self._settings.tls)
        if self._settings.url_file is not None:
            self._settings.url_file.write_text(self.url + "\n")
        _log.info("the page is served at %s", self.url)

    def stop(self) -> None:
        """All is in the log; browsers come again, as they are told by the end of their streams."""
        none_is_left = threading.Event()
        self._bus.call_soon(lambda: self._streams.end(none_is_left.set))
        none_is_left.wait(END_S)


def build(bus: Bus, settings: Settings) -> Service:
    """The dashboard on a bus, not yet started."""
    return Service(bus, settings)
