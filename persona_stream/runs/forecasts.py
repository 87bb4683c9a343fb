"""Forecasts of runs from the earlier runs of their backend, and their accuracy.

A greenlet of its own records runs that ended and fits the models, in steps of less than a millisecond, so that neither
the end of a run nor a stream waits for it.

Where processes share the journals, they share the history: the store keeps it, and each process reads the new runs of
all. The accuracy is that of the runs of this process.
"""

import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial

import gevent
from msgspec import Struct

from persona_stream.core import facts, snapshot
from persona_stream.core.forecast import (
    MAX_RUNS,
    DurationHistory,
    DurationModel,
    DurationRange,
    FinishedRun,
    Forecast,
    RunFeatures,
    fit_forecast,
)
from persona_stream.errors import Unavailable

FIT_INTERVAL = 1.0  # seconds between two fits of a backend
READ_INTERVAL = 1.0  # seconds between two reads of the history that processes share
MAX_FIT_INTERVAL = 20.0  # seconds
MAX_FIT_SHARE = 0.02  # of the time that fits may take
MAX_PENDING_RUNS = 50  # newest runs that a fit adds: the history is short, and recording takes a tenth of a millisecond
STREAMING_WEIGHT = 0.1  # of the newest run in the mean duration of streaming
_MOMENTS = 10  # of a run at which its progress is compared with the true one
_SHARES = tuple((moment + 0.5) / _MOMENTS for moment in range(_MOMENTS))
_SCORES_IN_STEP = 40


class Accuracy(Struct, frozen=True):
    """Accuracy of the progress of the latest runs of a backend. Shares are from 0 to 1."""

    runs: int
    error: float  # mean difference from the true percentage, in points
    best_error: float  # the same for the curve that is fitted to these runs afterwards
    stuck: float  # share of the time at the highest percentage
    coverage: float | None  # share of the moments whose range of 80 % includes the true remaining time


class _Score(Struct, frozen=True):
    """Sums over the moments of one run."""

    duration: float
    error: float
    stuck: int
    covered: int
    ranged: int


NewDurations = Callable[[], Sequence[tuple[str, FinishedRun]]]
"""Function that returns the runs of all processes since its last call; see ``JournalStore``."""


class RunForecasts:
    """Forecasts of the runs of this process."""

    def __init__(
        self,
        deadline: float,
        on_accuracy: Callable[[str, Accuracy], None] = lambda backend, accuracy: None,
        new_durations: NewDurations | None = None,
    ) -> None:
        """Create forecasts without a history.

        Args:
            deadline: the deadline of the runs in seconds.
            on_accuracy: called with a backend and its accuracy, after each fit with new runs.
            new_durations: the source of the history, if processes share one; otherwise it has the recorded runs.
        """
        self._deadline = deadline
        self._on_accuracy = on_accuracy
        self._new_durations = new_durations
        self._backends: dict[str, _BackendForecasts] = {}

    def forecast(self, backend: str, features: RunFeatures) -> Forecast | None:
        """Return the forecast of a run that starts, or ``None`` before the first run of its backend has ended."""
        model = self._backend(backend).model
        return None if model is None else model.forecast(features)

    def expected(self, backend: str, persona: str, at: float) -> tuple[DurationRange | None, int]:
        """Return the expected seconds until the answer to a question of usual length, and the number of earlier runs.

        The range is ``None`` with few earlier runs.
        """
        forecast = self.forecast(backend, self._backend(backend).usual_features(persona, at))
        return (None, 0) if forecast is None else (forecast.remaining(0.0), forecast.runs)

    def expected_seconds(self, backend: str, features: RunFeatures) -> float | None:
        """Return the mean of the seconds that a run needs its slot; ``None`` with few earlier runs."""
        forecast = self.forecast(backend, features)
        mean = None if forecast is None else forecast.mean()
        return None if mean is None else mean + self._backend(backend).streaming_seconds

    def record(self, backend: str, entries: Sequence[facts.Entry]) -> None:
        """Record a run that has ended. Returns at once."""
        self._backend(backend).record(entries)

    def load(self, runs: Iterable[tuple[str, FinishedRun]]) -> None:
        """Record runs of the request log, oldest first, before those that the history has."""
        for backend, earlier in _group(runs).items():
            self._backend(backend).load(earlier)

    def read_shared(self) -> None:
        """Read the new runs of all processes, if they share a history. May wait; raises ``Unavailable``."""
        if self._new_durations is not None:
            for backend, runs in _group(self._new_durations()).items():
                self._backend(backend).add(runs)

    def follow_shared(self) -> None:
        """Read the new runs of all processes periodically, for ever."""
        while True:
            with suppress(Unavailable):  # the connection logs the reason
                self.read_shared()
            gevent.sleep(READ_INTERVAL)

    def accuracy(self) -> Mapping[str, Accuracy]:
        """Return the accuracy by backend, of those that have run."""
        found = ((name, backend.accuracy) for name, backend in self._backends.items())
        return {name: accuracy for name, accuracy in found if accuracy is not None}

    def _backend(self, name: str) -> "_BackendForecasts":
        backend = self._backends.get(name)
        if backend is None:
            on_accuracy = partial(self._on_accuracy, name)
            is_shared = self._new_durations is not None
            backend = self._backends[name] = _BackendForecasts(self._deadline, on_accuracy, is_shared=is_shared)
        return backend


