"""Page: who may look at the stack's operators' page, where it is, and whether it answers."""

import http.client
import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from dashboard.operators import Operator, OperatorRole, tokens_text

from stack.layout import Layout

ANSWER_S = 5.0
"""How long the page may take to say that it serves."""


def make_tokens(path: Path) -> None:
    """Have a file with a token for each role, which nobody else reads; what is there stays."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    drawn = [(Operator(f"local-{role}", role), secrets.token_hex(32)) for role in OperatorRole]
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(tokens_text(drawn))


def token_of(layout: Layout, role: OperatorRole) -> str:
    """A token of that role; "" if there is none."""
    return token_in(layout.tokens, role)


def token_in(path: Path, role: OperatorRole) -> str:
    """The first token of that role in a file; "" if there is none."""
    lines = (line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    return next((words[2] for words in lines if words[1] == role), "")


def url_of(layout: Layout) -> str:
    """Where the page is."""
    return layout.page_url.read_text().strip()


def trouble(layout: Layout) -> str | None:
    """Why the page does not answer yet."""
    try:
        place = urlsplit(url_of(layout))
        connection = http.client.HTTPConnection(place.netloc, timeout=ANSWER_S)
        try:
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return f"the page does not answer: {error}"
    return None if status == http.client.OK else f"the page answers {status}"
