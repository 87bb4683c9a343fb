"""The seven compliance cases of Open Responses, with its requests, schemas and checks.

Its runner (``bin/compliance-test.ts``) needs bun and generated code; ``src/lib/compliance-tests.ts`` has the cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from persona_stream.core.sse import SSEDecoder
from tests.server_process import ServerProcess, serve

HEART = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather for a location",
    "parameters": {
        "type": "object",
        "properties": {"location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"}},
        "required": ["location"],
    },
}

Nullable = (type(None),)
# The members that ``responseResourceSchema`` requires, with their types.
RESPONSE: dict[str, tuple[type, ...]] = {
    "id": (str,), "object": (str,), "created_at": (int,), "completed_at": (int, *Nullable), "status": (str,),
    "incomplete_details": (dict, *Nullable), "model": (str,), "previous_response_id": (str, *Nullable),
    "instructions": (str, list, *Nullable), "output": (list,), "error": (dict, *Nullable), "tools": (list,),
    "tool_choice": (str, dict), "truncation": (str,), "parallel_tool_calls": (bool,), "text": (dict,),
    "top_p": (int, float), "presence_penalty": (int, float), "frequency_penalty": (int, float), "top_logprobs": (int,),
    "temperature": (int, float), "reasoning": (dict, *Nullable), "usage": (dict, *Nullable),
    "max_output_tokens": (int, *Nullable), "max_tool_calls": (int, *Nullable), "store": (bool,), "background": (bool,),
    "service_tier": (str,), "metadata": (dict,), "safety_identifier": (str, *Nullable),
    "prompt_cache_key": (str, *Nullable), "user": (str, *Nullable),
}  # fmt: skip
ITEMS: dict[str, dict[str, tuple[type, ...]]] = {
    "message": {"id": (str,), "status": (str,), "role": (str,), "content": (list,)},
    "reasoning": {"id": (str,), "summary": (list,)},
    "function_call": {"id": (str,), "call_id": (str,), "name": (str,), "arguments": (str,), "status": (str,)},
}
PARTS: dict[str, dict[str, tuple[type, ...]]] = {
    "output_text": {"text": (str,), "annotations": (list,), "logprobs": (list,)},
    "refusal": {"refusal": (str,)},
    "summary_text": {"text": (str,)},
}
_PLACE: dict[str, tuple[type, ...]] = {"item_id": (str,), "output_index": (int,)}
_CONTENT: dict[str, tuple[type, ...]] = {**_PLACE, "content_index": (int,)}
_SUMMARY: dict[str, tuple[type, ...]] = {**_PLACE, "summary_index": (int,)}
EVENTS: dict[str, dict[str, tuple[type, ...]]] = {
    "response.created": {"response": (dict,)},
    "response.in_progress": {"response": (dict,)},
    "response.completed": {"response": (dict,)},
    "response.output_item.added": {"output_index": (int,), "item": (dict,)},
    "response.output_item.done": {"output_index": (int,), "item": (dict,)},
    "response.content_part.added": {**_CONTENT, "part": (dict,)},
    "response.content_part.done": {**_CONTENT, "part": (dict,)},
    "response.output_text.delta": {**_CONTENT, "delta": (str,)},
    "response.output_text.done": {**_CONTENT, "text": (str,)},
    "response.reasoning_summary_part.added": {**_SUMMARY, "part": (dict,)},
    "response.reasoning_summary_part.done": {**_SUMMARY, "part": (dict,)},
    "response.reasoning_summary_text.delta": {**_SUMMARY, "delta": (str,)},
    "response.reasoning_summary_text.done": {**_SUMMARY, "text": (str,)},
    "response.function_call_arguments.delta": {**_PLACE, "delta": (str,)},
    "response.function_call_arguments.done": {**_PLACE, "arguments": (str,)},
}
USAGE = {"input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"}


def check(value: dict[str, Any], members: dict[str, tuple[type, ...]]) -> None:
    """Assert that an object has members of these types; a number is never a boolean."""
    for name, types in members.items():
        assert name in value, name
        assert isinstance(value[name], types), (name, value[name])
        assert bool in types or not isinstance(value[name], bool), name


def check_item(item: dict[str, Any]) -> None:
    check(item, ITEMS[item["type"]])
    for part in (*item.get("content", ()), *item.get("summary", ())):
        check(part, PARTS[part["type"]])


def check_response(response: dict[str, Any]) -> None:
    check(response, RESPONSE)
    assert response["object"] == "response"
    for item in response["output"]:
        check_item(item)
    if response["usage"] is not None:
        assert response["usage"].keys() >= USAGE
        assert "cached_tokens" in response["usage"]["input_tokens_details"]
        assert "reasoning_tokens" in response["usage"]["output_tokens_details"]


def check_event(event: dict[str, Any]) -> None:
    check(event, {"type": (str,), "sequence_number": (int,), **EVENTS[event["type"]]})
    if "response" in event:
        check_response(event["response"])
    if "item" in event:
        check_item(event["item"])
    if "part" in event:
        check(event["part"], PARTS[event["part"]["type"]])


def user(content: object) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": content}


@pytest.fixture(scope="module")
def open_responses() -> Iterator[ServerProcess]:
    """Server with a backend that answers the questions of the suite as a model would."""
    server = serve("tests.backends_for_tests:compliant")
    yield server
    assert server.stop() == 0


def ask(server: ServerProcess, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    response = server.post("/v1/responses", {"model": "m", "input": list(items), "stream": False, **more})
    assert response.status_code == 200, response.text
    check_response(response.json())
    found: dict[str, Any] = response.json()
    return found


def stream(server: ServerProcess, *items: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    response = server.post("/v1/responses", {"model": "m", "input": list(items), "stream": True, **more})
    decoded = SSEDecoder().feed(response.content)
    assert decoded.pop().data == b"[DONE]"
    events = [json.loads(event.data) for event in decoded]
    for event in events:
        check_event(event)
    assert [event.event for event in decoded] == [event["type"] for event in events]
    return events


def test_basic_text_response(open_responses: ServerProcess) -> None:
    """Simple user message; the response has an output and is completed."""
    response = ask(open_responses, user("Say hello in exactly 3 words."))
    assert (bool(response["output"]), response["status"]) == (True, "completed")


def test_streaming_response(open_responses: ServerProcess) -> None:
    """Every event has its schema, and the final response is completed."""
    events = stream(open_responses, user("Count from 1 to 5."))
    assert (events[-1]["type"], events[-1]["response"]["status"]) == ("response.completed", "completed")


def test_system_prompt(open_responses: ServerProcess) -> None:
    """A message of the system role in the input."""
    prompt = {"type": "message", "role": "system", "content": "You are a pirate. Always respond in pirate speak."}
    response = ask(open_responses, prompt, user("Say hello."))
    assert (bool(response["output"]), response["status"]) == (True, "completed")


def test_tool_calling(open_responses: ServerProcess) -> None:
    """A function tool is called."""
    response = ask(open_responses, user("What's the weather like in San Francisco?"), tools=[WEATHER])
    assert "function_call" in [item["type"] for item in response["output"]]


def test_streaming_tool_calling(open_responses: ServerProcess) -> None:
    """The call has its item and its arguments as events."""
    events = stream(open_responses, user("What's the weather like in San Francisco?"), tools=[WEATHER])
    kinds = [event["type"] for event in events]
    assert {"response.function_call_arguments.delta", "response.function_call_arguments.done"} <= set(kinds)
    for kind in ("response.output_item.added", "response.output_item.done"):
        assert "function_call" in [event["item"]["type"] for event in events if event["type"] == kind]


def test_image_input(open_responses: ServerProcess) -> None:
    """An image in the content of the user."""
    content = [
        {"type": "input_text", "text": "What do you see in this image? Answer in one sentence."},
        {"type": "input_image", "image_url": HEART},
    ]
    response = ask(open_responses, user(content))
    assert (bool(response["output"]), response["status"]) == (True, "completed")


def test_multi_turn_conversation(open_responses: ServerProcess) -> None:
    """Earlier messages of the assistant and the user in the input."""
    answer = {
        "type": "message", "role": "assistant", "content": "Hello Alice! Nice to meet you. How can I help you today?",
    }  # fmt: skip
    response = ask(open_responses, user("My name is Alice."), answer, user("What is my name?"))
    assert response["status"] == "completed"
    assert response["output"][-1]["content"][0]["text"] == "Your name is Alice."
