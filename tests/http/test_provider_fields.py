"""docs/PROVIDERS.md says what becomes of each field of a request: every cell of its tables is tried.

A fake provider records the request that reaches it with the field and without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import pytest

from persona_stream.protocols.anthropic.decoder import MessagesRequest, OutputConfig, RequestMetadata
from persona_stream.protocols.openai.decoder import ChatCompletionRequest
from persona_stream.protocols.openai.text_completions import TextCompletionRequest
from persona_stream.protocols.openai_responses.decoder import CreateResponseRequest, ReasoningOptions, TextOptions
from persona_stream.web.parsing import ChatRequest
from tests.backends.fake_provider import Provider, completion, http, message, provider
from tests.documents import Document
from tests.server_process import SECRET, ServerProcess

PROVIDERS = Document("docs/PROVIDERS.md")
BACKENDS = ("openai", "anthropic", "others")
UNKNOWN = "unheard_of"

Json = Mapping[str, Any]
SCHEMA = {"type": "object", "properties": {"at": {"type": "string"}}, "additionalProperties": False}
OPENAI_TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
ANTHROPIC_TOOL = {"name": "look", "input_schema": SCHEMA}
FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA, "strict": True}}
CAT = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
QUESTION = {"role": "user", "content": "How many?"}


class Sample(NamedTuple):
    """Value of a field, and the other fields that it needs."""

    value: Any
    beside: Json = MappingProxyType({})


class Table(NamedTuple):
    """Table of one protocol: its heading, its endpoint, its request, and a sample of each field."""

    heading: str
    path: str
    fields: frozenset[str]
    base: Json
    samples: Mapping[str, Sample]


def names_of(*types: tuple[str, type[msgspec.Struct]]) -> frozenset[str]:
    """Return the names of the fields in JSON, with a prefix; a field whose own fields are named too is left out."""
    names = {prefix + name for prefix, kind in types for name in kind.__struct_encode_fields__}
    return frozenset(names - {prefix.rstrip(".") for prefix, _ in types})


SAMPLING = {"temperature": Sample(1.5), "top_p": Sample(0.5), "user": Sample("u")}
PENALTIES = {"presence_penalty": Sample(0.5), "frequency_penalty": Sample(0.5)}
CHAT = {
    **SAMPLING,
    **PENALTIES,
    "model": Sample("another"),
    "messages": Sample([{"role": "system", "content": "Be brief."}, QUESTION]),
    "stream": Sample(value=True),
    "stream_options": Sample({"include_usage": True}, {"stream": True}),
    "return_progress": Sample(value=True),
    "max_tokens": Sample(99),
    "max_completion_tokens": Sample(99),
    "stop": Sample(["end"]),
    "seed": Sample(1),
    "reasoning_effort": Sample("low"),
    "tools": Sample([OPENAI_TOOL]),
    "tool_choice": Sample("required", {"tools": [OPENAI_TOOL]}),
    "parallel_tool_calls": Sample(value=False, beside={"tools": [OPENAI_TOOL]}),
    "response_format of type json_schema": Sample(FORMAT),
    "response_format of another type": Sample({"type": "json_object"}),
    "n": Sample(2),
    "logprobs": Sample(value=True),
    "top_logprobs": Sample(2),
    "modalities": Sample(["text", "audio"]),
    "audio": Sample({"voice": "alloy", "format": "wav"}),
    "logit_bias": Sample({"50256": -100}),
    "metadata": Sample({"label": "x"}),
    "store": Sample(value=True),
    "service_tier": Sample("flex"),
    "verbosity": Sample("low"),
    "prediction": Sample({"type": "content", "content": "x"}),
    "top_k": Sample(5),
    "min_p": Sample(0.5),
    "repetition_penalty": Sample(1.5),
    "safety_identifier": Sample("u"),
    "prompt_cache_key": Sample("k"),
    "thinking": Sample({"type": "enabled"}),
    "enable_thinking": Sample(value=True),
    "thinking_budget": Sample(5),
    "chat_template_kwargs": Sample({"a": 1}),
    "reasoning": Sample({"effort": "low"}),
    "functions": Sample([{"name": "look"}]),
    "function_call": Sample("auto"),
    UNKNOWN: Sample(1),
}
OLD = {
    "prompt": Sample("What?"),
    "best_of": Sample(2),
    "echo": Sample(value=True),
    "logprobs": Sample(2),
    "suffix": Sample("x"),
}
RESPONSES = {
    **SAMPLING,
    **PENALTIES,
    "model": Sample("another"),
    "input": Sample("What?"),
    "instructions": Sample("Be brief."),
    "stream": Sample(value=True),
    "background": Sample(value=False),
    "store": Sample(value=False),
    "previous_response_id": Sample(None),
    "conversation": Sample("c-responses"),
    "max_output_tokens": Sample(99),
    "service_tier": Sample("flex"),
    "safety_identifier": Sample("u"),
    "prompt_cache_key": Sample("k"),
    "reasoning.effort": Sample("low"),
    "reasoning.summary": Sample("auto"),
    "text.verbosity": Sample("low"),
    "text.format of type json_schema": Sample({"type": "json_schema", "name": "a", "schema": SCHEMA}),
    "tools": Sample([{"type": "function", "name": "look", "parameters": SCHEMA}]),
    "tool_choice": Sample("required", {"tools": [{"type": "function", "name": "look", "parameters": SCHEMA}]}),
    "parallel_tool_calls": Sample(
        value=False, beside={"tools": [{"type": "function", "name": "look", "parameters": SCHEMA}]}
    ),
    "metadata": Sample({"label": "x"}),
    "prompt": Sample({"id": "p"}),
    "top_logprobs": Sample(2),
    "max_tool_calls": Sample(2),
    "truncation": Sample("auto"),
    UNKNOWN: Sample(1),
}
MESSAGES = {
    "model": Sample("another"),
    "system": Sample("Be brief."),
    "messages": Sample([{"role": "user", "content": [CAT, {"type": "text", "text": "What?"}]}]),
    "stream": Sample(value=True),
    "temperature": Sample(0.5),
    "top_p": Sample(0.5),
    "top_k": Sample(5),
    "max_tokens": Sample(99),
    "stop_sequences": Sample(["end"]),
    "metadata.user_id": Sample("u"),
    "metadata.conversation_id": Sample("c-messages"),
    "tools": Sample([ANTHROPIC_TOOL]),
    "tool_choice": Sample({"type": "any"}, {"tools": [ANTHROPIC_TOOL]}),
    "thinking": Sample({"type": "enabled", "budget_tokens": 1024}),
    "service_tier": Sample("auto"),
    "output_config.effort": Sample("low"),
    "output_config.format": Sample({"type": "json_schema", "schema": SCHEMA}),
    "mcp_servers": Sample([{"type": "url"}]),
    "thread": Sample("t"),
    "cache_control": Sample({"type": "ephemeral"}),
    UNKNOWN: Sample(1),
}
NATIVE = {
    "message": Sample("What?"),
    "prompt": Sample("Be brief."),
    "username": Sample("another"),
    "persona": Sample("ada"),
    "prompt_mode": Sample("replace"),
    "conversation_id": Sample("c-native"),
    "chunking": Sample("sentences"),
    "locale": Sample("en"),
    "timeout": Sample(20.0),
    "reasoning": Sample(value=True),
    "attachments of type image": Sample([{"type": "image", "url": "data:image/png;base64,iVBO"}]),
    "attachments of type file": Sample([{"type": "file", "url": "data:application/pdf;base64,iVBO"}]),
    "attachments of type audio": Sample([{"type": "audio", "url": "data:audio/mpeg;base64,iVBO"}]),
    UNKNOWN: Sample(1),
}
# Values for a backend without capabilities.
PLAIN = {"messages": [{"role": "user", "content": "What?"}]}
CHAT_BASE = {"model": "ada", "messages": [QUESTION]}
TABLES = [
    Table("an OpenAI client", "/v1/chat/completions", names_of(("", ChatCompletionRequest)), CHAT_BASE, CHAT),
    Table(
        "an old OpenAI client",
        "/v1/completions",
        names_of(("", TextCompletionRequest)) - (names_of(("", ChatCompletionRequest)) - {"logprobs"}),
        {"model": "ada", "prompt": "How many?"},
        OLD,
    ),
    Table(
        "a client of /v1/responses",
        "/v1/responses",
        names_of(("", CreateResponseRequest), ("text.", TextOptions), ("reasoning.", ReasoningOptions)),
        {"model": "ada", "input": "How many?"},
        RESPONSES,
    ),
    Table(
        "an Anthropic client",
        "/v1/messages",
        names_of(("", MessagesRequest), ("metadata.", RequestMetadata), ("output_config.", OutputConfig)),
        {"model": "ada", "max_tokens": 9, "messages": [QUESTION]},
        MESSAGES,
    ),
    Table("a native client", "/api/chat", names_of(("", ChatRequest)), {"username": "ada", "message": "Hm?"}, NATIVE),
]
# Rows about parts of a field, which tests of the backends cover.
PARTS = (
    "unknown fields of", "thinking blocks", "redacted_thinking blocks", "file parts", "input_audio parts",
    "input_image, input_file in", "image, document blocks",
)  # fmt: skip
_DETAIL = re.compile(r": .*| of type .*| of another type| above 1| other than .*")


def rows(table: Table) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the fields and the cells of each row of a table in the document."""
    found = False
    for first, *cells in PROVIDERS.rows():
        if first.startswith("field of "):
            found = first == f"field of {table.heading}"
        elif found and not set(first) <= set("-|") and not first.startswith(PARTS):
            if first in table.samples:
                yield [first], cells
            else:
                names = _DETAIL.sub("", first).split(", ")
                yield [UNKNOWN if name == "any other field" else name for name in names], cells


