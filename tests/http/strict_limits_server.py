"""Server with short time limits and few files, so that tests of slow clients are fast; arguments: PORT FILES."""
# ruff: noqa: E402 - everything must be patched before the other imports

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import resource
import sys

from persona_stream.app import build_app
from persona_stream.server.handler import HttpLimits
from persona_stream.server.wsgi import Server
from persona_stream.settings.schema import Settings
from persona_stream.web.pipeline import FastLane
from tests.backends_for_tests import chosen
from tests.server_process import SECRET

QUICK = HttpLimits(idle_timeout=2.0, header_timeout=2.0, body_timeout=2.0, min_body_rate=100_000.0, discard_timeout=0.5)

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
    app, services = build_app(Settings(jwt_secret=SECRET, database_url=None), process_query=chosen)
    services.executors.begin()
    Server(("127.0.0.1", int(sys.argv[1])), app, QUICK, FastLane(app, services)).serve_forever()
