"""The command line, with a server that passes every request through WSGI and Flask."""

from __future__ import annotations

from persona_stream.__main__ import main
from persona_stream.web.pipeline import FastLane, FastRoute


class MessageLane(FastLane):
    """Fast lane of the messages of WebSockets alone."""

    def find(self, method: str, path: str) -> FastRoute | None:
        return None


if __name__ == "__main__":
    from persona_stream.server import process

    process.FastLane = MessageLane  # type: ignore[misc] # in place of the server's own
    main()
