"""OpenAI's Responses protocol over HTTP, on a real server: creation, streams, retrieval and continuation."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from persona_stream.core.sse import SSEDecoder
from tests.backends_for_tests import CHINESE, ENGLISH
from tests.polling import wait_for
from tests.server_process import ServerProcess, serve

PATH = "/v1/responses"
TEXT = ENGLISH.strip()
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n").decode()


@pytest.fixture(scope="module")
def able() -> Iterator[ServerProcess]:
    """Server whose backend has tools, images and formats."""
    server = serve("tests.backends_for_tests:able")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Server with a database that keeps runs for a second only."""
    folder = tmp_path_factory.mktemp("kept")
    environ = {"PERSONA_STREAM_DATABASE_URL": "sqlite:///", "PERSONA_STREAM_STATE_DIR": str(folder)}
    server = serve("tests.backends_for_tests:chosen", environ=environ, retention=1)
    yield server
    assert server.stop() == 0


def ask(server: ServerProcess, model: str, message: object, **more: Any) -> requests.Response:
    headers = more.pop("headers", {})
    user = more.pop("as_user", "alice")
    return server.post(PATH, {"model": model, "input": message, **more}, headers=headers, user=user)


def events(response: requests.Response) -> list[dict[str, Any]]:
    """Return the events of a stream that must consist of typed events and comments, and end with [DONE]."""
    assert response.status_code == 200, response.text
    decoded = SSEDecoder().feed(response.content)
    assert decoded.pop().data == b"[DONE]"
    found = [json.loads(event.data) for event in decoded]
    assert [event.event for event in decoded] == [each["type"] for each in found]
    return found


def text_of(response: dict[str, Any]) -> str:
    contents = [item["content"] for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for content in contents for part in content)


def error(response: requests.Response) -> dict[str, Any]:
    assert list(response.json()) == ["error"]
    assert response.headers["x-request-id"]
    return response.json()["error"]


def test_a_whole_response_and_a_stream_have_the_same_form(server: ServerProcess):
    """The id has the run id, and the last event of the stream the whole object."""
    whole = ask(server, "echo", TEXT)
    assert whole.status_code == 200
    assert whole.json()["id"] == f"resp_{whole.headers['X-Run-Id']}"
    assert text_of(whole.json()) == TEXT
    streamed = ask(server, "echo", TEXT, stream=True)
    found = events(streamed)
    assert streamed.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert streamed.headers["Cache-Control"] == "no-cache, no-transform"
    assert streamed.headers["x-request-id"].startswith("req_")
    assert found[-1]["type"] == "response.completed"
    last = found[-1]["response"]
    assert text_of(last) == "".join(each["delta"] for each in found if each["type"] == "response.output_text.delta")
    assert {name for name in last if last[name] != whole.json()[name]} <= {
        "id", "output", "created_at", "completed_at", "conversation",
    }  # fmt: skip


def test_any_process_gives_a_response_its_state_and_its_stream(server: ServerProcess):
    """The whole stream again, and the rest after each number."""
    streamed = events(ask(server, "echo", TEXT, stream=True))
    address = f"{PATH}/{streamed[0]['response']['id']}"
    assert server.get(address).json() == streamed[-1]["response"]
    assert events(server.get(f"{address}?stream=true")) == streamed
    for index, event in enumerate(streamed):
        rest = server.get(f"{address}?stream=true&starting_after={event['sequence_number']}")
        assert events(rest) == streamed[index + 1 :]


@pytest.mark.parametrize(
    ("query", "field"),
    [("stream=maybe", "stream"), ("starting_after=-1", "starting_after"), ("starting_after=x", "starting_after")],
)
def test_a_malformed_position_is_rejected(server: ServerProcess, query: str, field: str):
    """With the name of the parameter."""
    address = f"{PATH}/{ask(server, 'echo', 'Hi').json()['id']}"
    refused = server.get(f"{address}?stream=true&{query}" if field != "stream" else f"{address}?{query}")
    assert (refused.status_code, refused.json()["error"]["message"].partition(":")[0]) == (400, field)