def expectations(table: Table) -> Iterator[tuple[str, str, str]]:
    """Yield each field, backend and verdict of a table."""
    for names, cells in rows(table):
        for name in names:
            for backend, cell in zip(BACKENDS, cells, strict=True):
                verdict = re.match(r"passed|translated|ignored|used here|refused|quer", cell)
                assert verdict is not None, f"{name}: {cell}"
                exception = re.search(rf", except {re.escape(name)}, which is (\w+)", cell)
                yield name, backend, exception[1] if exception else verdict[0]


CASES = [
    pytest.param(table, *each, id=f"{table.path} {' '.join(each)}") for table in TABLES for each in expectations(table)
]


class Served(NamedTuple):
    """Server with a backend, and the provider that records what the backend received."""

    server: ServerProcess
    behind: Provider

    def send(self, path: str, body: Json) -> tuple[int, str, Json]:
        """Return the status, the text, and the body that the backend received."""
        self.behind.requests.clear()
        response = self.server.post(path, body)
        return response.status_code, response.text, self.behind.requests[-1].body if response.ok else {}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Served]]:
    """Return a server for each column of the tables."""
    replies = {"openai": completion(), "anthropic": message("Forty-two."), "others": {}}
    with ExitStack() as stack:
        found = {}
        for backend, reply in replies.items():
            behind = stack.enter_context(provider(http(200, reply, "Content-Type: application/json")))
            own = {"base_url": behind.base_url, "model": "m1", "stream": "off"}
            flags = {
                "jwt_secret": SECRET,
                "backend": "tests.backends_for_tests:recorded" if backend == "others" else backend,
                "database_url": f"sqlite:///{tmp_path_factory.mktemp(backend)}/log.sqlite",
                **({} if backend == "others" else {f"{backend}_{name}": value for name, value in own.items()}),
            }
            arguments = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
            found[backend] = Served(ServerProcess(arguments, {"RECORDER": behind.base_url}), behind)
        yield found
        assert [each.server.stop() for each in found.values()] == [0, 0, 0]


