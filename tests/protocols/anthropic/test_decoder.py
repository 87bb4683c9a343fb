"""Tests of the decoder of Anthropic's requests: turns, parameters, tools and tool choice."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from persona_stream.core.content import Attachment, Tool, ToolCall, ToolChoice
from persona_stream.core.query import Turn
from persona_stream.errors import InvalidRequest
from persona_stream.protocols.anthropic.decoder import (
    InputMessage,
    MessageBlock,
    MessagesRequest,
    MessageTool,
    MessageToolChoice,
    parse_tool_choice,
    parse_tools,
    parse_turns,
)

URL = "https://example.org/a.png"
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
LINKED = {"type": "image", "source": {"type": "url", "url": URL}}
CALL = {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Wien"}}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words, "cache_control": {"type": "ephemeral"}}


def result(content: Any = "Sun.", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "c1", "content": content, **more}


def said(role: str, content: Any) -> list[InputMessage]:
    return msgspec.convert([{"role": role, "content": content}], list[InputMessage])


@pytest.mark.parametrize(
    ("role", "content", "expected"),
    [
        ("user", "Hi", [Turn("user", "Hi")]),
        ("user", "", [Turn("user", "")]),
        ("user", [], [Turn("user", "")]),
        ("system", "Be brief.", [Turn("system", "Be brief.")]),
        ("user", [text("How"), text("many?")], [Turn("user", "How\nmany?")]),
        ("user", [text("See:"), PICTURE], [Turn("user", "See:", ("See:", Attachment("data:image/png;base64,AAAA")))]),
        ("user", [LINKED], [Turn("user", "", (Attachment(URL),))]),
        ("user", [result()], [Turn("tool", "Sun.", call_id="c1")]),
        ("user", [result(None)], [Turn("tool", "", call_id="c1")]),
        ("user", [result([text("Sun"), text("and wind.")], is_error=True)],
         [Turn("tool", "Sun\nand wind.", call_id="c1", failed=True)]),
        ("user", [result([text("See:"), LINKED])], [Turn("tool", "See:", ("See:", Attachment(URL)), call_id="c1")]),
        ("user", [text("And now?"), result()], [Turn("tool", "Sun.", call_id="c1"), Turn("user", "And now?")]),
        ("assistant", "Yes.", [Turn("assistant", "Yes.")]),
        ("assistant", [text("It is "), text("42.")], [Turn("assistant", "It is 42.")]),
        ("assistant", [text("I look."), CALL],
         [Turn("assistant", "I look.", calls=(ToolCall("c1", "weather", '{"city":"Wien"}'),))]),
        ("assistant", [{**CALL, "input": {}}], [Turn("assistant", "", calls=(ToolCall("c1", "weather", "{}"),))]),
        ("assistant", [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, text("Yes.")],
         [Turn("assistant", "Yes.", reasoning="Hm.")]),
        ("assistant", [{"type": "redacted_thinking", "data": "x"}], []),
        ("assistant", [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                       {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "x", "url": "y"}]},
                       {"type": "of tomorrow", "content": {"a": 1}}, text("Found.")], [Turn("assistant", "Found.")]),
        ("assistant", "", []),
        ("assistant", [], []),
    ],
)  # fmt: skip
def test_messages_become_turns(role: str, content: Any, expected: list[Turn]):
    """Tool results are turns of their own; blocks that only a provider knows are dropped."""
    assert parse_turns(None, said(role, content)) == expected


@pytest.mark.parametrize(
    ("system", "expected"),
    [(None, []), ("", []), ([], []), ("Be brief.", [Turn("system", "Be brief.")]),
     ([text("Be brief."), text("Be kind.")], [Turn("system", "Be brief.\nBe kind.")])],
)  # fmt: skip
def test_the_system_prompt_is_the_first_turn(system: Any, expected: list[Turn]):
    """As a string, or as text blocks."""
    made = msgspec.convert(system, str | list[MessageBlock] | None)
    assert parse_turns(made, said("user", "Hi")) == [*expected, Turn("user", "Hi")]


@pytest.mark.parametrize(
    ("role", "block", "words"),
    [
        ("user", {"type": "text"}, "messages[0].content[0].text: is required"),
        ("user", {"type": "image"}, "messages[0].content[0].source: must be a complete source"),
        ("user", {"type": "image", "source": {"type": "file", "file_id": "f"}}, "of type base64 or url"),
        ("user", {"type": "image", "source": {"type": "base64", "data": "AAAA"}}, "of type base64 or url"),
        ("user", {"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}, "the URL of an image"),
        ("user", {"type": "image", "source": {"type": "base64", "media_type": "text/html", "data": "AAAA"}},
         "the URL of an image"),
        ("user", {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A A"}},
         "base64 is invalid"),
        ("user", {"type": "image", "source": {"type": "base64", "media_type": "image/png;x", "data": "AAAA"}},
         "the URL of an image"),
        ("user", {"type": "document", "source": {"type": "url", "url": "ftp://x/a.pdf"}}, "the URL of a file"),
        ("user", {"type": "document", "source": {"type": "file", "file_id": "f"}}, "source: must be a complete source"),
        ("user", {"type": "search_result"}, "messages[0].content[0]: unsupported type 'search_result'"),
        ("user", {"type": "x" * 1000}, f"type '{'x' * 40}';"),
        ("user", CALL, "unsupported type 'tool_use'"),
        ("user", {"type": "tool_result"}, "messages[0].content[0].tool_use_id: is required"),
        ("user", result(5), "messages[0].content[0].content: must be a string or a list of blocks"),
        ("user", result([{"text": "Hi"}]), "messages[0].content[0].content: must be a string"),
        ("assistant", {"type": "text"}, "messages[0].content[0].text: is required"),
        ("assistant", {"type": "tool_use", "id": "c1"}, "messages[0].content[0]: id and name are required"),
        ("assistant", {"type": "tool_use", "id": "", "name": "f"}, "id and name are required"),
        ("assistant", PICTURE, "type 'image' is not allowed in an assistant message"),
        ("assistant", result(), "type 'tool_result' is not allowed in an assistant message"),
        ("system", PICTURE, "messages[0].content: must be text in instructions"),
    ],
)  # fmt: skip
def test_an_unsupported_block_is_rejected_by_name(role: str, block: dict[str, Any], words: str):
    """No content is dropped silently."""
    with pytest.raises(InvalidRequest) as caught:
        parse_turns(None, said(role, [block]))
    assert words in str(caught.value)
    assert caught.value.field == "messages"


def document(kind: str, **source: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": kind, **source}}


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (
            {"type": "tool_reference", "tool_name": "TaskStop"},
            "[tool available: TaskStop]",
        ),  # caigee-cmd/cli2api PR 152
        ({"type": "tool_reference"}, "[tool available: unknown]"),  # caozhiyuan/copilot-api PR 162
        (document("text", media_type="text/plain", data="T"), "T"),
        ({**document("text", media_type="text/plain", data="T"), "title": "a.txt"}, "a.txt\nT"),
        (document("base64", media_type="text/markdown", data="SGk="), "Hi"),
        (document("content", content="T"), "T"),
        (document("content", content=[text("T"), text("U")]), "T\nU"),
        ({"type": "search_result", "source": "https://x", "title": "X", "content": [text("T")]}, "X\nT"),
    ],
)
def test_text_in_other_blocks_is_text(block: dict[str, Any], text: str) -> None:
    """In a question and in a tool result."""
    assert parse_turns(None, said("user", [block])) == [Turn("user", text)]
    assert parse_turns(None, said("user", [result([block])])) == [Turn("tool", text, call_id="c1")]


UNREADABLE = [
    # Alishahryar1/free-claude-code #357, BerriAI/litellm PR 38251
    (document("base64", media_type="application/pdf", data="not base64"), "document (application/pdf)"),
    (document("base64", media_type="text/plain", data="not base64"), "document (text/plain)"),
    (document("file", file_id="f"), "document"),
    ({"type": "image", "source": {"type": "file", "file_id": "f"}}, "image"),
    ({"type": "image", "source": {"type": "base64", "media_type": "image/svg", "data": ""}}, "image (image/svg)"),
    ({"type": "container_upload", "file_id": "f"}, "container_upload"),
    ({"type": "x" * 1000}, "x" * 80),
]


@pytest.mark.parametrize(("block", "name"), UNREADABLE)
def test_other_blocks_become_a_note_where_the_client_repeats_them(block: dict[str, Any], name: str) -> None:
    """In tool results and before the question; one refusal would end the session (anthropics/claude-code #11241)."""
    note = f"[{name} omitted: the model cannot receive it]"
    assert parse_turns(None, said("user", [result([text("Read."), block])])) == [
        Turn("tool", f"Read.\n{note}", call_id="c1")
    ]
    sent = [*said("user", [block, text("What is it?")]), *said("user", "And now?")]
    assert [turn.content for turn in parse_turns(None, sent)] == [f"{note}\nWhat is it?", "And now?"]
    with pytest.raises(InvalidRequest):
        parse_turns(None, said("user", [block]))


def test_documents_are_attachments() -> None:
    """By their content, or by their address; in tool results too."""
    blocks = [
        {**document("base64", media_type="application/pdf", data="AAAA"), "title": "a.pdf"},
        document("url", url="https://example.org/b.pdf"),
    ]
    attachments = (
        Attachment("data:application/pdf;base64,AAAA", type="file", name="a.pdf"),
        Attachment("https://example.org/b.pdf", type="file"),
    )
    assert parse_turns(None, said("user", [result(blocks), *blocks])) == [
        Turn("tool", "", attachments, call_id="c1"),
        Turn("user", "", attachments),
    ]


@pytest.mark.parametrize("block", [{"type": "document"}, PICTURE, {"type": "text"}])
def test_a_system_prompt_other_than_text_is_rejected(block: dict[str, Any]):
    """Images included."""
    with pytest.raises(InvalidRequest, match=r"^system") as caught:
        parse_turns(msgspec.convert([block], list[MessageBlock]), said("user", "Hi"))
    assert caught.value.field == "system"


WEATHER = Tool("weather", "Tell it.", {"type": "object"}, True)


def asked(**more: Any) -> MessagesRequest:
    body = {"model": "ada", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}], **more}
    return msgspec.convert(body, MessagesRequest)