def test_a_position_beyond_the_stream_is_rejected(server: ServerProcess):
    """The last number itself is the end: there only [DONE] is left."""
    found = events(ask(server, "echo", "Hi", stream=True))
    address = f"{PATH}/{found[0]['response']['id']}?stream=true&starting_after="
    last = found[-1]["sequence_number"]
    assert events(server.get(f"{address}{last}")) == []
    refused = server.get(f"{address}{last + 1}")
    assert (refused.status_code, error(refused)["param"]) == (400, "starting_after")


def test_a_run_is_resumed_in_every_protocol(server: ServerProcess):
    """One that another protocol started has a response, and the reverse."""
    native = server.post("/api/stream_chat", {"username": "echo", "message": TEXT}).headers["X-Run-Id"]
    found = events(server.get(f"/api/runs/{native}/events?protocol=responses"))
    assert text_of(found[-1]["response"]) == TEXT
    assert server.get(f"{PATH}/resp_{native}").json() == found[-1]["response"]
    rest = events(server.get(f"/api/runs/{native}/events?protocol=responses&from=50"))
    deltas = [each["delta"] for each in rest if each["type"] == "response.output_text.delta"]
    assert ("".join(deltas), rest[0]["type"]) == (TEXT[50:], "response.output_item.added")
    ours = ask(server, "echo", TEXT).headers["X-Run-Id"]
    assert server.get(f"/api/runs/{ours}").json()["data"] == TEXT


@pytest.mark.parametrize("path", ["", "?stream=true", "/input_items"])
def test_a_response_belongs_to_its_owner(server: ServerProcess, path: str):
    """Others, and other ids, are not found; without a token nothing is read."""
    response_id = ask(server, "echo", "Hi").json()["id"]
    assert server.get(f"{PATH}/{response_id}{path}").status_code == 200
    for user, name in (("mallory", response_id), ("alice", "resp_unknown"), ("alice", response_id[5:])):
        refused = server.get(f"{PATH}/{name}{path}", user=user)
        assert (refused.status_code, error(refused)["code"]) == (404, "not_found")
    assert server.get(f"{PATH}/{response_id}{path}", user=None).status_code == 401
    assert server.post(f"{PATH}/{response_id}/cancel", user="mallory").status_code == 404


def test_a_background_response_is_answered_at_once(server: ServerProcess):
    """It ends without a connection."""
    began = ask(server, "slow", "2.0", background=True)
    assert began.json()["status"] in ("queued", "in_progress")
    assert began.json()["background"] is True
    assert began.headers["X-Run-Id"] in began.json()["id"]
    address = f"{PATH}/{began.json()['id']}"
    assert began.elapsed.total_seconds() < 1.9
    wait_for(lambda: server.get(address).json()["status"] == "completed")
    assert text_of(server.get(address).json()) == ENGLISH + CHINESE


def test_a_background_stream_may_break():
    """Its end is not that of the run, also without any grace period."""
    server = serve("tests.backends_for_tests:chosen", disconnect_grace_v1=0)
    try:
        body = {"model": "slow", "input": "1.0", "background": True, "stream": True}
        with server.post(PATH, body, stream=True) as response:
            first = next(response.iter_lines())
        assert first == b"event: response.created"
        address = f"{PATH}/resp_{response.headers['X-Run-Id']}"
        wait_for(lambda: server.get(address).json()["status"] == "completed")
        body["background"] = False
        with server.post(PATH, body, stream=True) as response:
            next(response.iter_lines())
        address = f"{PATH}/resp_{response.headers['X-Run-Id']}"
        wait_for(lambda: server.get(address).json()["status"] == "cancelled")
    finally:
        assert server.stop() == 0


