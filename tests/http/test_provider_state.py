"""Tests of the fields that a provider requires back with an answer: they survive the way to the client and back.

Public sources: RooCodeInc/Roo-Code #12195 and earendil-works/pi #3636 (reasoning), tinyhumansai/openhuman #3548 and
theopenco/llmgateway #1267 (signatures of thoughts), intrafind/ihub-apps #2240, langroid/langroid #969,
securo-finance/securo #884.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends.fake_provider import (
    DONE,
    STOPPED,
    Provider,
    begun,
    block,
    chunk,
    chunks,
    completion,
    ended,
    http,
    message,
    part,
    parts,
    steps,
    stream,
)
from tests.http.provider_server import serving
from tests.server_process import ServerProcess

HI = {"role": "user", "content": "Weather?"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
OWN_TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
SIGNED = {"google": {"thought_signature": "S"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}, "extra_content": SIGNED}
DETAILS = [{"type": "reasoning.encrypted", "data": "abc", "index": 0}]
ANSWERS = {
    "whole": http(
        200,
        completion(
            None,
            message={"reasoning_content": "I must look.", "reasoning_details": DETAILS, "tool_calls": [CALL]},
            finish_reason="tool_calls",
        ),
    ),
    "streamed": stream(
        chunks(chunk(delta={"reasoning_content": "I must "}), chunk(delta={"reasoning_content": "look."})),
        chunks(chunk(delta={"reasoning_details": DETAILS, "tool_calls": [CALL | {"index": 0}]})),
        chunks(chunk(finish_reason="tool_calls"), DONE),
    ),
}


@pytest.fixture(scope="module")
def openai() -> Iterator[tuple[ServerProcess, Provider]]:
    with serving("openai") as both:
        yield both


@pytest.fixture(scope="module")
def anthropic() -> Iterator[tuple[ServerProcess, Provider]]:
    with serving("anthropic") as both:
        yield both


def choices_of(text: str) -> list[dict[str, Any]]:
    """Return the first choice of each chunk of a stream."""
    return [json.loads(line[6:])["choices"][0] for line in text.split("\n") if line.startswith("data: {")]


def second_turn_of_openai(server: ServerProcess, *, streams: bool) -> None:
    """Ask, and send the answer back with the result of its call."""
    body = {"model": "m", "messages": [HI], "tools": [TOOL], "stream": streams}
    response = server.post("/v1/chat/completions", body)
    if streams:
        answer: dict[str, Any] = {"role": "assistant", "content": None, "reasoning_content": ""}
        for choice in choices_of(response.content.decode()):
            delta = choice["delta"]
            answer["reasoning_content"] += delta.pop("reasoning_content", "")
            calls = [*answer.get("tool_calls", ()), *delta.pop("tool_calls", ())]
            answer |= {name: value for name, value in delta.items() if name not in ("role", "content")}
            answer |= {"tool_calls": calls} if calls else {}
    else:
        answer = response.json()["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": "c1", "content": "sun"}
    server.post("/v1/chat/completions", {**body, "stream": False, "messages": [HI, answer, result]})


def second_turn_of_anthropic(server: ServerProcess, *, streams: bool) -> None:
    """The same with Anthropic's messages."""
    body = {"model": "m", "max_tokens": 99, "messages": [HI], "tools": [OWN_TOOL], "stream": streams}
    response = server.post("/v1/messages", body)
    content = blocks_of(response.content.decode()) if streams else response.json()["content"]
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "sun"}
    answer = {"role": "assistant", "content": content}
    messages = [HI, answer, {"role": "user", "content": [result]}]
    server.post("/v1/messages", {**body, "stream": False, "messages": messages})


