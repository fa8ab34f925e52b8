"""Caller: what every namespace of awaitable calls needs of the client."""

from typing import Any, Protocol


class AsyncCaller(Protocol):
    """Performs a method of the interface by its wire name, with its parameters by theirs."""

    async def __call__(self, method: str, /, **params: Any) -> Any:
        """The method's result, of the type that `schema.methods` declares.

        Raises:
            XenopsError: the method failed.
            BusError: the service was not reached, or did not answer.
        """