def test_cancelling(server: ServerProcess):
    """Returns the response; its stream ends with an error, and a second time changes nothing."""
    began = ask(server, "cooperating", "30", background=True).json()
    address = f"{PATH}/{began['id']}"
    for _ in range(2):
        cancelled = server.post(f"{address}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    failed = events(server.get(f"{address}?stream=true"))[-1]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "cancelled")


def test_deleting(kept: ServerProcess):
    """From the runs, the conversation and the log; one in progress is ended. Others cannot."""
    user = "dora"
    first = ask(kept, "echo", "One", as_user=user).json()
    assert kept.delete(f"{PATH}/{first['id']}", user="mallory").status_code == 404
    deleted = kept.delete(f"{PATH}/{first['id']}", user=user)
    assert deleted.json() == {"id": first["id"], "object": "response", "deleted": True}
    assert kept.get(f"{PATH}/{first['id']}", user=user).status_code == 410
    assert ask(kept, "echo", "Two", previous_response_id=first["id"], as_user=user).status_code == 404
    address = f"/api/conversations/{first['conversation']['id']}"
    assert kept.get(address, user=user).json()["exchanges"] == []
    running = ask(kept, "cooperating", "30", background=True, as_user=user).json()["id"]
    assert kept.delete(f"{PATH}/{running}", user=user).status_code == 200
    assert kept.get(f"{PATH}/{running}", user=user).status_code == 410


def test_failures(server: ServerProcess):
    """Before the first byte they have their status, and after it two events with their words."""
    whole = ask(server, "failing", "busy")
    assert (whole.status_code, whole.headers["Retry-After"]) == (429, "3")
    assert error(whole)["code"] == "rate_limit_exceeded"
    broken, failed = events(ask(server, "failing", "deliberate", stream=True))[-2:]
    assert broken["message"] == failed["response"]["error"]["message"] == "The library is closed today."
    assert server.get(f"{PATH}/{failed['response']['id']}").json() == failed["response"]


def test_invalid_requests_name_their_field(server: ServerProcess):
    """In OpenAI's form."""
    image = [{"role": "user", "content": [{"type": "input_image", "image_url": PIXEL}]}]
    for body, param in (
        ({"input": "Hi"}, "model"),
        ({"model": "echo"}, "input"),
        ({"model": "echo", "input": []}, "input"),
        ({"model": "echo", "input": [{"role": "user", "content": 5}]}, "input"),
        ({"model": "echo", "input": "Hi", "tools": [{"type": "function", "name": "x"}]}, "tools"),
        ({"model": "echo", "input": "Hi", "tools": [{"type": "web_search"}]}, "tools"),
        ({"model": "echo", "input": "Hi", "text": {"format": {"type": "json_object"}}}, "text"),
        ({"model": "echo", "input": image}, "input"),
        ({"model": "echo", "input": "Hi", "previous_response_id": "resp_unknown"}, "previous_response_id"),
        ({"model": "echo", "input": [{"type": "item_reference", "id": "msg_unknown_0"}]}, "input"),
    ):
        refused = server.post(PATH, body)
        assert refused.status_code == (404 if "unknown" in str(body) else 400), body
        assert error(refused)["param"] == param
        assert param in error(refused)["message"]


def test_tools_images_and_formats_reach_the_backend(able: ServerProcess):
    """Under the names that all protocols share."""
    content = [{"type": "input_text", "text": "show"}, {"type": "input_image", "image_url": PIXEL}]
    shown = json.loads(
        text_of(
            ask(
                able,
                "able",
                [{"role": "user", "content": content}],
                tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
                tool_choice="required",
                text={"format": {"type": "json_object"}},
                max_output_tokens=9,
            ).json()
        )
    )
    assert shown["parts"] == ["show", {"url": PIXEL, "detail": None, "type": "image", "name": None}]
    assert shown["tools"][0]["name"] == "weather"
    assert shown["tool_choice"] == {"mode": "required", "name": None}
    assert shown["parameters"] == {"max_completion_tokens": 9, "response_format": {"type": "json_object"}}


TOOLS = [{"type": "function", "name": "weather"}]


@pytest.mark.parametrize("is_whole", [True, False], ids=["items", "previous_response_id"])
def test_a_tool_round_trip(able: ServerProcess, is_whole: bool):
    """The output of a call comes with the whole conversation, or with the id of the response that has the call."""
    first = ask(able, "able", "call Let me look.", tools=TOOLS).json()
    (call,) = [item for item in first["output"] if item["type"] == "function_call"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "Rain"}
    following = {"role": "user", "content": "show"}
    if is_whole:
        asked = {"role": "user", "content": "call Let me look."}
        second = ask(able, "able", [asked, *first["output"], result, following], tools=TOOLS)
    else:
        second = ask(able, "able", [result, following], tools=TOOLS, previous_response_id=first["id"])
    assert second.status_code == 200, second.text
    assert json.loads(text_of(second.json()))["since"] == []
    third = ask(able, "able", [{"role": "user", "content": "show"}, call, result], tools=TOOLS)
    since = json.loads(text_of(third.json()))["since"]
    assert [(turn["role"], turn["content"]) for turn in since] == [("assistant", ""), ("tool", "Rain")]
    assert since[0]["calls"] == [{"id": "call_1", "name": "weather", "arguments": '{"city":"Wien"}'}]


def history(response: requests.Response) -> list[list[str]]:
    assert response.status_code == 200, response.text
    found: list[list[str]] = json.loads(text_of(response.json()))["history"]
    return found


def test_a_response_is_continued_whole(server: ServerProcess):
    """With all its input, also without a database, and from any point of its conversation."""
    begun = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two"},
    ]
    first = ask(server, "echo", begun, instructions="Be brief.").json()
    earlier = [["user", "One"], ["assistant", "1"], ["user", "Two"], ["assistant", "Two"]]
    second = ask(server, "showing", "Three", previous_response_id=first["id"], instructions="Be long.")
    assert history(second) == [["system", "Be long."], *earlier]
    assert second.json()["previous_response_id"] == first["id"]
    assert second.json()["conversation"] == first["conversation"]
    third = history(ask(server, "showing", "Four", previous_response_id=second.json()["id"]))
    assert third[:5] == [*earlier, ["user", "Three"]]
    assert third[5][0] == "assistant"
    assert history(ask(server, "showing", "Again", previous_response_id=first["id"])) == earlier


