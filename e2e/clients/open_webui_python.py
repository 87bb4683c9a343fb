"""Pass a stream of the server through the middleware of the published package ``open-webui``; print its events.

    E2E_OPEN_WEBUI=<program> open_webui_python.py BASE_URL KEY MESSAGE

Its database, its socket server and its models need hundreds of packages, and the code that reads a stream none of them:
the modules below are its own, and all others are mocks.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import json
import sys
from collections.abc import AsyncIterator, Sequence
from types import ModuleType, SimpleNamespace
from unittest.mock import AsyncMock, MagicMock

import requests

_OWN = {"middleware", "misc", "response", "json_codec", "chat_id", "sanitize"}
_OTHERS = {"aiohttp", "engineio", "mimeparse", "typer", "uvicorn"}


class MockedModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Importer of mocks."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        top, _, rest = name.partition(".")
        is_own = top == "open_webui" and rest.removeprefix("utils").removeprefix(".") in {"", *_OWN}
        return None if is_own or top not in {"open_webui", *_OTHERS} else importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Return a mock, with the settings that the middleware reads."""
        settings = {
            "GLOBAL_LOG_LEVEL": "WARNING",
            "ENABLE_FUNCTIONS": False,
            "ENABLE_RESPONSES_API_STATEFUL": False,
            "ENABLE_CHAT_RESPONSE_BASE64_IMAGE_URL_CONVERSION": False,
            "CHAT_RESPONSE_STREAM_DELTA_CHUNK_SIZE": 1,
        }
        module: ModuleType = MagicMock(__name__=spec.name, __path__=[], UserModel=SimpleNamespace, **settings)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: a mock has no code."""


sys.meta_path.insert(0, MockedModules())

from open_webui.utils import middleware  # noqa: E402 - after the importer
from starlette.responses import StreamingResponse  # noqa: E402 - a dependency of Open WebUI


def main() -> None:
    """Print the events that the page of Open WebUI would receive."""
    base_url, key, message = sys.argv[1:]
    messages = [{"role": "user", "content": message}]
    response = requests.post(
        f"{base_url}/chat/completions",
        json={"model": "ada", "stream": True, "messages": messages},
        headers={"Authorization": f"Bearer {key}"},
        stream=True,
        timeout=60,
    )
    emitted: list[object] = []

    async def emit(event: object) -> None:
        emitted.append(event)

    async def lines() -> AsyncIterator[bytes]:
        for line in response.iter_lines():
            yield line + b"\n"

    for name in ("get_system_oauth_token", "background_tasks_handler"):
        setattr(middleware, name, AsyncMock())
    for name in ("append_response_stream", "clear_response_stream", "save_response_stream"):
        setattr(middleware, name, AsyncMock(return_value=0))
    middleware.is_saved_chat_id = lambda chat_id: False
    context = {
        "request": MagicMock(state=SimpleNamespace(direct=False)),
        "form_data": {"model": "ada", "messages": messages},
        "user": None,
        "model": {"id": "ada"},
        "metadata": {"chat_id": "local:1", "message_id": "1", "session_id": "1"},
        "events": [],
        "event_emitter": emit,
        "event_caller": None,
    }
    asyncio.run(middleware.streaming_chat_response_handler(StreamingResponse(lines()), context))
    print(json.dumps(emitted, default=lambda mock: None))  # the title comes from the database


main()