def blocks_of(text: str) -> list[dict[str, Any]]:
    """Rebuild the content of a stream, as the official clients do."""
    blocks: list[dict[str, Any]] = []
    for line in text.split("\n"):
        event = json.loads(line[6:]) if line.startswith("data: {") else {}
        match event:
            case {"type": "content_block_start", "content_block": started}:
                blocks.append(started)
            case {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": found}}:
                blocks[-1]["input"] = json.loads(found)
            case {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": found}}:
                blocks[-1]["signature"] = found
            case {"type": "content_block_delta", "delta": {"type": kind, **found}}:
                name = kind.removesuffix("_delta")
                blocks[-1][name] += found[name]
    return blocks


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("turn", [second_turn_of_openai, second_turn_of_anthropic])
def test_reasoning_and_signatures_return_to_an_openai_provider(
    openai: tuple[ServerProcess, Provider], turn: Any, answer: str, streams: bool
) -> None:
    """As fields of the message and of the call; from Anthropic's clients through their thinking blocks."""
    server, behind = openai
    behind.replies = [ANSWERS[answer], http(200, completion("Sunny."))]
    behind.requests.clear()
    turn(server, streams=streams)
    sent = behind.requests[-1].body["messages"][1]
    assert sent["reasoning_content"] == "I must look."
    assert sent["reasoning_details"] == DETAILS
    assert sent["tool_calls"] == [CALL]


def tool_stream(*deltas: dict[str, Any]) -> bytes:
    return stream(chunks(*(chunk(delta=delta) for delta in deltas), chunk(finish_reason="tool_calls"), DONE))


UNSIGNED = {name: value for name, value in CALL.items() if name != "extra_content"}
ENCRYPTED = [{"type": "reasoning.encrypted", "data": data, "index": index} for index, data in enumerate("abc")]
STATES = {
    # A signature after its call, in a delta without an index (HKUDS/OpenHarness PR 338).
    "signature at the end": (
        tool_stream({"tool_calls": [UNSIGNED | {"index": 0}]}, {"tool_calls": [{"extra_content": SIGNED}]}),
        {"tool_calls": [CALL]},
    ),
    # Of two calls, of which the first alone is signed (anomalyco/opencode #4832, microsoft/vscode #296713).
    "one of two calls": (
        tool_stream(
            {"tool_calls": [CALL | {"index": 0}]},
            {"tool_calls": [UNSIGNED | {"index": 1, "id": "c2"}]},
        ),
        {"tool_calls": [CALL, UNSIGNED | {"id": "c2"}]},
    ),
    # The blocks of a reasoning come back unmodified and in their order (srtab/daiv PR 1451).
    "blocks in order": (
        tool_stream(*({"reasoning_details": [each]} for each in ENCRYPTED), {"tool_calls": [UNSIGNED | {"index": 0}]}),
        {"reasoning_details": ENCRYPTED, "tool_calls": [UNSIGNED]},
    ),
    # A gateway must not drop it either (CommandCodeAI/command-code #829, skye-harris/hass_local_openai_llm #101).
    "reasoning of another name": (
        tool_stream({"reasoning": "I must "}, {"reasoning": "look.", "tool_calls": [UNSIGNED | {"index": 0}]}),
        {"tool_calls": [UNSIGNED]},
    ),
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("turn", [second_turn_of_openai, second_turn_of_anthropic])
def test_the_state_of_further_providers_returns(
    openai: tuple[ServerProcess, Provider], turn: Any, state: str, streams: bool
) -> None:
    """From each form of a stream."""
    server, behind = openai
    answer, expected = STATES[state]
    behind.replies = [answer, http(200, completion("Sunny."))]
    behind.requests.clear()
    turn(server, streams=streams)
    sent = behind.requests[-1].body["messages"][1]
    assert {name: sent.get(name) for name in expected} == expected
    if state == "reasoning of another name":
        assert "I must look." in (sent.get("reasoning"), sent.get("reasoning_content"))


@pytest.mark.parametrize("content", ["Sunny.", [{"type": "text", "text": "Sunny."}]])
def test_reasoning_of_a_turn_without_calls_returns(openai: tuple[ServerProcess, Provider], content: object) -> None:
    """Also beside a list of parts (NVIDIA-NeMo/Switchyard #449, experientiallabs/experiential PR 790)."""
    server, behind = openai
    behind.replies = [http(200, completion("Bye."))]
    behind.requests.clear()
    said = {"role": "assistant", "content": content, "reasoning_content": "It is noon."}
    server.post("/v1/chat/completions", {"model": "m", "messages": [HI, said, {"role": "user", "content": "Thanks"}]})
    sent = behind.requests[-1].body["messages"][1]
    assert (sent["content"], sent["reasoning_content"]) == ("Sunny.", "It is noon.")


LOOK = {"type": "tool_use", "id": "c1", "name": "look", "input": {}, "caller": {"type": "direct"}}
THOUGHT = {"type": "thinking", "thinking": "I must look.", "signature": "provider's own"}
REDACTED = {"type": "redacted_thinking", "data": "secret"}
OWN_ANSWERS = {
    "whole": http(200, message(THOUGHT, REDACTED, "Wait.", LOOK, stop_reason="tool_use")),
    "streamed": stream(
        parts(
            begun(),
            block(0, type="thinking", thinking=""),
            part("I must look.", 0, "thinking"),
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "signature_delta", "signature": "provider's own"},
            },
            block(1, **REDACTED),
            block(2),
            part("Wait.", 2),
            block(3, **LOOK),
            ended("tool_use"),
            STOPPED,
        )
    ),
}


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("answer", OWN_ANSWERS)
def test_thinking_returns_to_an_anthropic_provider(
    anthropic: tuple[ServerProcess, Provider], answer: str, streams: bool
) -> None:
    """With the provider's own signatures, before the text and the calls (vybestack/llxprt-code #1729)."""
    server, behind = anthropic
    behind.replies = [OWN_ANSWERS[answer], http(200, message("Sunny."))]
    behind.requests.clear()
    second_turn_of_anthropic(server, streams=streams)
    assert behind.requests[-1].body["messages"][1]["content"] == [
        THOUGHT,
        REDACTED,
        {"type": "text", "text": "Wait."},
        LOOK,
    ]


def test_a_thinking_block_that_the_client_changed_is_not_sent(anthropic: tuple[ServerProcess, Provider]) -> None:
    """Nor one with another signature: the provider would reject it."""
    server, behind = anthropic
    behind.replies = [http(200, message("Sunny."))]
    behind.requests.clear()
    foreign = {"type": "thinking", "thinking": "Hm.", "signature": "EqQBCgIYAhIM"}
    answer = {"role": "assistant", "content": [foreign, {"type": "text", "text": "Hi."}]}
    server.post("/v1/messages", {"model": "m", "max_tokens": 99, "messages": [HI, answer, HI]})
    assert behind.requests[-1].body["messages"][1]["content"] == "Hi."


PARAMETERS: dict[str, Any] = {
    "logit_bias": {"50256": -100},
    "metadata": {"a": "b"},
    "store": True,
    "service_tier": "flex",
    "verbosity": "low",
    "top_k": 5,
    "n": 2,
    "logprobs": True,
    "top_logprobs": 2,
    "prediction": {"type": "content", "content": "x"},
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "chat_template_kwargs": {"enable_thinking": False},
}


def test_parameters_reach_a_provider_with_the_same_protocol(openai: tuple[ServerProcess, Provider]) -> None:
    """With their values; its choices and log probabilities come back, streamed or not."""
    server, behind = openai
    logprobs = {"content": [{"token": "a", "logprob": -0.1}]}
    whole = {
        "choices": [
            {"index": 0, "message": {"content": "One."}, "finish_reason": "stop", "logprobs": logprobs},
            {"index": 1, "message": {"content": "Two."}, "finish_reason": "MAX_TOKENS"},
        ]
    }
    behind.replies = [http(200, whole)]
    behind.requests.clear()
    body = {"model": "m", "messages": [HI], **PARAMETERS}
    choices = server.post("/v1/chat/completions", body).json()["choices"]
    sent = behind.requests[-1].body
    assert {name: sent.get(name) for name in PARAMETERS} == PARAMETERS
    assert [choice["message"]["content"] for choice in choices] == ["One.", "Two."]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "length"]
    assert choices[0]["logprobs"] == logprobs
    text = server.post("/v1/chat/completions", {**body, "stream": True}).text
    deltas = choices_of(text)
    said = {
        index: "".join(each["delta"].get("content") or "" for each in deltas if each["index"] == index)
        for index in (0, 1)
    }
    assert said == {0: "One.", 1: "Two."}
    assert [each["logprobs"] for each in deltas if each["logprobs"]] == [logprobs]


