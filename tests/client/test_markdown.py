"""Answer as Markdown on a terminal."""

from __future__ import annotations

import io
import re

from persona_stream.client.markdown import MarkdownRenderer
from persona_stream.client.models import ExitCode, parse_reply
from persona_stream.client.policy import Fail
from persona_stream.client.session import Received, SessionFinished
from persona_stream.client.terminal import Terminal

SOURCE = (
    "# Sorting\n\nUse **quicksort**:\n\n```python\nsort(x)\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n- two\n"
)


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(*chunks: str) -> str:
    """Return what a terminal receives for an answer in these chunks."""
    stream = _Screen()
    renderer = MarkdownRenderer(Terminal(stream, {"TERM": "xterm", "COLUMNS": "40"}))
    end = SessionFinished(
        end=Fail(ExitCode.ANSWERED, "complete"), run_id="", conversation_id="", characters=1, seconds=1.0
    )
    for update in (*(Received(parse_reply({"data": chunk})) for chunk in chunks), end):
        renderer.suspend(update)
        renderer(update)
    return stream.getvalue()


def final(sent: str) -> list[str]:
    """Return the lines that remain on the screen, without styles."""
    lines = [""]
    for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x1b]", sent):
        if part == "\x1b[1A":
            lines.pop()
        elif part in ("\x1b[2K", "\r"):
            lines[-1] = "" if part == "\x1b[2K" else lines[-1]
        elif part == "\n":
            lines.append("")
        elif not part.startswith("\x1b"):
            lines[-1] += part
    return [line.rstrip() for line in lines]


def test_markdown_is_rendered() -> None:
    """Bold text, code, tables and lists, without the marks of the source."""
    sent = shown(SOURCE)
    text = "\n".join(final(sent))
    assert "**" not in text
    assert "```" not in text
    assert "\x1b[1mquicksort\x1b[0m" in sent
    for part in ("Sorting", "sort(x)", "• one"):
        assert part in text


def test_any_chunks_lead_to_the_same_screen() -> None:
    """As the whole answer at once."""
    whole = [line for line in final(shown(SOURCE)) if line]
    for size in (1, 3, 10, 40):
        chunks = [SOURCE[at : at + size] for at in range(0, len(SOURCE), size)]
        assert [line for line in final(shown(*chunks)) if line] == whole


def test_escapes_of_an_answer_stay_visible() -> None:
    """They never reach the terminal."""
    sent = shown("a \x1b[2J b")
    assert "\x1b[2J" not in sent
    assert "␛[2J" in sent


def test_tags_are_text() -> None:
    """HTML of an answer is not left out."""
    assert "<script>alert(1)</script>" in "\n".join(final(shown("<script>alert(1)</script>\n\nand <b>this</b>")))
