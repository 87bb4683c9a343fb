"""Rolling restart of several processes that share their runs, as seen on the page."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.backend import STORY
from tests.browser.conftest import Visit
from tests.browser.serving import serving
from tests.redis_server import RedisServer, needs_redis


def workers(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@needs_redis
def test_a_rolling_restart_interrupts_no_answer(visit: Visit, tmp_path: Path) -> None:
    """Both workers are replaced, one after the other; the answer is complete, and the query ran once."""
    redis = RedisServer()
    flags = ("--backend=tests.browser.backend:answer", "--workers=2", f"--redis-url={redis.url}")
    try:
        with serving(tmp_path, *flags) as server:
            chat = visit(server.page, requests_fail=True).connected()
            chat.ask("story wait=6")
            expect(chat.status).to_contain_text("elapsed")
            for old in workers(server.process.pid):
                os.kill(old, signal.SIGTERM)
                until = time.monotonic() + 20
                while len(workers(server.process.pid)) < 2 or old in workers(server.process.pid):
                    assert time.monotonic() < until
                    time.sleep(0.1)  # polling interval
            chat.shoot("handed-over")
            assert chat.ended().text() == STORY
            expect(chat.turns).to_have_count(1)
            chat.show_events()
    finally:
        redis.close()