def test_parameters_of_another_protocol_do_not_reach_the_provider(
    openai: tuple[ServerProcess, Provider], anthropic: tuple[ServerProcess, Provider]
) -> None:
    """Their values would mean something else, or nothing."""
    server, behind = openai
    behind.replies = [http(200, completion())]
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "standard_only", "top_k": 5}
    server.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [HI], **more})
    assert not behind.requests[-1].body.keys() & more.keys()
    server, behind = anthropic
    behind.replies = [http(200, message("Hi."))]
    server.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [HI], **more})
    assert {name: behind.requests[-1].body[name] for name in more} == more
    server.post("/v1/chat/completions", {"model": "m", "messages": [HI], "service_tier": "flex", "store": True})
    assert not behind.requests[-1].body.keys() & {"service_tier", "store"}
    refused = server.post("/v1/chat/completions", {"model": "m", "messages": [HI], "n": 2})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")


def test_a_refusal_stays_a_refusal(openai: tuple[ServerProcess, Provider]) -> None:
    """In the client's form: a field of the message, or a stop reason."""
    server, behind = openai
    behind.replies = [http(200, completion(None, message={"refusal": "I would rather not."}))]
    whole = server.post("/v1/chat/completions", {"model": "m", "messages": [HI]}).json()["choices"][0]
    assert (whole["message"]["content"], whole["message"]["refusal"]) == (None, "I would rather not.")
    assert whole["finish_reason"] == "stop"
    text = server.post("/v1/chat/completions", {"model": "m", "messages": [HI], "stream": True}).text
    deltas = [choice["delta"] for choice in choices_of(text)]
    assert "".join(delta.get("refusal", "") for delta in deltas) == "I would rather not."
    assert not any(delta.get("content") for delta in deltas)
    own = server.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [HI]}).json()
    assert (own["stop_reason"], own["content"]) == ("refusal", [{"type": "text", "text": "I would rather not."}])
    native = server.post("/api/chat", {"username": "m", "message": "x"}).json()
    assert (native["data"], native["finish"]) == ("I would rather not.", "refusal")


