"""Convert: XenAPI's records to xenops' metadata, as xapi does it. Pure: records in, metadata out."""

from xenops.toolstack.convert.metadata import metadata_of
from xenops.toolstack.convert.source import Site, Source

__all__ = ["Site", "Source", "metadata_of"]
