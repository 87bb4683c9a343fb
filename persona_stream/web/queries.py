"""The query of an address is UTF-8, encoded or not: whoever reads it later on need not think of anything else."""

from __future__ import annotations

from flask import Flask, request

from persona_stream.errors import InvalidRequest


def refuse_other_bytes(app: Flask) -> None:
    """Refuse requests whose query has bytes of another encoding, on which werkzeug stumbles."""

    @app.before_request
    def check() -> None:
        try:
            request.query_string.decode()
        except UnicodeDecodeError:
            raise InvalidRequest("The query of the address is not UTF-8: encode it with % and two digits") from None
