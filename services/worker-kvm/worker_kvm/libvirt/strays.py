"""Strays: domains that say they are an instance's and that are noted nowhere: left alone, and told."""

import logging
from collections.abc import Collection, Iterable

from virt.mark import instance_of, life_of
from virt.values import DomainInfo

_LOG = logging.getLogger(__name__)


def report_strays(found: Iterable[DomainInfo], known: Collection[str], instance: str) -> None:
    """Warn of those whose life is not known."""
    for info in found:
        if instance_of(info.mark) == instance and life_of(info.mark) not in known:
            _LOG.warning(
                "libvirt's domain %s is marked as of %s, and is not known here: it is left alone; "
                "`virsh destroy %s` ends it",
                *(info.name, instance, info.name),
            )
