"""Backend with an event loop policy of its own, which has what that of uvloop has, and lacks what that lacks."""

from __future__ import annotations

import asyncio
from asyncio.events import BaseDefaultEventLoopPolicy

from tests.executors.worker import native_backends


class Loop(asyncio.SelectorEventLoop):
    """Event loop that fails to start a subprocess while another thread starts one, as every second time here."""

    has_failed = False

    async def subprocess_exec(self, *args: object, **kwargs: object) -> object:
        """Start a subprocess, or fail as uvloop does (MagicStack/uvloop #508)."""
        self.has_failed = not self.has_failed
        if self.has_failed:
            raise RuntimeError("Racing with another loop to spawn a process.")
        return await super().subprocess_exec(*args, **kwargs)


class Policy(BaseDefaultEventLoopPolicy):
    """Policy without a child watcher, and without event loops that nobody has set (MagicStack/uvloop #702, #112)."""

    name = "of the backend"

    def _loop_factory(self) -> asyncio.AbstractEventLoop:
        return Loop()

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop that was set for this thread."""
        if self._local._loop is None:
            raise RuntimeError("There is no current event loop")
        return self._local._loop


asyncio.set_event_loop_policy(Policy())


def ask(message: str) -> str:
    """Set the policy again, return its name, or call a function of ``native_backends``."""
    if message == "install":
        asyncio.set_event_loop_policy(Policy())
    if message in ("install", "name"):
        return asyncio.get_event_loop_policy().name
    return native_backends.ask(message)


async def ask_async(message: str) -> str:
    """Set the policy while an event loop of another one runs, or await a function of ``native_backends``."""
    if message == "install":
        asyncio.set_event_loop_policy(Policy())
        return asyncio.get_event_loop_policy().name
    return await native_backends.ask_async(message)
