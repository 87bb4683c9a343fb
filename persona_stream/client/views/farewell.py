"""The last words: what went wrong, what to do now, how to go on."""

from __future__ import annotations

from persona_stream.client.harmless import one_line
from persona_stream.client.judgement import End
from persona_stream.client.outcome import Outcome
from persona_stream.client.screen import Screen
from persona_stream.client.texts import Texts
from persona_stream.client.updates import Ended, Update

_GREY, _RED, _YELLOW = "90", "31", "33"


class Farewell:
    """Say on standard error how it ended."""

    def __init__(self, screen: Screen, texts: Texts) -> None:
        self._screen, self._texts = screen, texts

    def show(self, update: Update) -> None:
        """Say it at the end."""
        if isinstance(update, Ended):
            self._screen.write("".join(f"{line}\n" for line in self._lines(update)))

    def _lines(self, ended: Ended) -> list[str]:
        texts, paint = self._texts, self._screen.paint
        match ended.end.outcome:
            case Outcome.ANSWERED:
                said = texts.done.format(seconds=ended.seconds)
                if ended.conversation_id:
                    said += " " + texts.continue_with.format(id=one_line(ended.conversation_id))
                return [paint(said, _GREY)]
            case Outcome.CANCELLED:
                unheard = f" {texts.cancel_unheard}" if ended.stopped is False else ""
                return [paint(texts.cancelled, _YELLOW) + unheard]
            case _:
                return self._failure(ended)

    def _failure(self, ended: Ended) -> list[str]:
        texts, paint, end = self._texts, self._screen.paint, ended.end
        lines = [paint(texts.error, _RED) + self._what(end)]
        advice = [texts.incomplete] if ended.characters else []
        advice.append(texts.hint_of(end.code))
        if end.retry_after:
            advice.append(texts.retry_after.format(seconds=end.retry_after))
        hint = " ".join(part for part in advice if part)
        return [*lines, paint(texts.hint, _YELLOW) + hint] if hint else lines

    def _what(self, end: End) -> str:
        said = one_line(end.reply.error) if end.reply else ""
        return said or one_line(self._texts.error_of(end.code, end.detail))
