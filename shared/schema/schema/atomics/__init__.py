"""Atomics: the closed set of single steps that plans are made of."""

from typing import Annotated

from pydantic import Field

from schema.atomics.pci import PassthroughAtomic
from schema.atomics.vbd import VbdAtomic
from schema.atomics.vif import VifAtomic
from schema.atomics.vm import VmAtomic

Atomic = Annotated[VmAtomic | VbdAtomic | VifAtomic | PassthroughAtomic, Field(discriminator="kind")]
"""Every atomic, told apart by `kind`."""
