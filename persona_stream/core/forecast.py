"""Forecast of the duration of runs, from the durations of earlier runs of the same backend.

The progress shown after ``t`` seconds is the mean of ``t / T`` over the earlier runs whose duration ``T`` was longer,
made monotone by pooling adjacent violators: the monotone curve of least squared error. It rises more slowly the longer
a run takes, and does not stop near the end. The time that is left is estimated by the median of these runs.

Where the length of the question and of the history, the persona and the hour explain durations, a regression of the
logarithm of the duration predicts the scale of each run, and the curve is that of the durations divided by their
scales.

Invariants:
    A forecast never falls while time passes.
    A forecast is a value: it is the same in all processes that read the facts of the run.
    Each step of a fit takes less than a millisecond.
"""

import heapq
import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

MAX_RUNS = 200  # runs in a history
MIN_RUNS_FOR_ETA = 5
HALF_WEIGHT_RUNS = 80  # newer runs after which a run counts half
IMAGINED_RUNS = (0.03, 0.08, 0.2, 0.5)  # shares of the deadline that are assumed beside the earlier runs
LOW_SHARE = 0.05  # of the earlier runs end before the range of 80 % of new runs: a sample varies less than its source
HIGH_SHARE = 0.95

_KNOTS = 16
_GRID_POINTS = 64
_LAST_STEP = 0.99  # ratio of the last two points: runs that missed their deadline all count with the same duration
_MAX_PERMILLE = 940  # a run that takes longer than all earlier ones still advances
_MIN_DURATION = 0.001  # seconds
_MIN_CHANGED_RUNS = 5  # newest runs that may show that the backend has become slower or faster
_CHANGE_SCORE = 4.0  # standard errors between the means before and after a change
_WEIGHT_BEFORE_CHANGE = 0.05

_FORGETTING = 0.98  # weight in the regression of all earlier runs, for each run
_RIDGE = 1.0
_INTERCEPT_RIDGE = 0.01
_GATE_RUNS = 60  # newest runs whose prediction errors decide whether the regression is used
_MIN_GATE_RUNS = 10
_MAX_ERROR_RATIO = 0.93  # of the regression to the mean
_MIN_MEAN_ERROR = 0.01  # of the logarithm; the ridges alone cause smaller ones, which a regression may reduce
_MAX_PERSONAS = 8  # personas with a term of their own
_FIXED_TERMS = 5
_SECONDS_PER_DAY = 86_400

Outcome = Literal["complete", "timeout", "cancelled"]
"""Outcome of an earlier run. A cancelled run would have taken longer; one that timed out counts with its deadline."""


class RunFeatures(Struct, frozen=True):
    """Properties of a run that are known when it starts; ``at`` in seconds since 1970."""

    question_tokens: int = 0
    history_tokens: int = 0
    persona: str = ""
    at: float = 0.0


class FinishedRun(Struct, frozen=True):
    """Duration in seconds, outcome and features of an earlier run."""

    duration: float
    outcome: Outcome = "complete"
    features: RunFeatures = RunFeatures()


class DurationRange(Struct, frozen=True):
    """Median of seconds, and the bounds within which 80 % of the runs are expected."""

    low: float
    median: float
    high: float


class Forecast(Struct, frozen=True, omit_defaults=True):
    """Progress and distribution of a run's duration.

    Attributes:
        seconds: the times of the knots since the start, between which the other values are interpolated.
        permille: the progress at each knot.
        ended: the permille of runs that are expected to have ended at each knot.
        runs: the number of earlier runs.
    """

    seconds: tuple[float, ...]
    permille: tuple[int, ...]
    ended: tuple[int, ...]
    runs: int = 0

    def percent(self, elapsed: float) -> float:
        """Return the progress in percent ``elapsed`` seconds after the start."""
        return self.estimate(elapsed)[0]

    def eta(self, elapsed: float, share: float = 0.5) -> float | None:
        """Return the seconds in which ``share`` of the runs that take longer than ``elapsed`` end.

        ``None`` with few earlier runs, and after all of them.
        """
        return self.estimate(elapsed, share)[1]

    def estimate(self, elapsed: float, share: float = 0.5) -> tuple[float, float | None]:
        """Return ``percent`` and ``eta`` at once: each progress event of each stream needs both."""
        seconds = self.seconds
        after = bisect_right(seconds, elapsed)
        if after == len(seconds):  # longer than all earlier runs: the rest shrinks as the excess grows
            return 100.0 - (100.0 - self.permille[-1] / 10) * seconds[-1] / elapsed, None
        permille = self.permille
        ended = self.ended
        # Straight lines between the knots, of which the one before the first is the origin.
        if after:
            before = after - 1
            start = seconds[before]
            part = (elapsed - start) / (seconds[after] - start)
            progress = permille[before] + (permille[after] - permille[before]) * part
            gone = ended[before] + (ended[after] - ended[before]) * part
        else:
            part = elapsed / seconds[0]
            progress = permille[0] * part
            gone = ended[0] * part
        if self.runs < MIN_RUNS_FOR_ETA:
            return progress / 10, None
        target = gone + (1000.0 - gone) * share
        after = bisect_left(ended, target)
        if after:
            before = after - 1
            start = seconds[before]
            end = start + (seconds[after] - start) * (target - ended[before]) / (ended[after] - ended[before])
        else:
            end = seconds[0] * target / ended[0]
        return progress / 10, end - elapsed if end > elapsed else 0.0

    def remaining(self, elapsed: float) -> DurationRange | None:
        """Return the range of the remaining seconds. Otherwise as ``eta``."""
        low = self.eta(elapsed, LOW_SHARE)
        median = self.eta(elapsed)
        high = self.eta(elapsed, HIGH_SHARE)
        return None if low is None or median is None or high is None else DurationRange(low, median, high)

    def mean(self) -> float | None:
        """Return the mean duration, or ``None`` with few earlier runs."""
        if self.runs < MIN_RUNS_FOR_ETA:
            return None
        total = self.seconds[0] * (1.0 - self.ended[0] / 2000)
        for index in range(1, len(self.seconds)):
            share = 1.0 - (self.ended[index - 1] + self.ended[index]) / 2000
            total += (self.seconds[index] - self.seconds[index - 1]) * share
        return total


