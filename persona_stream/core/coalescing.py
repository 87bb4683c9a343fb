"""Coalescing of the parts that a query sends, so that a run's journal grows by few facts however often it sends."""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import msgspec

from persona_stream.core import content, facts

Delta = facts.AnswerDelta | facts.ReasoningDelta | facts.ProviderDelta
DeltaType = type[facts.AnswerDelta] | type[facts.ReasoningDelta] | type[facts.ProviderDelta]
Part = tuple[DeltaType, str | content.ProviderFields]
"""Text, or for a ``ProviderDelta`` the fields."""

MAX_STATUS_CHARACTERS = 500
MAX_GROUPS = 20  # of consecutive parts of one kind; more become one group of each kind


def coalesce_deltas(parts: Sequence[Part], *, is_last: bool) -> tuple[list[Delta], list[Part]]:
    """Return the facts of consecutive parts, and the part that has to wait.

    No fact has more than ``MAX_SLICE_CHARACTERS``, so that a subscriber's work for one is short. A trailing high
    surrogate waits for its other half, unless ``is_last``.
    """
    deltas: list[Delta] = []
    rest: list[Part] = []
    groups = [(delta_type, [value for _, value in group]) for delta_type, group in groupby(parts, key=itemgetter(0))]
    if len(groups) > MAX_GROUPS:
        by_kind: dict[DeltaType, list[str | content.ProviderFields]] = {}
        for delta_type, value in parts:
            by_kind.setdefault(delta_type, []).append(value)
        groups = sorted(by_kind.items(), key=lambda group: group[0] is facts.AnswerDelta)  # the answer comes last
    for number, (delta_type, values) in enumerate(groups, 1):
        if delta_type is facts.ProviderDelta:
            fields = [value for value in values if isinstance(value, content.ProviderFields)]
            deltas.append(facts.ProviderDelta(fields[0].dialect, tuple(each.fields for each in fields)))
            continue
        text = content.join_surrogates("".join(value for value in values if isinstance(value, str)))
        if not is_last and number == len(groups) and content.ends_with_high_surrogate(text):
            rest = [(delta_type, text[-1])]
            text = text[:-1]
        if text:
            deltas += [delta_type(content.replace_unencodable(part)) for part in content.slices(text)]
    return deltas, rest


def size_of(delta: Delta) -> int:
    """Return the size of a delta in bytes, for the limit of an answer."""
    return len(msgspec.json.encode(delta)) if isinstance(delta, facts.ProviderDelta) else len(delta.text.encode())


def merge_reports(
    previous: facts.ProgressReported | None, message: str, fraction: float | None
) -> facts.ProgressReported:
    """Return a report that follows one that is not written yet. An empty message, or no fraction, keeps that one's."""
    message = content.replace_unencodable(message[:MAX_STATUS_CHARACTERS])
    if previous is None:
        return facts.ProgressReported(message, fraction)
    return facts.ProgressReported(message or previous.message, previous.fraction if fraction is None else fraction)
