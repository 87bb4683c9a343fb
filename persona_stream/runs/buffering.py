"""Coalescing of text and progress, so that a run's journal grows by few entries however often its query sends.

Text is written at once, then at most every 50 ms, or when there is much of it; text that a worker process has coalesced
in the same way is not delayed again. Progress is written at most every 100 ms, only the latest report. Everything here
belongs to the thread of the event loop.
"""

from collections.abc import Callable

from persona_stream.concurrency import SharedTimer
from persona_stream.core import coalescing, content, facts
from persona_stream.core.clock import Clock

TEXT_INTERVAL = 0.05  # seconds
PROGRESS_INTERVAL = 0.1  # seconds


class Throttle:
    """Base class that calls ``_flush_due`` as soon as ``interval`` seconds have passed since the last call.

    A base class and not a callback, so that its objects are in no reference cycle.
    """

    __slots__ = ("_called_at", "_clock", "_interval", "_timer")

    def __init__(self, interval: float, clock: Clock) -> None:
        self._interval = interval
        self._clock = clock
        self._called_at = 0.0
        self._timer: SharedTimer | None = None

    def cancel(self) -> None:
        """Cancel the pending call."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        """Schedule a call, unless one is pending."""
        if self._timer is None:
            self._timer = SharedTimer(max(0.0, self._called_at + self._interval - self._clock()), self._call)

    def _call(self) -> None:
        self._timer = None
        self._called_at = self._clock()
        self._flush_due()

    def _flush_due(self) -> None:
        raise NotImplementedError


class DeltaBuffer(Throttle):
    """Buffer of the text, the reasoning and the provider's own fields that one query sends, in their order."""

    __slots__ = (
        "_is_cancelled", "_is_overflowing", "_max_bytes", "_on_overflow", "_pending", "_pending_characters", "_write",
        "size",
    )  # fmt: skip

    def __init__(
        self,
        write: Callable[[coalescing.Delta], object],  # called with each coalesced fact
        max_bytes: int,
        on_overflow: Callable[[], None],  # called once, instead of ``write``, when the limit is exceeded
        clock: Clock,
    ) -> None:
        """Create an empty buffer."""
        super().__init__(TEXT_INTERVAL, clock)
        self._write = write
        self._max_bytes = max_bytes
        self._on_overflow = on_overflow
        self._pending: list[coalescing.Part] = []
        self._pending_characters = 0
        self._is_cancelled = False
        self._is_overflowing = False  # the overflow is not reported yet
        self.size = 0  # number of bytes written

    def add(
        self, delta_type: coalescing.DeltaType, part: str | content.ProviderFields, *, is_coalesced: bool = False
    ) -> None:
        """Add the next part: a text, or for a ``ProviderDelta`` the fields; a coalesced one is written at once."""
        if self._is_cancelled or not part:
            return
        if isinstance(part, str):  # of at least one byte each
            self._pending_characters += len(part)
            if self.size + self._pending_characters > self._max_bytes:
                self._overflow()
                return
        self._pending.append((delta_type, part))
        if is_coalesced or self._pending_characters >= content.MAX_SLICE_CHARACTERS:
            self._write_pending(is_last=False)  # in the caller's time slice: many MiB at once would stall all streams
        else:
            self._schedule()

    def flush(self, *, is_last: bool = True) -> None:
        """Write the buffered parts; a trailing high surrogate waits for its other half, unless ``is_last``."""
        self._write_pending(is_last=is_last)
        self._report_overflow()

    def _write_pending(self, *, is_last: bool) -> None:
        if not self._pending:
            return
        super().cancel()
        self._called_at = self._clock()
        self._pending_characters = 0
        deltas, self._pending = coalescing.coalesce_deltas(self._pending, is_last=is_last)
        for delta in deltas:
            if not self._is_cancelled:
                self._write_delta(delta)

    def cancel(self) -> None:
        """Discard the buffered parts and all later ones."""
        self._is_cancelled = True
        self._pending.clear()
        super().cancel()

    def _flush_due(self) -> None:
        self.flush(is_last=False)

    def _overflow(self) -> None:
        self.cancel()
        self._is_overflowing = True
        SharedTimer(0.0, self._report_overflow)  # the caller may be the event loop itself

    def _report_overflow(self) -> None:
        if self._is_overflowing:
            self._is_overflowing = False
            self._on_overflow()

    def _write_delta(self, delta: coalescing.Delta) -> None:
        self.size += coalescing.size_of(delta)
        if self.size > self._max_bytes:
            self._overflow()
        else:
            self._write(delta)


class ProgressThrottle(Throttle):
    """Rate limiter of one query's progress reports: the latest wins."""

    __slots__ = ("_pending", "_write")

    def __init__(self, write: Callable[[facts.ProgressReported], object], clock: Clock) -> None:
        super().__init__(PROGRESS_INTERVAL, clock)
        self._write = write
        self._pending: facts.ProgressReported | None = None

    def report(self, message: str, fraction: float | None) -> None:
        """Schedule a report. An empty message, or no fraction, keeps that of the pending one."""
        is_scheduled = self._pending is not None
        self._pending = coalescing.merge_reports(self._pending, message, fraction)
        if not is_scheduled:
            self._schedule()

    def cancel(self) -> None:
        """Discard the pending report."""
        self._pending = None
        super().cancel()

    def _flush_due(self) -> None:
        report = self._pending
        self._pending = None
        if report is not None:
            self._write(report)
