"""Tests of the coalescing of what a query sends."""

from __future__ import annotations

from persona_stream.core.coalescing import coalesce_deltas, merge_reports, size_of
from persona_stream.core.content import MAX_SLICE_CHARACTERS, ProviderFields
from persona_stream.core.facts import AnswerDelta, ProgressReported, ProviderDelta, ReasoningDelta


def test_consecutive_parts_of_a_kind_become_one_fact():
    """In their order."""
    fields = ProviderFields("openai", {"a": 1}), ProviderFields("openai", {"b": 2})
    parts = [
        *[(ReasoningDelta, "Hm"), (ReasoningDelta, "."), (AnswerDelta, "One"), (AnswerDelta, " two")],
        *[(ProviderDelta, each) for each in fields],
        (AnswerDelta, "!"),
    ]
    deltas, rest = coalesce_deltas(parts, is_last=False)
    assert deltas == [
        ReasoningDelta("Hm."),
        AnswerDelta("One two"),
        ProviderDelta("openai", ({"a": 1}, {"b": 2})),
        AnswerDelta("!"),
    ]
    assert rest == []


def test_a_long_text_becomes_several_facts():
    """A subscriber's work for one is short."""
    text = "long " * 100_000
    deltas, rest = coalesce_deltas([(AnswerDelta, text)], is_last=False)
    assert "".join(delta.text for delta in deltas) == text
    assert max(len(delta.text) for delta in deltas) == MAX_SLICE_CHARACTERS
    assert rest == []


def test_half_a_character_waits_for_its_other_half():
    """At the end it is replaced, as it is before a part of another kind."""
    half = [(AnswerDelta, "a\ud83d")]
    assert coalesce_deltas(half, is_last=False) == ([AnswerDelta("a")], [(AnswerDelta, "\ud83d")])
    assert coalesce_deltas(half, is_last=True) == ([AnswerDelta("a\ufffd")], [])
    whole, rest = coalesce_deltas([(AnswerDelta, "\ud83d"), (AnswerDelta, "\ude00")], is_last=False)
    assert (whole, rest) == ([AnswerDelta("\N{GRINNING FACE}")], [])
    between = [*half, (ReasoningDelta, "b")]
    assert coalesce_deltas(between, is_last=False)[0] == [AnswerDelta("a\ufffd"), ReasoningDelta("b")]


def test_a_size_counts_bytes():
    """Of the text as UTF-8, and of fields as JSON."""
    assert size_of(AnswerDelta("é")) == 2
    assert size_of(ProviderDelta("openai", ({"a": 1},))) > 10


def test_a_report_keeps_what_it_does_not_say():
    """It is cut, and can be encoded."""
    first = merge_reports(None, "Reading", 0.5)
    assert merge_reports(first, "", 0.75) == ProgressReported("Reading", 0.75)
    assert merge_reports(first, "Writing", None) == ProgressReported("Writing", 0.5)
    assert merge_reports(None, "x" * 600 + "\ud800", None) == ProgressReported("x" * 500, None)


def test_many_alternating_parts_become_one_fact_of_each_kind():
    """A flood of reasoning and text must not fill the journal."""
    parts = [(ReasoningDelta, "r"), (AnswerDelta, "t")] * 1000
    assert coalesce_deltas(parts, is_last=False) == ([ReasoningDelta("r" * 1000), AnswerDelta("t" * 1000)], [])
