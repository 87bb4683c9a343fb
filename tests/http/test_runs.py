"""Endpoints of runs: resume, show, cancel, list."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.metrics_client import scrape
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve
from tests.sse_client import ReceivedEvent, answer, events, read

SMART = "/api/stream_chat_smart"


def start(
    server: ServerProcess, username: str = "slow", message: str = "1", user: str = "alice", **more
) -> requests.Response:
    return server.post(SMART, {"username": username, "message": message, **more}, user=user, stream=True)


def again(
    server: ServerProcess, run_id: str, event_id: str | None = None, user: str = "alice", **params
) -> list[ReceivedEvent]:
    headers = {} if event_id is None else {"Last-Event-ID": event_id}
    return read(server.get(f"/api/runs/{run_id}/events", user, headers=headers, params=params, stream=True))


@pytest.fixture(scope="module")
def finished(server: ServerProcess) -> list[ReceivedEvent]:
    """All events of a run that has ended."""
    return read(start(server, message="0"))


def run_of(got: list[ReceivedEvent]) -> str:
    return got[0].data["run_id"]


def test_a_finished_run_is_read_again_from_the_beginning(server: ServerProcess, finished: list[ReceivedEvent]):
    """The same events, at once."""
    began = time.monotonic()
    assert [(e.id, e.data) for e in again(server, run_of(finished))] == [(e.id, e.data) for e in finished]
    assert time.monotonic() - began < 3.0


def test_resuming_at_every_event_gives_exactly_the_rest(server: ServerProcess, finished: list[ReceivedEvent]):
    """No character twice and none lost, whichever event was the last."""
    had = ""
    for event in finished[:-1]:
        had += event.data["data"]
        rest = again(server, run_of(finished), event.id)
        assert had + answer(rest) == ENGLISH + CHINESE
        assert rest[-1].data == finished[-1].data


def test_at_the_end_of_a_finished_run_the_status_is_204(server: ServerProcess, finished: list[ReceivedEvent]):
    """EventSource would otherwise reconnect endlessly."""
    response = server.get(f"/api/runs/{run_of(finished)}/events", headers={"Last-Event-ID": finished[-1].id})
    assert (response.status_code, response.content) == (204, b"")


def test_the_position_may_be_a_query_parameter(server: ServerProcess, finished: list[ReceivedEvent]):
    """EventSource cannot set the header in its first request; the header, which it updates, takes precedence."""
    run_id, third, fifth = run_of(finished), finished[3], finished[5]
    by_query = again(server, run_id, last_event_id=third.id)
    assert by_query[0].id == finished[4].id
    assert again(server, run_id, fifth.id, last_event_id=third.id)[0].id == finished[6].id


def test_the_parameters_of_polyfills_come_before_that_of_the_application(
    server: ServerProcess, finished: list[ReceivedEvent]
):
    """Their newest id is the last of a name, and an empty one counts for nothing.

    Yaffle/EventSource PR 162, PR 167 and PR 109; dunglas/mercure #613; MatthewWid/better-sse #21.
    """
    run_id, old, new, following = run_of(finished), finished[3].id, finished[5].id, finished[6].id
    for params in (
        {"lastEventId": new},
        {"Last-Event-ID": new},
        {"last_event_id": old, "lastEventId": new},
        {"last_event_id": old, "Last-Event-ID": [old, new]},
        {"last_event_id": new, "lastEventId": ""},
    ):
        assert again(server, run_id, **params)[0].id == following
        assert again(server, run_id, "", **params)[0].id == following
    assert again(server, run_id, lastEventId="")[0].id == finished[0].id


def test_the_position_may_be_a_number_of_characters(server: ServerProcess, finished: list[ReceivedEvent]):
    """For a client that kept the text only."""
    whole = ENGLISH + CHINESE
    for held in (0, 1, 20, len(whole) - 1, len(whole)):
        assert whole[:held] + answer(again(server, run_of(finished), **{"from": held})) == whole


@pytest.mark.parametrize("style", ["basic", "advanced", "smart"])
def test_a_run_may_be_resumed_in_another_style(server: ServerProcess, finished: list[ReceivedEvent], style: str):
    """Positions do not depend on the style."""
    third = finished[4]
    rest = again(server, run_of(finished), third.id, style=style)
    had = answer(finished[:5])
    assert had + answer(rest) == ENGLISH + CHINESE
    assert ("current_position" in rest[0].data) == (style == "basic")


@pytest.mark.parametrize(
    ("headers", "params"),
    [
        ({"Last-Event-ID": "-1"}, {}),
        ({"Last-Event-ID": "garbage"}, {}),
        ({"Last-Event-ID": "01m7vvrng0hvqcc5h035ya85rv/1.0"}, {}),
        ({"Last-Event-ID": "{run}/99.0"}, {}),
        ({"Last-Event-ID": "{run}/2.99999"}, {}),
        ({"Last-Event-ID": "{run}/-1.0"}, {}),
        ({}, {"last_event_id": "0"}),
        ({}, {"lastEventId": "0"}),
        ({}, {"Last-Event-ID": "garbage", "last_event_id": "{run}/1.0"}),
        ({}, {"from": "-1"}),
        ({}, {"from": "99999"}),
        ({}, {"from": "9" * 400}),
        ({}, {"from": "1.5"}),
        ({}, {"from": "٣"}),
        ({"Last-Event-ID": "garbage"}, {"last_event_id": "{run}/1.0"}),
        ({}, {"last_event_id": "garbage", "from": "1"}),
        ({}, {"style": "loud"}),
        ({}, {"protocol": "klingon"}),
        ({}, {"dialect": "klingon"}),
        ({}, {"locale": "fr"}),
    ],
)
def test_invalid_positions_and_options_are_rejected(
    server: ServerProcess, finished: list[ReceivedEvent], headers, params
):
    """With 400 and a sentence that names the parameter; never with a stream from the beginning."""
    run_id = run_of(finished)
    headers, params = (
        {name: value.replace("{run}", run_id) for name, value in each.items()} for each in (headers, params)
    )
    response = server.get(f"/api/runs/{run_id}/events", headers=headers, params=params)
    assert response.status_code == 400
    (event,) = read(response)
    assert event.id is None
    assert event.data["code"] == "invalid_request"
    assert (
        next(iter({**headers, **params}))
        .replace("last_event_id", "Last-Event-ID")
        .replace("lastEventId", "Last-Event-ID")
        in event.data["error"]
    )


@pytest.mark.parametrize("wrong", [{"last_event_id": "garbage"}, {"from": "soon"}, {"last_event_id": "x/1.0"}])
def test_a_malformed_position_is_rejected_even_if_unused(server: ServerProcess, finished: list[ReceivedEvent], wrong):
    """It would be used as soon as the header is missing."""
    run_id = run_of(finished)
    response = server.get(f"/api/runs/{run_id}/events", headers={"Last-Event-ID": f"{run_id}/1.0"}, params=wrong)
    assert response.status_code == 400


def test_a_client_that_resumes_mid_run_receives_one_status_at_once(server: ServerProcess):
    """No past ones, and then the answer."""
    response = start(server, message="3.5")
    first = next(events(response))
    response.close()
    time.sleep(2.2)  # beyond the first status of the run
    began = time.monotonic()
    rest = again(server, first.data["run_id"], first.id.replace("/1.0", "/2.0"))
    assert rest[0].data["status"] == "processing"
    assert rest[0].at - began < 0.5
    assert rest[0].data["elapsed_time"] >= 2.0
    assert rest[1].data["status"] == "processing_complete"
    assert answer(rest) == ENGLISH + CHINESE


def test_the_ticket_of_the_first_event_gives_access_to_the_stream_only(
    server: ServerProcess, finished: list[ReceivedEvent]
):
    """For EventSource, which cannot send a token: one run's stream, and nothing else."""
    url, run_id = finished[0].data["events_url"], run_of(finished)
    assert answer(read(server.get(url, user=None, stream=True))) == ENGLISH + CHINESE
    ticket = url.partition("ticket=")[2]
    assert server.get(f"/api/runs/{run_id}?ticket={ticket}", user=None).status_code == 401
    other = run_of(read(start(server, message="0")))
    for wrong in (f"/api/runs/{other}/events?ticket={ticket}", f"/api/runs/{run_id}/events?ticket=", f"{url}x"):
        refused = server.get(wrong, user=None)
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_run_belongs_to_the_caller_that_started_it(server: ServerProcess, finished: list[ReceivedEvent]):
    """For other callers it does not exist."""
    run_id = run_of(finished)
    for path in (f"/api/runs/{run_id}", f"/api/runs/{run_id}/events"):
        response = server.get(path, user="mallory")
        assert response.status_code == 404
        assert "Run not found" in response.text
        assert server.get(path, user=None).status_code == 401
    assert server.post(f"/api/runs/{run_id}/cancel", user="mallory").status_code == 404
    assert server.get("/api/runs", user="mallory").json() == {"success": True, "runs": [], "next": None}