class DurationModel(Struct, frozen=True):
    """Fitted model of the durations of a backend.

    Attributes:
        curve: the forecast of durations, or of durations divided by their scales.
        coefficients: the regression of the logarithm of the scale; empty if all scales are 1.
        personas: the indexes of the personas' terms in the regression.
    """

    curve: Forecast
    coefficients: tuple[float, ...] = ()
    personas: Mapping[str, int] = {}

    def forecast(self, features: RunFeatures) -> Forecast:
        """Return the forecast of a run."""
        if not self.coefficients:
            return self.curve
        scale = self.scale(features)
        per_second = 1000 * scale  # rounding to an integer is faster than to three decimals
        seconds = tuple([round(knot * per_second) / 1000 or _MIN_DURATION for knot in self.curve.seconds])
        return Forecast(seconds, self.curve.permille, self.curve.ended, self.curve.runs)

    def scale(self, features: RunFeatures) -> float:
        """Return the factor of the curve's times for a run."""
        return math.exp(_dot(self.coefficients, _terms(features, self.personas))) if self.coefficients else 1.0


class DurationHistory:
    """Durations of the latest runs of a backend."""

    def __init__(self, deadline: float) -> None:
        """Create an empty history of runs with a deadline in seconds."""
        self.runs: deque[FinishedRun] = deque(maxlen=MAX_RUNS)
        self._deadline = deadline
        self._personas: dict[str, int] = {}
        self._regression = _Regression()
        self._mean = _Regression()
        self._squared_errors: deque[tuple[float, float]] = deque(maxlen=_GATE_RUNS)  # of the regression and the mean

    def add(self, run: FinishedRun) -> None:
        """Add the newest run."""
        self.runs.append(run)
        if run.outcome == "cancelled":
            return
        persona = run.features.persona
        if persona not in self._personas and len(self._personas) < _MAX_PERSONAS:
            self._personas[persona] = len(self._personas)
        terms = _terms(run.features, self._personas)
        target = math.log(max(run.duration, _MIN_DURATION))
        error = target - _dot(self._regression.solve(), terms)
        error_of_mean = target - _dot(self._mean.solve(), (1.0,))
        self._squared_errors.append((error * error, error_of_mean * error_of_mean))
        self._regression.add(terms, target)
        self._mean.add((1.0,), target)

    def fit(self) -> DurationModel | None:
        """Return the model of the runs so far, or ``None`` without any."""
        model = None
        for model in self.fit_in_steps():  # noqa: B007 - the last value is the result
            pass
        return model

    def fit_in_steps(self) -> Iterator[DurationModel | None]:
        """Yield ``None`` after each step of a fit, and finally the model of the runs so far, unless there are none."""
        runs = list(self.runs)
        if not runs:
            return
        personas = dict(self._personas)
        coefficients = tuple(self._regression.solve()) if self._is_explained() else ()
        scales = [1.0] * len(runs)
        yield None
        if coefficients:
            scales = [math.exp(_dot(coefficients, _terms(run.features, personas))) for run in runs]
            yield None
        durations = [max(run.duration, _MIN_DURATION) / scale for run, scale in zip(runs, scales, strict=True)]
        samples = self._weigh(runs, durations, sum(scales) / len(scales))
        yield None
        curves = _fit_curves(_redistribute(samples))
        yield None
        yield DurationModel(_approximate(*curves, len(runs)), coefficients, personas)

    def _is_explained(self) -> bool:
        """Return whether the regression predicted the latest runs better than their mean."""
        if len(self._squared_errors) < _MIN_GATE_RUNS:
            return False
        error = sum(pair[0] for pair in self._squared_errors)
        error_of_mean = sum(pair[1] for pair in self._squared_errors)
        if error_of_mean < _MIN_MEAN_ERROR**2 * len(self._squared_errors):
            return False
        return error <= _MAX_ERROR_RATIO**2 * error_of_mean

    def _weigh(self, runs: Sequence[FinishedRun], durations: Sequence[float], scale: float) -> "list[Sample]":
        """Return the samples of the runs and the imagined runs."""
        # Together they count less the more runs there are: else a backend without such short runs would start too fast.
        samples = [(share * self._deadline / scale, len(runs) ** -0.5, False) for share in IMAGINED_RUNS]
        ended = [index for index, run in enumerate(runs) if run.outcome != "cancelled"]
        change = find_change([math.log(durations[index]) for index in ended])
        changed_at = ended[change] if change else 0
        for index, (run, duration) in enumerate(zip(runs, durations, strict=True)):
            weight = 0.5 ** ((len(runs) - 1 - index) / HALF_WEIGHT_RUNS)
            if index < changed_at:
                weight *= _WEIGHT_BEFORE_CHANGE
            samples.append((duration, weight, run.outcome == "cancelled"))
        return samples