@pytest.mark.parametrize(
    ("sent", "given"),
    [
        ({}, {}),
        ({"temperature": 1, "top_p": 0.5, "top_k": 3}, {"temperature": 1.0, "top_p": 0.5, "top_k": 3}),
        ({"temperature": 0, "stop_sequences": ["a", "b"]}, {"temperature": 0.0, "stop": ("a", "b")}),
        ({"stop_sequences": [], "metadata": {}, "temperature": None}, {}),
        ({"metadata": {"user_id": "u1", "more": 1}}, {"user": "u1"}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, {"parallel_tool_calls": False}),
        ({"tool_choice": {"type": "auto", "disable_parallel_tool_use": False}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "auto", "container": None},
         {"thinking": {"type": "enabled", "budget_tokens": 1024}, "service_tier": "auto"}),
        ({"output_config": {"effort": "low"}}, {"effort": "low"}),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
         {"response_format": {"type": "json_schema",
                              "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}}}),
    ],
)  # fmt: skip
def test_parameters_have_the_names_of_openai(sent: dict[str, Any], given: dict[str, Any]):
    """Absent fields are absent."""
    assert dict(asked(**sent).parameters) == {"max_tokens": 5, **given}


def test_tools_are_parsed_as_sent():
    """Unknown fields are ignored."""
    sent = [
        {"name": "weather", "description": "Tell it.", "input_schema": {"type": "object"}, "strict": True,
         "cache_control": {"type": "ephemeral"}},
        {"type": "custom", "name": "now", "input_schema": {}},
    ]  # fmt: skip
    assert parse_tools(msgspec.convert(sent, list[MessageTool])) == (WEATHER, Tool("now", None, {}))
    assert parse_tools(None) == parse_tools([]) == ()


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "", "input_schema": {}},
        {"name": "two words", "input_schema": {}},
        {"name": "f\n", "input_schema": {}},
        {"name": "x" * 129, "input_schema": {}},
        {"name": "f", "input_schema": []},
    ],
)
def test_malformed_tools_are_rejected(tool: dict[str, object]):
    """Before the run starts."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(tool, MessageTool)


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},  # raine/claude-code-proxy #109
        {"type": "web_fetch_20250910", "name": "web_fetch"},  # Alishahryar1/free-claude-code PR 673, PR 437
        {"type": "code_execution_20250825", "name": "code_execution"},  # janhq/jan PR 7603
        {"type": "bash_20250124", "name": "bash", "input_schema": {}},
    ],
)
def test_a_tool_of_anthropic_is_ignored_beside_others(tool: dict[str, object]):
    """By itself it is rejected, and so is a choice of it: the client would wait for its results."""
    own = {"name": "now", "input_schema": {}}
    tools = parse_tools(msgspec.convert([tool, own], list[MessageTool]))
    assert tools == (Tool("now", None, {}),)
    with pytest.raises(InvalidRequest, match="not in tools"):
        parse_tool_choice(MessageToolChoice("tool", str(tool["name"])), tools)
    with pytest.raises(InvalidRequest, match=rf"^tools\[0\].type: '{tool['type']}' is not supported"):
        parse_tools(msgspec.convert([tool], list[MessageTool]))


@pytest.mark.parametrize("more", [{}, {"type": "custom"}])
def test_a_tool_without_a_schema_is_rejected(more: dict[str, str]):
    """The error names the field."""
    with pytest.raises(InvalidRequest, match=r"^tools\[0\].input_schema: is required"):
        parse_tools(msgspec.convert([{"name": "weather", **more}], list[MessageTool]))


@pytest.mark.parametrize(
    ("sent", "tools", "choice"),
    [
        (None, (WEATHER,), None),
        (MessageToolChoice("auto"), (WEATHER,), ToolChoice("auto")),
        (MessageToolChoice("any"), (WEATHER,), ToolChoice("required")),
        (MessageToolChoice("none"), (WEATHER,), ToolChoice("none")),
        (MessageToolChoice("tool", "weather"), (WEATHER,), ToolChoice("named", "weather")),
        (MessageToolChoice("any", "weather"), (WEATHER,), ToolChoice("required")),
        (MessageToolChoice("auto"), (), None),
        (MessageToolChoice("none"), (), None),
    ],
)
def test_the_tool_choice_is_parsed_as_sent(
    sent: MessageToolChoice | None, tools: tuple[Tool, ...], choice: ToolChoice | None
):
    """Without tools there is no choice."""
    assert parse_tool_choice(sent, tools) == choice


@pytest.mark.parametrize(
    ("sent", "tools"),
    [
        (MessageToolChoice("any"), ()),
        (MessageToolChoice("tool", "weather"), ()),
        (MessageToolChoice("tool", "time"), (WEATHER,)),
        (MessageToolChoice("tool"), (WEATHER,)),
    ],
)
def test_the_choice_of_an_unknown_tool_is_rejected(sent: MessageToolChoice, tools: tuple[Tool, ...]):
    """Before the run starts."""
    with pytest.raises(InvalidRequest, match=r"^tool_choice") as caught:
        parse_tool_choice(sent, tools)
    assert caught.value.field == "tool_choice"
