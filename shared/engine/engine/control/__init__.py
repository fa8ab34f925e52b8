"""Control: reads and changes of metadata, answered without a lease, so that monitoring waits for nobody."""

from engine.control.answer import Answered, Control
from engine.control.desk import Desk, Levers

__all__ = ["Answered", "Control", "Desk", "Levers"]