class _BackendForecasts:
    """History of one backend, its current model, and the runs that are to be recorded."""

    def __init__(self, deadline: float, on_accuracy: Callable[[Accuracy], None], *, is_shared: bool) -> None:
        self.model: DurationModel | None = None
        self.accuracy: Accuracy | None = None
        self.streaming_seconds = 0.0  # mean of the seconds from the first text to the end
        self._deadline = deadline
        self._on_accuracy = on_accuracy
        self._is_shared = is_shared
        self._history = DurationHistory(deadline)
        self._shared: deque[FinishedRun] = deque(maxlen=MAX_RUNS)  # runs of all processes that are to be added
        self._scores: deque[_Score] = deque(maxlen=MAX_RUNS)
        self._pending: deque[Sequence[facts.Entry]] = deque(maxlen=MAX_PENDING_RUNS)
        self._is_fitting = False
        self._has_changed = False  # since the start of the last fit

    def record(self, entries: Sequence[facts.Entry]) -> None:
        """Record a run that has ended."""
        self._pending.append(entries)
        self._start_fitting()

    def add(self, runs: Iterable[FinishedRun]) -> None:
        """Add runs of all processes."""
        self._shared.extend(runs)
        self._start_fitting()

    def load(self, runs: Sequence[FinishedRun]) -> None:
        """Replace the history by the runs that started before its own ones, followed by these."""
        history = DurationHistory(self._deadline)
        known_since = min((run.features.at for run in (*self._history.runs, *self._shared)), default=math.inf)
        for run in [run for run in runs if run.features.at < known_since][-MAX_RUNS:]:
            history.add(run)
            gevent.sleep(0)
        for run in self._history.runs:
            history.add(run)
        self._history = history
        self._start_fitting()

    def usual_features(self, persona: str, at: float) -> RunFeatures:
        """Return the features of a run with the median lengths of the persona's earlier runs, or of all."""
        earlier = [run.features for run in self._history.runs]
        own = [features for features in earlier if features.persona == persona] or earlier
        if not own:
            return RunFeatures(persona=persona, at=at)
        question_tokens = statistics.median_low(features.question_tokens for features in own)
        history_tokens = statistics.median_low(features.history_tokens for features in own)
        return RunFeatures(question_tokens, history_tokens, persona, at)

    def _start_fitting(self) -> None:
        self._has_changed = True
        if not self._is_fitting:
            self._is_fitting = True
            gevent.spawn(self._fit)

    def _fit(self) -> None:
        try:
            while self._has_changed:
                self._has_changed = False
                began = time.monotonic()
                pending = tuple(self._pending)
                self._pending.clear()
                for entries in pending:
                    self._add(entries)
                    gevent.sleep(0)
                while self._shared:
                    self._history.add(self._shared.popleft())
                    gevent.sleep(0)
                for model in self._history.fit_in_steps():
                    self.model = model or self.model
                    gevent.sleep(0)
                for accuracy in _measure_in_steps(tuple(self._scores)):
                    if accuracy is not None:
                        self.accuracy = accuracy
                        self._on_accuracy(accuracy)
                    gevent.sleep(0)
                # Under many short runs, whose forecast matters least, most of the processor would go into fits.
                gevent.sleep(min(MAX_FIT_INTERVAL, max(FIT_INTERVAL, (time.monotonic() - began) / MAX_FIT_SHARE)))
        finally:
            self._is_fitting = False

    def _add(self, entries: Sequence[facts.Entry]) -> None:
        run = finished_run(entries)
        if run is None:
            return
        if not self._is_shared:
            self._history.add(run)
        if run.outcome == "complete":
            self._scores.append(_score(entries, run.duration))
            streaming = entries[-1].at - run.features.at - run.duration
            self.streaming_seconds += STREAMING_WEIGHT * (max(0.0, streaming) - self.streaming_seconds)