def test_a_run_is_shown_while_it_runs_and_after(server: ServerProcess):
    """Unknown values are null."""
    response = start(server, message="1.5", conversation_id="chat_9")
    run_id = response.headers["X-Run-Id"]
    shown = server.get(f"/api/runs/{run_id}")
    assert shown.headers["Retry-After"].isdigit()
    running = shown.json()
    nothing = ("finished_at", "data", "error", "code", "usage")
    assert [running[name] for name in nothing] == [None] * len(nothing)
    assert (running["status"], running["username"], running["conversation_id"]) == ("processing", "slow", "chat_9")
    assert running["run_id"] == run_id
    assert running["events_url"].startswith(f"/api/runs/{run_id}/events?ticket=")
    read(response)
    shown = server.get(f"/api/runs/{run_id}")
    assert "Retry-After" not in shown.headers
    done = shown.json()
    assert (done["status"], done["progress"], done["data"]) == ("complete", 100, ENGLISH + CHINESE)
    assert done["elapsed_time"] == pytest.approx(1.5, abs=0.2)
    assert done["created_at"] <= done["started_at"] < done["finished_at"]


def test_a_long_poll_is_answered_when_the_run_has_ended(server: ServerProcess):
    """And with the state of the moment when its time is over first; then ``Retry-After`` is there."""
    response = start(server, message="2.5")
    run_id = response.headers["X-Run-Id"]
    early = server.get(f"/api/runs/{run_id}", params={"wait": 1})
    assert (early.json()["status"], early.json()["data"]) == ("processing", None)
    assert early.json()["elapsed_time"] >= 0.9
    assert early.headers["Retry-After"].isdigit()
    done = server.get(f"/api/runs/{run_id}", params={"wait": 60})
    assert (done.json()["status"], done.json()["data"]) == ("complete", ENGLISH + CHINESE)
    assert "Retry-After" not in done.headers
    assert server.get(f"/api/runs/{run_id}", params={"wait": 60}).json() == done.json()
    response.close()


