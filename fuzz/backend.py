"""Backend of the fuzz tests; the message selects one of the possible kinds of answer."""

from __future__ import annotations

import zlib

from persona_stream import Answer, BackendError, Query, ToolCall, Usage
from persona_stream.core.content import ProviderFields

_KINDS = 12


def answer(query: Query) -> Answer | str:
    """Return the kind of answer that the checksum of the message selects."""
    match zlib.crc32(query.message.encode("utf-8", "replace")) % _KINDS:
        case 0:
            raise BackendError("The library is closed today.")
        case 1:
            query.report("Reading page 3 of 8", 0.37)
            return Answer("Read. ", reasoning="Let me read.", usage=Usage(input_tokens=3, output_tokens=9))
        case 2:
            query.send_reasoning("Hm.")
            query.send("A part, ")
            return Answer("and the rest.")
        case 3:
            query.send("A part, and then ")
            raise BackendError("It broke.")
        case 4 if query.tools:
            return Answer(
                "I look.", finish="tools", calls=(ToolCall("call_1", query.tools[0].name, '{"city":"Wien"}'),)
            )
        case 5:
            return Answer(
                "As far as it w", finish="length", extras=ProviderFields("openai", {"message": {"annotations": []}})
            )
        case 6:
            return Answer("", finish="length")
        case 7:
            return "去中心化不是目的。👩‍👩‍👧 \u2028 line, \u0085 next, \x00"
        case _:
            return query.message[:20] or "."


answer.abilities = frozenset({"tools", "images", "prefill", "response_format"})  # type: ignore[attr-defined]  # an attribute of a function
