"""Prints the modules that one request enters, in order: ``python -m tests.docs.request_walk``."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402 - gevent must patch before other imports
from pathlib import Path  # noqa: E402
from types import FrameType  # noqa: E402

import greenlet  # noqa: E402
import requests  # noqa: E402

import persona_stream  # noqa: E402
from persona_stream.app import build_app  # noqa: E402
from persona_stream.server.wsgi import Server  # noqa: E402
from persona_stream.settings.schema import Settings  # noqa: E402
from persona_stream.web.pipeline import FastLane  # noqa: E402
from tests.server_process import SECRET, token  # noqa: E402

PACKAGE = f"{Path(persona_stream.__file__).parent}/"


def ask(message: str) -> str:
    """Answer at once."""
    return f"You asked: {message}"


ask.cooperative = True  # type: ignore[attr-defined]  # runs in a greenlet of the server


def main() -> None:
    """Send a request to warm up, then another one that is profiled in every greenlet."""
    app, services = build_app(
        Settings(jwt_secret=SECRET, database_url=None), process_query=ask
    )  # without background tasks
    server = Server(("127.0.0.1", 0), app, fast_lane=FastLane(app, services))
    server.start()
    entered: dict[str, None] = {}

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered[frame.f_code.co_filename.removeprefix(PACKAGE)] = None

    headers = {"Authorization": f"Bearer {token()}"}  # the same token: the second request finds it in the cache

    def post() -> None:
        response = requests.post(
            f"http://127.0.0.1:{server.server_port}/api/stream_chat_smart",
            json={"username": "bot", "message": "hi", "locale": "en"},
            headers=headers,
            timeout=10,
        )
        assert '"status":"complete"' in response.text

    post()
    greenlet.settrace(lambda *_: sys.setprofile(profile))
    sys.setprofile(profile)
    post()
    greenlet.settrace(None)
    sys.setprofile(None)
    print("\n".join(entered))


if __name__ == "__main__":
    main()
