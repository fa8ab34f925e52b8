"""TLS of doors: our certificate, and the authority of those whose clients are let in."""

import ssl
from collections.abc import Mapping

from bus.process import SettingsError

VARIABLES = ("XENOPS_TLS_CERTIFICATE", "XENOPS_TLS_KEY", "XENOPS_TLS_CLIENT_CA")


def tls_from_environment(environment: Mapping[str, str]) -> ssl.SSLContext:
    """What `XENOPS_TLS_CERTIFICATE`, `XENOPS_TLS_KEY` and `XENOPS_TLS_CLIENT_CA`, three PEM files, come to.

    Who shows no certificate of that authority is not let in: beyond it, nobody is asked who he is.

    Raises:
        SettingsError: one of them is missing, or of no use.
    """
    files = [environment.get(name, "") for name in VARIABLES]
    missing = [name for name, file in zip(VARIABLES, files, strict=True) if not file]
    if missing:
        raise SettingsError(f"{missing[0]} is not set: a door with TLS needs {', '.join(VARIABLES)}")
    certificate, key, authority = files
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except OSError as error:
        sentence = f"{', '.join(VARIABLES)}: {', '.join(files)} are of no use: {error}"
        raise SettingsError(sentence) from error
    return context
