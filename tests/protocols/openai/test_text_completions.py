"""Tests of the text completions of OpenAI's protocol: requests, whole transcripts and responses."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from persona_stream.core.content import ProviderFields
from persona_stream.core.facts import AnswerDelta, Answered, Failed, ReasoningDelta
from persona_stream.core.query import Usage
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.base import dump_json
from persona_stream.protocols.openai import text_completions
from tests.fakes import RUN_ID, entries
from tests.protocols.transcripts import AT, BEGUN, transcript_of

HEAD = f'data: {{"id":"cmpl-{RUN_ID}","object":"text_completion","created":1795154400,"model":"VitalikButerin",'
DONE = "data: [DONE]\n\n"


def decode(**fields: Any) -> text_completions.TextCompletionRequest:
    request = text_completions.request_decoder.decode(json.dumps({"model": "ada", **fields}))
    text_completions.check_request(request)
    return request


def chunk(text: str, finish: str = "null", usage: str = "") -> str:
    choice = f'{{"text":"{text}","index":0,"logprobs":null,"finish_reason":{finish}}}'
    return f'{HEAD}"choices":[{choice}]{usage},"system_fingerprint":null}}\n\n'


def transcript(*facts: Any, **how: Any) -> str:
    journal = entries(*BEGUN, *facts)
    return transcript_of(text_completions.TextCompletionEncoder(journal, **how), journal)


@pytest.mark.parametrize("prompt", ["How many?", ["How many?"]])
def test_the_prompt_is_a_text_or_a_list_with_one(prompt: object) -> None:
    """litellm sends a text, llama-index and langchain a list."""
    assert decode(prompt=prompt).text == "How many?"


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("  ", "must not be empty"),
        ([""], "must not be empty"),
        ([], "must be one text"),
        (["One?", "Two?"], "must be one text"),
        ([1, 2, 3], "token ids are not supported"),
        ([[1, 2, 3]], "token ids are not supported"),
    ],
)
def test_another_prompt_is_rejected(prompt: object, words: str) -> None:
    """With the name of the field."""
    with pytest.raises(InvalidRequest, match=f"prompt: .*{words}") as refused:
        _ = decode(prompt=prompt).text
    assert refused.value.field == "prompt"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("echo", True),
        ("suffix", "and so on"),
        ("logprobs", 0),
        ("logprobs", 5),
        ("logprobs", True),
        ("best_of", 3),
        ("max_tokens", 0),
    ],
)
def test_what_no_backend_can_honour_is_rejected(field: str, value: object) -> None:
    """Ignoring it would mislead the client."""
    with pytest.raises(InvalidRequest, match=f"^{field}: ") as refused:
        decode(prompt="How many?", **{field: value})
    assert refused.value.field == field


def test_parameters_reach_the_backend_if_they_ask_for_something() -> None:
    """Under the names of chat completions."""
    neutral: dict[str, Any] = {
        "n": 1, "best_of": 1, "echo": False, "suffix": "", "logprobs": None, "max_tokens": -1,
    }  # fmt: skip
    assert decode(prompt="Hi", **neutral).parameters == {}
    wanted: dict[str, Any] = {"n": 2, "best_of": 2, "temperature": 0.5, "stop": ["\n"], "logit_bias": {"50256": -100}}
    parameters = decode(prompt="Hi", unknown=1, **wanted).parameters
    assert parameters == {"n": 2, "temperature": 0.5, "stop": ("\n",), "logit_bias": {"50256": -100}}


def test_a_whole_stream() -> None:
    """An empty chunk at once, comments, the text, the reason of its end; reasoning has no form."""
    seen = transcript((AT + 1, ReasoningDelta("Hm.")), (AT + 2.5, AnswerDelta("One, ")), (AT + 3, Answered("two.")))
    assert seen.startswith(chunk(""))
    assert [line for line in seen.split("\n") if line.startswith(":")][:1] == [
        ": processing 0.0s 5% 正在处理您的请求..."
    ]
    data = [json.loads(line[6:]) for line in seen.split("\n") if line.startswith("data: {")]
    assert "".join(each["choices"][0]["text"] for each in data) == "One, two."
    assert "Hm." not in seen
    assert seen.endswith(chunk("", '"stop"') + DONE)


def test_token_counts_are_sent_on_request() -> None:
    """In a last chunk without choices; ``null`` in all others."""
    answered = Answered("One.", Usage(input_tokens=412, output_tokens=19))
    seen = transcript((AT, answered), include_usage=True)
    counts = '{"prompt_tokens":412,"completion_tokens":19,"total_tokens":431}'
    assert seen.startswith(chunk("", usage=',"usage":null'))
    assert seen.endswith(f'{HEAD}"choices":[],"usage":{counts},"system_fingerprint":null}}\n\n{DONE}')


def test_heartbeats_are_empty_chunks_on_request() -> None:
    """As in chat completions."""
    seen = transcript((AT + 2.5, Answered("One.")), heartbeat="delta")
    assert seen == chunk("") * 3 + chunk("One.") + chunk("", '"stop"') + DONE


def test_a_failed_stream_ends_with_the_error() -> None:
    """And without a reason of its end."""
    seen = transcript((AT + 1, Failed("backend_error", "Closed.")), heartbeat="off")
    error = '{"error":{"message":"Closed.","type":"server_error","param":null,"code":"backend_error"}}'
    assert seen == f"{chunk('')}data: {error}\n\n{DONE}"


def test_the_choices_of_a_provider_are_texts() -> None:
    """In a stream and in a response."""
    others = [{"index": 1, "message": {"role": "assistant", "content": "Two."}, "finish_reason": "length"}]
    answered = Answered("One.", finish="length", extras=ProviderFields("openai", {"choices": {"others": others}}))
    status, body = text_completions.TEXT_COMPLETIONS.response(entries(*BEGUN, (AT, answered)))
    assert status == 200
    expected = [("One.", 0, "length"), ("Two.", 1, "length")]
    decoded = msgspec.json.decode(dump_json(body))
    assert [(each["text"], each["index"], each["finish_reason"]) for each in decoded["choices"]] == expected
    assert '"text":"Two.","index":1,"logprobs":null,"finish_reason":"length"' in transcript((AT, answered))


def test_the_response_of_a_failed_run_is_its_error() -> None:
    """With the status of the failure."""
    journal = entries(*BEGUN, (AT, Failed("rate_limited")))
    status, body = text_completions.TEXT_COMPLETIONS.response(journal)
    assert (status, json.loads(dump_json(body))["error"]["type"]) == (429, "rate_limit_error")