Sample = tuple[float, float, bool]
"""Duration, weight, and whether the run was cancelled after it."""


class _Regression:
    """Linear least squares in which older observations count less; later observations may have more terms."""

    def __init__(self) -> None:
        self._matrix: list[list[float]] = []
        self._vector: list[float] = []
        self._solution: list[float] | None = []

    def add(self, terms: Sequence[float], target: float) -> None:
        """Add an observation."""
        added = len(terms) - len(self._matrix)
        for row in self._matrix:
            row.extend([0.0] * added)
        for _ in range(added):
            self._matrix.append([0.0] * len(terms))
            self._vector.append(0.0)
        for index, term in enumerate(terms):
            row = self._matrix[index]
            self._matrix[index] = [_FORGETTING * old + term * other for old, other in zip(row, terms, strict=True)]
            self._vector[index] = _FORGETTING * self._vector[index] + term * target
        self._solution = None

    def solve(self) -> list[float]:
        """Return the coefficients, by Gaussian elimination."""
        if self._solution is not None:
            return self._solution
        size = len(self._vector)
        rows = [[*row, value] for row, value in zip(self._matrix, self._vector, strict=True)]
        for i, pivot in enumerate(rows):  # the matrix is positive definite: no row exchanges are needed
            pivot[i] += _RIDGE if i else _INTERCEPT_RIDGE
            for row in rows[i + 1 :]:
                if factor := row[i] / pivot[i]:
                    for column in range(i, size + 1):
                        row[column] -= factor * pivot[column]
        solution = [0.0] * size
        for i in reversed(range(size)):
            known = sum(rows[i][column] * solution[column] for column in range(i + 1, size))
            solution[i] = (rows[i][size] - known) / rows[i][i]
        self._solution = solution
        return solution


def fit_forecast(samples: Sequence[Sample], runs: int) -> Forecast:
    """Return the forecast from samples alone."""
    return _approximate(*_fit_curves(_redistribute(samples)), runs)


def pool_adjacent_violators(points: Sequence[tuple[float, float]]) -> list[float]:
    """Return the values of pairs of value and weight, replaced by the closest (least squares) that never fall."""
    pools: list[tuple[float, float, int]] = []
    for point in points:
        value, weight = point
        count = 1
        while pools and pools[-1][0] >= value:
            other_value, other_weight, other_count = pools.pop()
            both = weight + other_weight
            value = (value * weight + other_value * other_weight) / both if both else other_value
            weight = both
            count += other_count
        pools.append((value, weight, count))
    return [value for value, _, count in pools for _ in range(count)]


def find_change(values: Sequence[float]) -> int:
    """Return the index from which on the values have another mean, or 0 if no difference is significant."""
    count = len(values)
    if count < 2 * _MIN_CHANGED_RUNS:
        return 0
    total = sum(values)
    spread = sum(value * value for value in values) - total * total / count
    best = _CHANGE_SCORE**2
    change = 0
    newer_total = 0.0
    for index in range(count - 1, _MIN_CHANGED_RUNS - 1, -1):
        newer_total += values[index]
        newer = count - index
        difference = newer_total / newer - (total - newer_total) / index
        between = difference * difference * newer * index / count
        score = between / (max(0.0, spread - between) / count + 1e-9)
        if newer >= _MIN_CHANGED_RUNS and score > best:
            best = score
            change = index
    return change