def test_items_may_be_sent_by_reference(server: ServerProcess):
    """As the AI SDK does."""
    first = ask(server, "echo", "One").json()
    items = [
        {"role": "user", "content": "One"},
        *({"type": "item_reference", "id": item["id"]} for item in first["output"]),
        {"role": "user", "content": "Two"},
    ]
    assert history(ask(server, "showing", items)) == [["user", "One"], ["assistant", "One"]]
    assert ask(server, "showing", items, as_user="mallory").status_code == 404


def test_a_response_in_progress_is_not_continued(server: ServerProcess):
    """Its answer is not known yet."""
    began = ask(server, "cooperating", "30", background=True).json()
    refused = ask(server, "echo", "And?", previous_response_id=began["id"])
    assert (refused.status_code, error(refused)["param"]) == (400, "previous_response_id")
    server.post(f"{PATH}/{began['id']}/cancel")


def test_the_input_is_listed(server: ServerProcess):
    """In pages, the newest item first unless asked otherwise."""
    items = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "Two"},
    ]
    address = f"{PATH}/{ask(server, 'echo', items).json()['id']}/input_items"
    page = server.get(f"{address}?limit=2").json()
    assert [item["content"][0]["text"] for item in page["data"]] == ["Two", "1"]
    assert (page["first_id"], page["last_id"], page["has_more"]) == (page["data"][0]["id"], page["data"][1]["id"], True)
    rest = server.get(f"{address}?limit=2&after={page['last_id']}").json()
    assert [item["content"][0] for item in rest["data"]] == [{"type": "input_text", "text": "One"}]
    assert rest["has_more"] is False
    assert server.get(f"{address}?order=asc").json()["data"] == [*rest["data"], *page["data"][::-1]]
    for wrong in ("limit=0", "order=up", "after=msg_x"):
        assert server.get(f"{address}?{wrong}").status_code == 400


