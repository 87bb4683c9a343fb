"""The command line, with a server that passes every request through WSGI and Flask."""

from __future__ import annotations

from persona_stream.__main__ import main

if __name__ == "__main__":
    from persona_stream.server import process

    process.FastLane = lambda app, services: None  # type: ignore[assignment, misc] # a server without it
    main()