def put(body: Json, path: str, value: object) -> dict[str, Any]:
    """Return a body with a value at a dotted path."""
    name, _, rest = path.partition(".")
    return {**body, name: put(body.get(name, {}), rest, value) if rest else value}


def get(body: Json, path: str) -> object:
    """Return the value at a dotted path of a body; ``None`` if there is none."""
    found: Any = body
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
def test_every_field_of_a_request_is_in_its_table(table: Table) -> None:
    """And every field of the table has a sample."""
    named = {name for names, _ in rows(table) for name in names}
    assert {_DETAIL.sub("", name) for name in named} >= table.fields
    assert named == set(table.samples)


@pytest.mark.parametrize(("table", "field", "backend", "verdict"), CASES)
def test_a_field_is_treated_as_the_document_says(
    served: Mapping[str, Served], table: Table, field: str, backend: str, verdict: str
) -> None:
    """The request that reaches the provider differs accordingly from one without the field."""
    value, beside = table.samples[field]
    path = _DETAIL.sub("", field)
    base = {**table.base, **beside}
    if backend == "others":
        value = PLAIN.get(field, value)
        base = table.base if "tools" in beside else base
    status, text, received = served[backend].send(table.path, put(base, path, value))
    if verdict == "refused":
        assert status == 400, text
        assert path.partition(".")[0] in text
        return
    assert status == 200, text
    _, _, without = served[backend].send(table.path, base)
    if backend == "others":
        assert (received != without) == (verdict == "quer")
        return
    match verdict:
        case "passed":
            assert get(received, path) == value
        case "translated":
            assert received != without
            assert get(received, path) != value
        case _:
            assert received == without