def _group(runs: Iterable[tuple[str, FinishedRun]]) -> Mapping[str, list[FinishedRun]]:
    """Return the runs of each backend."""
    by_backend: dict[str, list[FinishedRun]] = {}
    for backend, run in runs:
        by_backend.setdefault(backend, []).append(run)
    return by_backend


def features_of(terms: facts.Accepted, history_tokens: int, at: float) -> RunFeatures:
    """Return the features of a run that starts at this moment."""
    return RunFeatures(terms.question_tokens, history_tokens, terms.username, at)


def finished_run(entries: Sequence[facts.Entry]) -> FinishedRun | None:
    """Return the duration of a run until its text; ``None`` if it failed, never started, or asked the user."""
    started = next((entry for entry in entries if isinstance(entry.fact, facts.Started)), None)
    if started is None or not isinstance(started.fact, facts.Started):
        return None
    features = features_of(facts.run_terms(entries), started.fact.history_tokens, started.at)
    for entry in entries:
        match entry.fact:
            case facts.Answered(cached=True) | facts.InputRequested():  # the user takes any time to answer
                return None
            case facts.AnswerDelta() | facts.Answered():
                return FinishedRun(max(0.0, entry.at - started.at), "complete", features)
            case facts.Failed(code="timeout" | "cancelled" as code):
                return FinishedRun(max(0.0, entry.at - started.at), code, features)
    return None


def replay(runs: Sequence[FinishedRun], deadline: float) -> Accuracy | None:
    """Return the accuracy that forecasts from the earlier runs would have had, without reports; ``None`` without runs.

    Takes about a millisecond for each run.
    """
    history = DurationHistory(deadline)
    scores = []
    for run in runs:
        if run.outcome == "complete":
            model = history.fit()
            forecast = None if model is None else model.forecast(run.features)
            scores.append(_score_progress(run.duration, deadline, facts.Started(forecast=forecast)))
        history.add(run)
    accuracy = None
    for accuracy in _measure_in_steps(scores[-MAX_RUNS:]):  # noqa: B007 - the last value is the result
        pass
    return accuracy


def _measure_in_steps(scores: Sequence[_Score]) -> Iterator[Accuracy | None]:
    """Yield ``None`` after each step, and finally the accuracy, unless there are no scores."""
    if not scores:
        return
    best = fit_forecast([(score.duration, 1.0, False) for score in scores], len(scores))
    best_error = 0.0
    for start in range(0, len(scores), _SCORES_IN_STEP):
        yield None
        for score in scores[start : start + _SCORES_IN_STEP]:
            for share in _SHARES:
                percent = max(snapshot.START_PERCENT, best.percent(score.duration * share))
                best_error += abs(percent - 100 * share)
    moments = len(scores) * _MOMENTS
    ranged = sum(score.ranged for score in scores)
    yield Accuracy(
        runs=len(scores),
        error=sum(score.error for score in scores) / moments,
        best_error=best_error / moments,
        stuck=sum(score.stuck for score in scores) / moments,
        coverage=sum(score.covered for score in scores) / ranged if ranged else None,
    )


def _score(entries: Sequence[facts.Entry], duration: float) -> _Score:
    """Return how the progress of a run compares with the true one."""
    at, started = next((entry.at, entry.fact) for entry in entries if isinstance(entry.fact, facts.Started))
    reports = [(entry.at - at, entry.fact) for entry in entries if isinstance(entry.fact, facts.ProgressReported)]
    return _score_progress(duration, facts.run_terms(entries).deadline, started, reports)


def _score_progress(
    duration: float,
    deadline: float,
    started: facts.Started,
    reports: Sequence[tuple[float, facts.ProgressReported]] = (),
) -> _Score:
    tracker = snapshot.ProgressTracker(deadline)
    tracker.start(started)
    forecast = started.forecast
    rest = list(reports)[::-1]
    error = 0.0
    stuck = covered = ranged = 0
    for share in _SHARES:
        elapsed = share * duration
        while rest and rest[-1][0] <= elapsed:
            at, report = rest.pop()
            tracker.report(report, at)
        percent = tracker.percent(elapsed)
        error += abs(percent - 100 * share)
        stuck += percent >= snapshot.MAX_WAITING_PERCENT
        if forecast is not None and (left := forecast.remaining(elapsed)) is not None:
            ranged += 1
            covered += left.low <= duration - elapsed <= left.high
    return _Score(duration, error, stuck, covered, ranged)