def test_a_response_that_is_not_stored(kept: ServerProcess):
    """It can be read for the retention period, and is out of the log, of conversations and of later requests."""
    first = ask(kept, "echo", "secret", store=False, as_user="ada").json()
    assert (first["store"], first["conversation"]) == (False, None)
    assert kept.get(f"{PATH}/{first['id']}", user="ada").json() == first
    assert kept.get(f"{PATH}/{first['id']}/input_items", user="ada").status_code == 404
    refused = ask(kept, "echo", "And?", previous_response_id=first["id"], as_user="ada")
    assert (refused.status_code, error(refused)["param"]) == (404, "previous_response_id")
    second = ask(kept, "echo", "public", as_user="ada").json()
    listed = kept.get("/api/conversations", user="ada").json()["conversations"]
    assert [each["conversation_id"] for each in listed] == [second["conversation"]["id"]]


def test_a_conversation_continues_after_the_retention_period(kept: ServerProcess):
    """Its text is stored; a response that never was is not found."""
    first = ask(kept, "echo", "One", as_user="bob").json()
    ask(kept, "echo", "Between", as_user="bob", conversation=first["conversation"]["id"])
    wait_for(lambda: kept.get(f"{PATH}/{first['id']}", user="bob").status_code == 410, seconds=30)
    second = ask(kept, "showing", "Two", previous_response_id=first["id"], as_user="bob")
    assert history(second) == [["user", "One"], ["assistant", "One"]]
    assert second.json()["conversation"] == first["conversation"]
    assert ask(kept, "showing", "Two", previous_response_id=first["id"], as_user="mallory").status_code == 404


def test_a_conversation_of_this_server(kept: ServerProcess):
    """It has the questions of every protocol, in its order."""
    user = "carol"
    native = {"username": "echo", "message": "One", "conversation_id": "carols"}
    kept.post("/api/chat", native, user=user)
    second = ask(kept, "showing", "Two", conversation="carols", instructions="Be brief.", as_user=user)
    assert history(second) == [["user", "One"], ["assistant", "One"]]
    third = ask(kept, "showing", "Three", conversation={"id": "carols"}, as_user=user)
    assert [turn[1] for turn in history(third)][:3] == ["One", "One", "Two"]
    refused = ask(kept, "echo", "Four", conversation="a b", as_user=user)
    assert (refused.status_code, error(refused)["param"]) == (400, "conversation")


def test_a_retry_joins_its_run(server: ServerProcess):
    """A lost connection never runs the backend twice."""
    retries = [ask(server, "echo", "once", headers={"X-Stainless-Retry-Count": str(number)}) for number in range(2)]
    assert retries[0].json()["id"] == retries[1].json()["id"]
    key = {"Idempotency-Key": "responses-1"}
    assert ask(server, "echo", "a", headers=key).json()["id"] == ask(server, "echo", "a", headers=key).json()["id"]
    assert ask(server, "echo", "b", headers=key).status_code == 409


@pytest.mark.parametrize("is_stream", [True, False])
def test_an_unknown_heartbeat_is_rejected(server: ServerProcess, is_stream: bool):
    """Also without a stream."""
    refused = ask(server, "echo", "Hi", stream=is_stream, headers={"X-Persona-Heartbeat": "loud"})
    assert error(refused)["param"] == "X-Persona-Heartbeat"


def test_progress_may_be_an_event(server: ServerProcess):
    """For clients that draw it."""
    found = events(ask(server, "slow", "2.5", stream=True, headers={"X-Persona-Heartbeat": "progress"}))
    progress = next(each for each in found if each["type"] == "persona_stream:progress")
    assert progress["message"] == "Analyzing the request..."
    assert progress["elapsed"] >= 2.0
    assert text_of(found[-1]["response"]) == ENGLISH + CHINESE
