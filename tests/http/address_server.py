"""Server with a route that shows the client address and the URL of a request; arguments: PORT TRUSTED_PROXIES."""
# ruff: noqa: E402 - everything must be patched before the other imports

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys

from flask import request

from persona_stream import create_app
from persona_stream.server.wsgi import Server
from persona_stream.settings.schema import Settings
from tests.server_process import SECRET

if __name__ == "__main__":
    app = create_app(Settings(trusted_proxies=sys.argv[2], jwt_secret=SECRET), process_query=lambda message: message)
    app.add_url_rule("/seen", "seen", lambda: [request.remote_addr, request.url])
    Server(("127.0.0.1", int(sys.argv[1])), app).serve_forever()