def test_a_long_poll_is_answered_at_a_cancellation(server: ServerProcess):
    """Not only at an answer."""
    response = start(server, message="30")
    run_id = response.headers["X-Run-Id"]
    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(server.get, f"/api/runs/{run_id}", params={"wait": 60})
        wait_for(lambda: scrape(server)("open_streams") >= 2)
        server.post(f"/api/runs/{run_id}/cancel")
        assert polling.result().json()["status"] == "cancelled"
    response.close()


def test_a_long_poll_keeps_a_run_alive_and_leaving_it_does_not():
    """It is a subscriber as long as its connection is there, and no longer."""
    server = serve("tests.backends_for_tests:chosen", disconnect_grace=0.5)
    try:
        response = start(server, message="3")
        run_id = response.headers["X-Run-Id"]
        with ThreadPoolExecutor(1) as pool:
            polling = pool.submit(server.get, f"/api/runs/{run_id}", params={"wait": 60})
            wait_for(lambda: scrape(server)("open_streams") >= 2)
            response.close()
            assert polling.result().json()["status"] == "complete"
        response = start(server, message="30")
        run_id = response.headers["X-Run-Id"]
        leaving = server.get(f"/api/runs/{run_id}/events", stream=True)
        response.close()
        with pytest.raises(requests.Timeout):
            requests.get(f"{server.url}/api/runs/{run_id}?wait=60", headers=server.headers(), timeout=1)
        leaving.close()
        wait_for(lambda: server.get(f"/api/runs/{run_id}").json()["status"] == "cancelled")
        assert scrape(server)("open_streams") == 0
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1.5", ""])
def test_an_invalid_wait_is_rejected(server: ServerProcess, finished: list[ReceivedEvent], wait: str):
    """With 400 and a sentence that names the parameter."""
    refused = server.get(f"/api/runs/{run_of(finished)}", params={"wait": wait})
    assert (refused.status_code, refused.json()["error"].partition(":")[0]) == (400, "wait")


def test_a_long_poll_belongs_to_the_caller_that_started_the_run(server: ServerProcess, finished: list[ReceivedEvent]):
    """And is refused at once."""
    assert server.get(f"/api/runs/{run_of(finished)}", "mallory", params={"wait": 60}).status_code == 404
    assert server.get(f"/api/runs/{run_of(finished)}", None, params={"wait": 60}).status_code == 401