def test_usage_has_the_tokens_of_the_reasoning(openai: tuple[ServerProcess, Provider]) -> None:
    """On every wire that has a field for them."""
    server, behind = openai
    details = {"reasoning_tokens": 5, "audio_tokens": 0}
    usage = {"prompt_tokens": 7, "completion_tokens": 9, "completion_tokens_details": details}
    behind.replies = [http(200, completion(usage=usage))]
    found = server.post("/v1/chat/completions", {"model": "m", "messages": [HI]}).json()["usage"]
    assert found["completion_tokens_details"] == details
    native = server.post("/api/chat", {"username": "m", "message": "x"}).json()["usage"]
    assert native == {"input_tokens": 7, "output_tokens": 9, "estimated": False, "reasoning_tokens": 5}


def test_unknown_fields_and_refusals_reach_the_client_as_they_come(openai: tuple[ServerProcess, Provider]) -> None:
    """In the order of the provider, each once; at the end nothing is repeated."""
    server, behind = openai
    go_on = threading.Event()
    first = chunks(chunk("Fo", delta={"x_tokens": [1]}), chunk("rty", delta={"x_tokens": [2]}))
    rest = chunks("-two.", chunk(delta={"x_note": "done"}, finish_reason="stop"), DONE)
    behind.replies = [steps(first, go_on, rest)]
    body = {"model": "m", "messages": [HI], "stream": True}
    seen = []
    with server.post("/v1/chat/completions", body, stream=True) as response:
        for line in response.iter_lines():
            if b'"x_tokens":[2]' in line:
                assert not go_on.is_set()
                go_on.set()
            if line.startswith(b"data: {"):
                seen.append(json.loads(line[6:])["choices"][0]["delta"])
        run_id = response.headers["X-Run-Id"]
    assert [delta for delta in seen if delta.keys() & {"x_tokens", "x_note"}] == [
        {"x_tokens": [1]}, {"x_tokens": [2]}, {"x_note": "done"},
    ]  # fmt: skip
    assert "".join(delta.get("content", "") for delta in seen) == "Forty-two."
    native = server.get(f"/api/runs/{run_id}/events").text
    assert "x_tokens" not in native
    assert server.get(f"/api/runs/{run_id}/events?protocol=anthropic").text.count("x_tokens") == 0
    again = server.get(f"/api/runs/{run_id}/events?protocol=openai&from=5").text
    assert again.count("x_note") == 1
    assert '"x_tokens":[1]' not in again


def test_a_streamed_refusal_is_one_from_its_first_part(openai: tuple[ServerProcess, Provider]) -> None:
    """Also for a client that resumes in the middle of it."""
    server, behind = openai
    refusal = chunks(chunk(delta={"refusal": "I would "}), chunk(delta={"refusal": "rather not."}))
    behind.replies = [stream(refusal, chunks(chunk(finish_reason="stop"), DONE))]
    response = server.post("/v1/chat/completions", {"model": "m", "messages": [HI], "stream": True})
    run_id = response.headers["X-Run-Id"]
    again = server.get(f"/api/runs/{run_id}/events?protocol=openai&from=8")
    for answered, text in ((response, "I would rather not."), (again, "rather not.")):
        deltas = [choice["delta"] for choice in choices_of(answered.text)]
        assert "".join(delta.get("refusal", "") for delta in deltas) == text
        assert not any(delta.get("content") for delta in deltas)
    behind.replies = [stream(refusal, chunks(chunk(finish_reason="stop"), DONE))]
    own = server.post("/v1/messages", {"model": "m", "max_tokens": 9, "messages": [HI], "stream": True}).text
    assert '"stop_reason":"refusal"' in own
