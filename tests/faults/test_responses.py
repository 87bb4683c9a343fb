"""Background responses of a server that is killed: another process continues them after any event."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import requests

from persona_stream.core.sse import SSEDecoder
from tests.faults.cluster import Cluster
from tests.faults.recording_backend import answer
from tests.redis_server import needs_redis
from tests.server_process import ServerProcess

pytestmark = needs_redis

QUESTION = "0 killed in the middle"
CUTS = 200


def begin(server: ServerProcess) -> tuple[requests.Response, SSEDecoder, list[dict[str, Any]]]:
    """Start a background response and read its stream until some of the text is there."""
    body = {"model": "x", "input": QUESTION, "background": True, "stream": True}
    response = server.post("/v1/responses", body, stream=True)
    decoder = SSEDecoder()
    got: list[dict[str, Any]] = []
    for chunk in response.iter_content(None):
        got += [json.loads(event.data) for event in decoder.feed(chunk)]
        if sum(event["type"] == "response.output_text.delta" for event in got) >= 5:
            return response, decoder, got
    raise AssertionError("the answer was delivered at once")


def read(server: ServerProcess, response_id: str, after: int | None = None) -> list[dict[str, Any]]:
    position = "" if after is None else f"&starting_after={after}"
    events = SSEDecoder().feed(server.get(f"/v1/responses/{response_id}?stream=true{position}").content)
    assert events.pop().data == b"[DONE]"
    return [json.loads(event.data) for event in events]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def test_another_process_continues_after_a_kill(tmp_path: Path) -> None:
    """Each character once, with the ids and numbers of the first stream; after 200 random events, too."""
    with Cluster(tmp_path) as cluster:
        response, decoder, got = begin(cluster.servers[0])
        cluster.servers[0].process.kill()
        try:
            for chunk in response.iter_content(None):  # what had been sent
                got += [json.loads(event.data) for event in decoder.feed(chunk)]
        except requests.RequestException:
            pass
        response_id = got[0]["response"]["id"]
        last = got[-1]["sequence_number"]
        assert got[-1]["type"] == "response.output_text.delta"
        rest = read(cluster.servers[1], response_id, last)
        assert text_of(got) + text_of(rest) == answer(QUESTION)
        assert rest[-1]["type"] == "response.completed"
        whole = read(cluster.servers[1], response_id)
        assert whole == got + rest
        # A process that starts later has the same numbers.
        third = cluster.serve()
        try:
            for number in random.Random(1).choices(range(whole[-1]["sequence_number"] + 1), k=CUTS):
                expected = [event for event in whole if event["sequence_number"] > number]
                assert read(third, response_id, number) == expected, number
        finally:
            third.stop()
        assert cluster.times_run(QUESTION) == 1


def test_the_response_of_a_killed_process_fails_with_its_text(tmp_path: Path) -> None:
    """Where its backend was still working, for a client that polls and one that streams."""
    with Cluster(tmp_path) as cluster:
        body = {"model": "x", "input": "30 never answered", "background": True}
        response_id = cluster.servers[0].post("/v1/responses", body).json()["id"]
        cluster.servers[0].process.kill()
        *_, error, failed = read(cluster.servers[1], response_id)
        assert (error["code"], failed["response"]["status"]) == ("lost", "failed")
        assert error["message"] == failed["response"]["error"]["message"] != ""
        assert cluster.servers[1].get(f"/v1/responses/{response_id}").json() == failed["response"]