def _terms(features: RunFeatures, personas: Mapping[str, int]) -> list[float]:
    """Return the terms of the regression, each about as large as the others."""
    angle = 2 * math.pi * (features.at % _SECONDS_PER_DAY) / _SECONDS_PER_DAY
    question = math.log1p(features.question_tokens) - 4.0
    history = math.log1p(features.history_tokens) / 4.0
    terms = [1.0, question, history, math.sin(angle), math.cos(angle)] + [0.0] * len(personas)
    if (index := personas.get(features.persona)) is not None:
        terms[_FIXED_TERMS + index] = 1.0
    return terms


def _dot(coefficients: Sequence[float], terms: Sequence[float]) -> float:
    """Return the scalar product; a term without a coefficient counts 0."""
    return sum(coefficient * term for coefficient, term in zip(coefficients, terms, strict=False))


def _redistribute(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Return durations in order with their weights; that of cancelled runs is moved to all longer ones (Efron)."""
    samples = sorted(samples)
    longer = sum(weight for _, weight, _ in samples)
    factor = 1.0
    durations = []
    for index, (duration, weight, is_cancelled) in enumerate(samples, 1):
        longer -= weight
        if is_cancelled and index < len(samples):
            factor *= (longer + weight) / longer
        else:
            durations.append((duration, weight * factor))
    return durations


def _fit_curves(samples: Sequence[tuple[float, float]]) -> tuple[list[float], list[float], list[float]]:
    """Return points in time, and at each the progress and the share of runs that have ended."""
    first = samples[0][0] * 0.98
    last = max(samples[-1][0], first * 1.05)
    ratio = (_LAST_STEP * last / first) ** (1 / (_GRID_POINTS - 2))
    grid = [*(first * ratio**index for index in range(_GRID_POINTS - 1)), last]
    total = sum(weight for _, weight in samples)
    # Of the runs that are longer than the point: the sums of 1, 1 / T and 1 / T².
    longer = inverse = inverse_square = 0.0
    rest = list(samples)
    points = []
    ended = []
    for at in reversed(grid):
        while rest and rest[-1][0] > at:
            duration, weight = rest.pop()
            longer += weight
            inverse += weight / duration
            inverse_square += weight / (duration * duration)
        # A second of a short run is a larger part of it, so the error of each run has the weight 1 / T.
        points.append((at * inverse_square / inverse if inverse else 1.0, at * inverse))
        ended.append(1.0 - longer / total)
    progress = pool_adjacent_violators(points[::-1])
    # Before the shortest run, the mean of t / T is a straight line, which may reach the pooled value earlier.
    knee = progress[0] * inverse / inverse_square
    if knee < grid[0]:
        return [knee, *grid], [progress[0], *progress], [0.0, *ended[::-1]]
    return grid, progress, ended[::-1]


def _approximate(grid: Sequence[float], progress: Sequence[float], ended: Sequence[float], runs: int) -> Forecast:
    knots = _choose_knots(grid, progress, ended)
    return Forecast(
        seconds=tuple(round(grid[index], 3) or _MIN_DURATION for index in knots),
        permille=tuple(min(_MAX_PERMILLE, round(1000 * progress[index])) for index in knots),
        ended=tuple(round(1000 * ended[index]) for index in knots),
        runs=runs,
    )


def _choose_knots(grid: Sequence[float], *curves: Sequence[float]) -> list[int]:
    """Return the indexes of points between which straight lines are close to the curves (Douglas and Peucker)."""
    segments = [_find_farthest(grid, curves, 0, len(grid) - 1)]
    chosen = [0, len(grid) - 1]
    while len(chosen) < _KNOTS and segments[0][0] < 0:
        _, start, middle, end = heapq.heappop(segments)
        chosen.append(middle)
        heapq.heappush(segments, _find_farthest(grid, curves, start, middle))
        heapq.heappush(segments, _find_farthest(grid, curves, middle, end))
    return sorted(chosen)


def _find_farthest(
    grid: Sequence[float], curves: Sequence[Sequence[float]], start: int, end: int
) -> tuple[float, int, int, int]:
    """Return the negative error of the lines from ``start`` to ``end``, and the first, worst and last index."""
    errors = [0.0] * (end - start + 1)
    for curve in curves:
        slope = (curve[end] - curve[start]) / (grid[end] - grid[start])
        intercept = curve[start] - slope * grid[start]
        for index in range(start + 1, end):
            errors[index - start] += abs(intercept + slope * grid[index] - curve[index])
    worst = max(errors)
    return -worst, start, start + errors.index(worst), end
