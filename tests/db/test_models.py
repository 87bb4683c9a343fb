"""Log columns are declared once: a new field of the model reaches the table, the statements and the lists."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import Integer, MetaData

from persona_stream.cli.runs import table_columns
from persona_stream.db.models import RUN_COLUMNS, TEXT_COLUMNS, LogColumn, RunRecord, RunRow, columns_of
from persona_stream.db.statements import update_stage
from persona_stream.db.tables import log_table, run_texts, runs


class ExtendedRow(RunRow, frozen=True):
    """Copy of the model with one more column."""

    retries: Annotated[int | None, LogColumn("finished", "count", ("Retries", "重试"), "timing", priority=13)]


def test_a_new_column_is_in_the_table_the_statements_and_the_lists() -> None:
    """No other declaration is needed."""
    columns = columns_of(ExtendedRow)
    table = log_table("extended", columns, MetaData())
    assert isinstance(table.c.retries.type, Integer)
    assert table.c.retries.nullable
    assert "retries=:retries" in str(update_stage(table, columns, "finished"))
    assert table_columns(columns)[-1].title == "Retries"
    assert columns[-1].tab == "timing"


def test_the_tables_have_the_declared_columns_and_no_other() -> None:
    """A field that is not optional must not be NULL."""
    assert [column.name for column in runs.c] == list(RunRecord.__struct_fields__)
    assert [column.name for column in run_texts.c] == ["run_id", *(column.name for column in TEXT_COLUMNS)]
    assert [column.name for column in runs.c if not column.nullable] == [
        column.name for column in RUN_COLUMNS if not column.is_optional
    ]


def test_every_column_has_a_heading_in_both_languages() -> None:
    """And no two listed columns have the same rank."""
    for column in RUN_COLUMNS:
        english, chinese = column.title
        assert english.isascii()
        assert english
        assert not chinese.isascii(), column.name
    ranks = sorted(column.priority for column in RUN_COLUMNS if column.priority)
    assert ranks == list(range(1, len(ranks) + 1))
