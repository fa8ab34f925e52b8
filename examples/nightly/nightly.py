"""A user's own program: reboots every VM that runs, several at a time, and says which would not.

With XENOPS_BROKER and XENOPS_INSTANCE, as `make up` prints them:

    .venv/bin/python examples/nightly/nightly.py

Its tests need no broker and no hypervisor:

    .venv/bin/pytest -c examples/nightly/pytest.ini examples/nightly
"""

import asyncio
import os
import sys

from schema.objects.vm import PowerState
from xenops import XenopsError
from xenops.aio import AsyncClient, connect, wait_for_task

AT_ONCE = 8
"""So many VMs are rebooted at a time."""

PATIENCE_S = 60.0
"""How long a guest may take to shut down before it is stopped."""


async def reboot_all(client: AsyncClient) -> dict[str, str]:
    """Reboot all that runs; answers what became of each VM, by id: `rebooted`, or why not."""
    running = [vm.id for vm, state in await client.vm.list() if state.power_state is PowerState.RUNNING]
    places = asyncio.Semaphore(AT_ONCE)

    async def one(vm: str) -> str:
        async with places:
            try:
                await wait_for_task(client, await client.vm.reboot(vm, PATIENCE_S))
            except XenopsError as error:
                return str(error)
        return "rebooted"

    return dict(zip(running, await asyncio.gather(*map(one, running)), strict=True))


async def main() -> int:
    """Reboot all of one instance; answers 1 when a VM would not."""
    async with await connect(os.environ["XENOPS_BROKER"], os.environ["XENOPS_INSTANCE"]) as client:
        ended = await reboot_all(client)
    for vm, word in ended.items():
        print(f"{vm}: {word}")
    return 0 if set(ended.values()) <= {"rebooted"} else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
