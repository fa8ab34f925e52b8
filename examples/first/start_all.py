"""A first program: starts every VM that is halted, all at once, and tells how each went.

With XENOPS_BROKER and XENOPS_INSTANCE, as `make up` prints them:

    .venv/bin/python examples/first/start_all.py
"""

import os

from schema.objects.vm import PowerState
from xenops import Client, XenopsError, connect, wait_for_task


def start_all(client: Client) -> dict[str, str]:
    """Start all that is halted; answers what became of each VM, by id."""
    halted = [vm.id for vm, state in client.vm.list() if state.power_state is PowerState.HALTED]
    tasks = {vm: client.vm.start(vm) for vm in halted}
    return {vm: outcome(client, task) for vm, task in tasks.items()}


def outcome(client: Client, task: str) -> str:
    """How a task ends."""
    try:
        completion = wait_for_task(client, task)
    except XenopsError as error:
        return f"not started: {error}"
    return f"started in {completion.duration:.2f} s"


def main() -> None:
    """Start all of one instance."""
    with connect(os.environ["XENOPS_BROKER"], os.environ["XENOPS_INSTANCE"]) as client:
        for vm, words in start_all(client).items():
            print(f"{vm}: {words}")


if __name__ == "__main__":
    main()
