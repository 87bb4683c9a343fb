"""Renderer of an answer as Markdown on a terminal: finished blocks stay, and the open block is redrawn as it grows."""

from markdown_it import MarkdownIt
from rich import live, markdown
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment

from persona_stream.client.models import Reply
from persona_stream.client.sanitizer import sanitize
from persona_stream.client.session import Received, SessionFinished, Update
from persona_stream.client.terminal import Terminal

# Without HTML, which rich would leave out, and without images, which it moves: both are text.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).disable("image")
_MAX_BLOCK_CHARACTERS = 20_000  # of an open block; a larger one is written as it is


class MarkdownRenderer:
    """Answer on a terminal. ``suspend`` is called with each update before anything else writes to that terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._open = ""  # source of the open block
        self._has_written = False
        self._live: live.Live | None = None  # draws the open block

    def suspend(self, update: Update) -> None:
        """Erase the open block, unless the update only continues it."""
        if not (isinstance(update, Received) and update.reply.data):
            self._erase()

    def __call__(self, update: Update) -> None:
        """Show the text of an update."""
        match update:
            case Received(reply=reply) if reply.data:
                self._open += sanitize(reply.data)
                self._write_finished()
                if self._open.strip():
                    self._draw()
            case SessionFinished() | Received(reply=Reply(status="input_required")):
                self._write(self._open)
                self._open = ""

    def _draw(self) -> None:
        if self._live is None:
            self._live = self._terminal.create_live()
            self._live.start()
        self._live.update(_MarkdownBlock(self._open, is_first=not self._has_written), refresh=True)

    def _erase(self) -> None:
        # A Live that is started again would erase as many lines as it had drawn before.
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _write_finished(self) -> None:
        """Write all blocks but the last one, which may still change."""
        starts = [token.map[0] for token in _PARSER.parse(self._open) if token.level == 0 and token.map]
        lines = self._open.splitlines(keepends=True)
        end = len("".join(lines[: starts[-1]])) if starts else 0
        if len(self._open) - end > _MAX_BLOCK_CHARACTERS:
            end = len(self._open)
        self._write(self._open[:end])
        self._open = self._open[end:]

    def _write(self, source: str) -> None:
        if not source.strip():
            return
        self._erase()
        self._terminal.print(_MarkdownBlock(source, is_first=not self._has_written), end="")
        self._has_written = True


class _MarkdownBlock:
    """Markdown without the padding that rich adds to each line, after an empty line unless it is the first."""

    def __init__(self, source: str, *, is_first: bool) -> None:
        self._source = source
        self._is_first = is_first

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._is_first:
            yield Segment.line()
        rendered = markdown.Markdown("", hyperlinks=False, code_theme="ansi_dark")
        rendered.parsed = _PARSER.parse(self._source)
        for line in console.render_lines(rendered, options, pad=False):
            yield from _without_padding(line)
            yield Segment.line()


def _without_padding(line: list[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.strip() and not (kept[-1].style and kept[-1].style.bgcolor):
        kept.pop()
    if kept and not (kept[-1].style and kept[-1].style.bgcolor):
        last = kept[-1]
        kept[-1] = Segment(last.text.rstrip(), last.style, last.control)
    return kept
