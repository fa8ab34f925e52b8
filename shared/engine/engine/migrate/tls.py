"""TLS of connections to other hosts: whom we trust, and who we say that we are."""

import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; they are read at each connection, so that new ones serve from then on."""

    authority: Path | None = None
    """Of those whose certificates are believed; the system's authorities, unless told otherwise."""

    certificate: Path | None = None
    """Our own, for hosts that ask who comes; with its `key`."""

    key: Path | None = None

    def context(self, *, verify: bool) -> ssl.SSLContext:
        """How to connect; without `verify` any host is believed.

        Raises:
            OSError: a file is not there, or holds nothing of the kind.
        """
        context = ssl.create_default_context(cafile=self.authority)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


SYSTEM_TRUST = TlsFiles()
"""The system's authorities are believed, and we show nothing."""
