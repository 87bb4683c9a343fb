"""Answer with a body of JSON.

Responses that are ready as they were made.

The request that is being answered.
"""

from __future__ import annotations

from contextvars import Context, copy_context
from typing import TYPE_CHECKING

from flask import Request, Response, request
from flask.ctx import AppContext, RequestContext

from persona_stream.protocols.base import dump_json


def json_response(body: object, status: int = 200) -> Response:
    """Write a body of the wire."""
    return Response(dump_json(body), status, content_type="application/json")


if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from werkzeug.datastructures import Headers


class PreparedResponse(Response):
    """Be sent with the headers that it has.

    werkzeug copies them first, looks for addresses to put right, and counts what was counted when the body was set:
    a tenth of what a short answer takes.
    """

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers if self.status_code == 200 else super().get_wsgi_headers(environ)


def current_request() -> Request:
    """Give it itself, and not Flask's stand-in for it, which looks it up again at each of the forty looks at it."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined] # documented, for this
    return found


def detached_context() -> Context:
    """Give what was set around the request, for what goes on when that is over.

    Flask's own is left out: with it, a run would hold its whole request for as long as it lasts, a tenth of a waiting
    stream's memory.
    """
    lasting = Context()
    for variable, value in copy_context().items():
        if not isinstance(value, AppContext | RequestContext):
            lasting.run(variable.set, value)
    return lasting