def test_cancelling_ends_the_run_for_all_subscribers_and_kills_the_work(server: ServerProcess):
    """At once; cancelling again changes nothing and shows the run."""
    response = start(server, message="5")
    run_id = response.headers["X-Run-Id"]
    stream = events(response)
    next(stream)
    cancelled = server.post(f"/api/runs/{run_id}/cancel").json()
    assert (cancelled["status"], cancelled["code"], cancelled["error"]) == ("cancelled", "cancelled", "请求已取消")
    ending = list(stream)[-1].data
    assert ending.pop("elapsed_time") < 4.5
    assert ending == {
        "success": False, "error": "请求已取消", "code": "cancelled", "status": "cancelled", "is_complete": True,
    }  # fmt: skip
    assert server.post(f"/api/runs/{run_id}/cancel").json() == cancelled


def test_cancelling_a_finished_run_changes_nothing(server: ServerProcess, finished: list[ReceivedEvent]):
    """Its answer stays."""
    assert server.post(f"/api/runs/{run_of(finished)}/cancel").json()["status"] == "complete"


def test_a_callers_runs_are_listed_newest_first(server: ServerProcess):
    """Page by page."""
    names = [run_of(read(start(server, "quick", str(number), user="lister"))) for number in range(5)]
    names.reverse()
    first = server.get("/api/runs", "lister", params={"limit": 2}).json()
    assert [run["run_id"] for run in first["runs"]] == names[:2]
    second = server.get("/api/runs", "lister", params={"limit": 3, "before": first["next"]}).json()
    assert [run["run_id"] for run in second["runs"]] == names[2:]
    assert second["next"] is None
    for limit in ("0", "101", "-1", "x", ""):
        assert server.get("/api/runs", "lister", params={"limit": limit}).status_code == 400


def test_an_idempotency_key_makes_a_retry_the_same_run(server: ServerProcess):
    """While it runs and after; another body or endpoint is a conflict; another caller's key is another key."""
    key = {"Idempotency-Key": "order-66"}
    body = {"username": "slow", "message": "0.7"}
    first = server.post(SMART, body, headers=key, stream=True)
    second = server.post(SMART, body, headers=key, stream=True)
    run_id = first.headers["X-Run-Id"]
    assert second.headers["X-Run-Id"] == run_id
    assert answer(read(first)) == answer(read(second)) == ENGLISH + CHINESE
    assert server.post(SMART, body, headers=key).headers["X-Run-Id"] == run_id
    for path, other in ((SMART, {**body, "message": "0.8"}), ("/api/stream_chat", body), ("/api/chat", body)):
        refused = server.post(path, other, headers=key)
        assert (refused.status_code, "conflict" in refused.text) == (409, True)
    assert server.post(SMART, body, headers=key, user="bob").headers["X-Run-Id"] != run_id


@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "caf\u00e9"])
def test_a_malformed_idempotency_key_is_rejected(server: ServerProcess, key: str):
    """With 400."""
    headers = {"Idempotency-Key": key.encode("utf-8")}
    response = server.post(SMART, {"username": "quick", "message": "Hi"}, headers=headers)
    assert (response.status_code, "Idempotency-Key" in response.text) == (400, True)


def test_unknown_runs_are_not_found_and_expired_ones_are_gone(server: ServerProcess):
    """A run id contains its start time, so an old run is gone for every server."""
    for name in ("nonsense", "7zzzzzzzzzzzzzzzzzzzzzzzzz", "x" * 5000, "%00", "..", "%2e%2e"):
        assert server.get(f"/api/runs/{name}/events").status_code == 404
    for path in ("/api/runs/01hf0000000000000000000000", "/api/runs/01hf0000000000000000000000/events"):
        assert server.get(path).status_code == 410


def test_a_run_past_its_retention_is_gone_and_stays_gone():
    """By time, or earlier by memory; a reconnect starts nothing."""
    server = serve("tests.backends_for_tests:chosen", retention=2, retention_bytes=100_000)
    try:
        got = read(start(server, "quick", "Hi"))
        old = run_of(got)
        time.sleep(2.2)  # beyond the retention
        for path in (f"/api/runs/{old}", f"/api/runs/{old}/events"):
            response = server.get(path, headers={"Last-Event-ID": got[2].id})
            assert (response.status_code, "gone" in response.text) == (410, True)
        assert server.post(f"/api/runs/{old}/cancel").status_code == 410
        body = {"username": "echo", "message": "x" * 30_000}
        large = [server.post("/api/chat", body).json()["run_id"] for _ in range(5)]
        assert [server.get(f"/api/runs/{name}").status_code for name in large] == [410, 410, 200, 200, 200]
    finally:
        assert server.stop() == 0
