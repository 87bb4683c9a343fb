"""Path doctor: measures the path between this machine and a server, for a diagnosis of the proxies on it."""

import json

import requests

from persona_stream.client.diagnosis import MEDIA_TYPE, Measurement
from persona_stream.client.models import ServerConfig
from persona_stream.core.clock import monotonic_wall_clock

PATH = "/api/doctor/stream"
_CONNECT_TIMEOUT = 10.0
_SILENCE_MARGIN = 20.0  # seconds after which a connection without a byte counts as dead


def measure(server: ServerConfig, *, seconds: int, silent: int = 0) -> Measurement:
    """Ask for events during ``seconds``, after ``silent`` seconds without a byte."""
    clock = monotonic_wall_clock()
    began = clock()
    headers = {"Authorization": f"Bearer {server.token}", "Accept": MEDIA_TYPE, "Accept-Encoding": "gzip, br"}
    url = server.url_for(f"{PATH}?seconds={seconds}&silent={silent}")
    timeout = (_CONNECT_TIMEOUT, silent + seconds + _SILENCE_MARGIN)
    delays: list[float] = []
    found: dict[str, str] = {}
    status = 0
    error = ""
    is_complete = False
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False) as response:
            status = response.status_code
            found = {name.lower(): value for name, value in response.headers.items()}
            for line in response.iter_lines(chunk_size=None) if status == requests.codes.ok else ():
                if line.startswith(b"data:"):
                    event = json.loads(line[5:])
                    delays.append(clock() - event["sent_at"])
                    is_complete = event["is_complete"]
    except (requests.RequestException, ValueError, LookupError, TypeError) as problem:
        error = type(problem).__name__
    return Measurement(silent, status, found, tuple(delays), clock() - began, is_complete, error)
