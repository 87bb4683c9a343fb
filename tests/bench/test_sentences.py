"""Comparison of the chunker with other segmenters: what counts as a sentence that was found."""

from __future__ import annotations

from bench.report import write_section
from bench.sentences import followed, matched


def test_a_golden_rule_is_followed_if_all_its_sentences_are_found():
    """Without the blanks around them."""
    assert followed([["One. ", "Two."], ["Three. Four."]], [["One.", "Two."], ["Three.", "Four."]]) == 1


def test_a_sentence_matches_at_its_place_whatever_its_blanks():
    """So segmenters that drop blanks or keep them are compared alike; a wrong end costs both its neighbours."""
    assert matched([["One.", "Two.", "Three. Four."]], [["One. ", "Two. ", "Three. ", "Four."]]) == 50.0


def test_a_command_replaces_its_own_section_alone(tmp_path):
    """The rest of a document is written by hand."""
    document = tmp_path / "document.md"
    document.write_text("a\n<!-- make x -->\nold\n<!-- end -->\nb\n<!-- make y -->\nkept\n<!-- end -->\n")
    write_section(document, "make x", "new")
    assert document.read_text() == (
        "a\n<!-- make x -->\n\nnew\n\n<!-- end -->\nb\n<!-- make y -->\nkept\n<!-- end -->\n"
    )
