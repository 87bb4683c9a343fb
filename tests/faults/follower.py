"""Resuming client: it reads a run to its end from any server and collects its text."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import requests

from tests.server_process import token


class Follower(threading.Thread):
    """Thread that reads a run and resumes at the next server when a connection ends early.

    An item of ``urls`` may be a function that returns the current URL. With the idempotency ``key``, a request whose
    outcome is unknown can be repeated. ``leaves`` decides after each new event whether the client disconnects.

    Attributes:
        text: the answer so far.
        ending: the final event.
        endings: the number of final events.
        comments: the comments received.
        breaks: the number of connections that ended early.
    """

    def __init__(
        self,
        urls: Sequence[str | Callable[[], str]],
        body: dict[str, Any] | None = None,
        run_id: str = "",
        *,
        path: str = "/api/stream_chat_smart",
        resumes: bool = True,
        leaves: Callable[[], bool] = lambda: False,
        user: str = "alice",
        key: str = "",
        timeout: float = 60.0,
    ) -> None:
        super().__init__(daemon=True)
        self._urls = itertools.cycle(urls)
        self.body = body
        self._path = path
        self._leaves = leaves
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {token(user)}"}
        if resumes:
            self._headers["X-Persona-Resume"] = "1"
        if key:
            self._headers["Idempotency-Key"] = key
        self.run_id = run_id
        self.last_id = ""
        self.text = ""
        self.statuses: list[str] = []
        self.comments: list[str] = []
        self.refusals: list[int] = []
        self.ending: dict[str, Any] | None = None
        self.endings = 0
        self.breaks = 0
        self.opened = threading.Event()
        self.problem: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Connect and read until the final event."""
        until = time.monotonic() + self._timeout
        try:
            while self.ending is None:
                assert time.monotonic() < until, f"no ending: {self.statuses[-3:]} {self.refusals[-5:]}"
                with suppress(requests.ConnectionError, requests.exceptions.ChunkedEncodingError, requests.Timeout):
                    self._read_once()
                if self.ending is None:
                    self.breaks += 1
                    time.sleep(0.05 + 0.1 * random.random())  # jitter against simultaneous reconnections
        except BaseException as error:  # noqa: BLE001 - result() raises it in the test's thread
            self.problem = error

    def result(self, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for the final event and return it."""
        self.join(seconds)
        if self.problem is not None:
            raise self.problem
        assert self.ending is not None, f"no ending in time: {self.statuses[-3:]}"
        assert self.endings == 1
        return self.ending

    def _read_once(self) -> None:
        current = next(self._urls)
        url = current if isinstance(current, str) else current()
        if self.run_id:
            headers = {**self._headers, **({"Last-Event-ID": self.last_id} if self.last_id else {})}
            response = requests.get(f"{url}/api/runs/{self.run_id}/events", headers=headers, stream=True, timeout=20)
        else:
            response = requests.post(url + self._path, json=self.body, headers=self._headers, stream=True, timeout=20)
        with response:
            if response.status_code != 200:
                self.refusals.append(response.status_code)
                assert response.status_code in (503, 502), (response.status_code, response.text)
                return
            self.run_id = response.headers["X-Run-Id"]
            self.opened.set()
            self._read(response)

    def _read(self, response: requests.Response) -> None:
        event_id = ""
        first_id = self.last_id
        for raw in response.iter_lines(chunk_size=4096):
            line = raw.decode("utf-8")
            if line.startswith(":"):
                self.comments.append(line[2:])
            elif line.startswith("id: "):
                event_id = line[4:]
            elif line.startswith("data: "):
                self._on_event(event_id, json.loads(line[6:]))
                if self.ending is not None or (event_id != first_id and self._leaves()):
                    return

    def _on_event(self, event_id: str, data: dict[str, Any]) -> None:
        self.last_id = event_id
        self.statuses.append(data["status"])
        if data["status"] == "streaming":
            self.text += data["data"]
        if data.get("is_complete"):
            self.ending = data
            self.endings += 1
