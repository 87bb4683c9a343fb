"""Log lines of a request belong to the run that it is about, and to no run of the connection's request before it."""

from __future__ import annotations

from flask import Flask

from persona_stream.logging import current_run


def begin_anew(app: Flask) -> None:
    """Have each request begin without a run."""

    @app.before_request
    def forget() -> None:
        current_run.set("")
