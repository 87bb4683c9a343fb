"""What is known of the progress, put together from the updates; the bar and the lines draw it."""

from __future__ import annotations

from persona_stream.client.bar import Figures
from persona_stream.client.harmless import one_line
from persona_stream.client.reply import Reply
from persona_stream.client.texts import Texts
from persona_stream.client.updates import Came, Cancelling, Connecting, Reconnecting, Update
from persona_stream.core.clock import Clock


class Progress:
    """Follow the updates, and give the figures as they are at this moment.

    Attributes:
        has_text: whether the answer, or the reasoning before it, has begun.
    """

    def __init__(self, texts: Texts, clock: Clock) -> None:
        self._texts, self._clock = texts, clock
        self._started = clock()
        self._heard = self._started
        self._reply = Reply({})
        self._message = ""
        self._percent: float | None = None
        self._deadline: float | None = None
        self.has_text = False

    def take(self, update: Update) -> bool:
        """Note an update; tell whether there is something new to say."""
        texts = self._texts
        match update:
            case Connecting(streams=streams):
                self._message = texts.connecting if streams else texts.waiting
            case Reconnecting(code=code, wait=wait):
                self._message = texts.reconnecting_because(code, wait)
            case Cancelling():
                self._message = texts.cancelling
            case Came(reply=reply):
                return self._take(reply)
            case _:
                return False
        return True

    def figures(self) -> Figures:
        """Give the figures; the clock goes on between two events.

        The time that is shown as passed is that of the person who waits. The server's counts from the moment at
        which the work began, and is good for what is left of the deadline.
        """
        reply, now = self._reply, self._clock()
        passed, since = now - self._started, now - self._heard
        if reply.eta is not None:
            return Figures(self._message, passed, self._percent, max(0.0, reply.eta - since))
        if reply.elapsed is None or self._deadline is None:
            return Figures(self._message, passed, self._percent)
        left = max(0.0, self._deadline - reply.elapsed - since)
        return Figures(self._message, passed, self._percent, left, at_most=True)

    def _take(self, reply: Reply) -> bool:
        self._deadline = self._deadline if reply.deadline is None else reply.deadline
        if reply.text or reply.reasoning:
            self.has_text = True
            return False
        if reply.is_last:
            return False
        self._reply, self._heard = reply, self._clock()
        self._percent = reply.progress
        if reply.status == "queued":
            self._message = self._texts.queued.format(place=reply.place or 1)
        else:
            self._message = one_line(reply.message) or self._texts.waiting
        return True
