"""Control: reads and changes of metadata, answered without a lease, so that monitoring waits for nobody."""

from engine.control.answer import Answered, Control
from engine.control.request import RequestContext, WorkerHandle

__all__ = ["Answered", "Control", "RequestContext", "WorkerHandle"]
