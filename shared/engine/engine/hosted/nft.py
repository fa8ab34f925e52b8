"""Nft: the kernel's packet rules, by the program `nft`. The only one that runs it."""

import json
import shutil
import subprocess

from engine.hosted.port_rules import TABLE

_TIMEOUT_S = 60.0

_PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Where administrators' programs are, which an unprivileged user's PATH may lack."""


class NftError(OSError):
    """The rules were not changed; the sentence says why."""


def run_script(script: str) -> None:
    """Run a script of nftables' language as one transaction, in this thread's network namespace.

    Raises:
        NftError: the program is missing, or the kernel or the program refused.
    """
    if script:
        _nft(["-f", "-"], script)


def list_chains() -> tuple[str, ...]:
    """The chains of our table; none where there is no table. Errors as of `run_script`."""
    found = json.loads(_nft(["-j", "list", "chains", TABLE.partition(" ")[0]], ""))["nftables"]
    chains = (entry["chain"] for entry in found if "chain" in entry)
    return tuple(str(chain["name"]) for chain in chains if f"{chain['family']} {chain['table']}" == TABLE)


def _nft(arguments: list[str], script: str) -> str:
    program = shutil.which("nft") or shutil.which("nft", path=_PLACES)
    if program is None:
        raise NftError("there is no `nft` to set what a VIF may send: install it (Debian: nftables)")
    try:
        done = subprocess.run(
            [program, *arguments],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NftError(f"`nft` does not run: {error}") from error
    if done.returncode:
        raise NftError(f"`nft` refused: {done.stderr.strip()}")
    return done.stdout
