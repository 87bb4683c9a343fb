"""Prints the objects that only the garbage collector can free: ``python -m tests.http.uncollected_objects``.

JSON, by kind of request: how many objects of each class of the package some requests left in reference cycles.
"""
# ruff: noqa: E402 - everything must be patched before the other imports

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import gc
import json
import logging
from collections import Counter
from collections.abc import Callable

import gevent
import requests

from persona_stream import BackendError
from persona_stream.app import build_app
from persona_stream.server.wsgi import Server
from persona_stream.settings.schema import Settings
from persona_stream.web.pipeline import FastLane
from tests.polling import wait_for
from tests.server_process import SECRET, token
from tests.websocket_client import WebSocketClient

REQUESTS = 20
SMART = "/api/stream_chat_smart"
SETTINGS = Settings(jwt_secret=SECRET, database_url=None, retention=0.1, disconnect_grace=0.05)


def ask(message: str) -> str:
    """Wait, fail or answer as the message says."""
    if message == "wait":
        gevent.sleep(60)
    if message == "fail":
        raise BackendError("failed on purpose")
    return f"You asked: {message}"


ask.cooperative = True  # type: ignore[attr-defined]  # runs in a greenlet of the server


def main() -> None:
    """Send requests of each kind, and print their objects that were not freed."""
    app, services = build_app(SETTINGS, process_query=ask)  # without background tasks
    logging.disable()
    services.executors.begin()
    server = Server(("127.0.0.1", 0), app, fast_lane=FastLane(app, services))
    server.start()
    url = f"http://127.0.0.1:{server.server_port}"
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {token()}"

    def send(path: str, **body: object) -> Callable[[], object]:
        return lambda: session.post(url + path, json=body, timeout=20).content

    def cancel() -> None:
        with session.post(url + SMART, json={"message": "wait"}, stream=True, timeout=20) as response:
            services.runs.cancel(services.runs.follow(response.headers["X-Run-Id"], None))
            assert response.content

    def leave() -> None:
        requests.post(url + SMART, json={"message": "wait"}, headers=session.headers, stream=True, timeout=20).close()

    def connect() -> None:
        with WebSocketClient(url) as client:
            client.send("start", request={"message": "hi"})
            client.receive_run()

    messages = [{"role": "user", "content": "hi"}]
    kinds: dict[str, Callable[[], object]] = {
        "answered": send(SMART, message="hi"),
        "failed": send(SMART, message="fail"),
        "cancelled": cancel,
        "left": leave,
        "refused": send(SMART),
        "one response": send("/api/chat", message="hi"),
        "one failure": send("/api/chat", message="fail"),
        "chat completion": send("/v1/chat/completions", model="bot", messages=messages, stream=True),
        "WebSocket": connect,
    }
    left: dict[str, Counter[str]] = {}
    for kind, request in kinds.items():
        request()
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(REQUESTS):
            request()
        wait_for(lambda: not (services.runs.active_count or services.streams.count), sleep=gevent.sleep)
        gc.collect()
        found = Counter(f"{type(each).__module__}.{type(each).__name__}" for each in gc.garbage)
        left[kind] = Counter({name: count for name, count in found.items() if name.startswith("persona_stream.")})
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    print(json.dumps(left))


if __name__ == "__main__":
    main()
