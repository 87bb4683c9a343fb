"""Queries over the log, in SQLite and in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection

from persona_stream.db.models import FAILED, RunFilters, RunRow
from persona_stream.db.queries import filter_options, get_run, list_runs, newest_runs_query
from tests.db.databases import write
from tests.db.factories import seeded

NOW = 1_800_000_000.0
ROWS = list(seeded(400, NOW, 4000.0))
SHORT = [short for short, _ in reversed(ROWS)]  # newest first


@pytest.fixture(scope="module")
def log(connection: Connection) -> Connection:
    """Create a log of 400 runs."""
    write(connection, ROWS)
    return connection


def matching_runs(log: Connection, filters: RunFilters, limit: int = 1000) -> Sequence[RunRow]:
    return list_runs(log, filters, None, limit)[0]


def names(rows: Sequence[RunRow]) -> list[str]:
    return [row.run_id for row in rows]


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        (RunFilters(), lambda row: True),
        (RunFilters(statuses=("timeout",)), lambda row: row["status"] == "timeout"),
        (RunFilters(statuses=FAILED), lambda row: row["status"] in ("error", "timeout")),
        (RunFilters(user="LuXun"), lambda row: row["username"] == "LuXun"),
        (RunFilters(user=SHORT[7]["owner"]), lambda row: row["owner"] == SHORT[7]["owner"]),
        (RunFilters(endpoint="/v1/messages"), lambda row: row["endpoint"] == "/v1/messages"),
        (RunFilters(model="gpt-4o"), lambda row: row["model"] == "gpt-4o"),
        (RunFilters(slow=20.0), lambda row: (row["total"] or 0) >= 20),
        (RunFilters(conversation="c-9"), lambda row: row["conversation_id"] == "c-9"),
        (RunFilters(since=NOW - 2000), lambda row: row["accepted_at"] >= NOW - 2000),
        (RunFilters(until=NOW - 2000), lambda row: row["accepted_at"] < NOW - 2000),
        (RunFilters(search="(17)"), lambda row: "(17)" in row["question"]),
        (RunFilters(search="ADALOVE"), lambda row: row["username"] == "AdaLovelace"),
        (RunFilters(search="人工智能"), lambda row: "人工智能" in row["question"]),
        (RunFilters(search="100%_of nothing"), lambda row: False),
        (RunFilters(search=SHORT[3]["run_id"]), lambda row: row["run_id"] == SHORT[3]["run_id"]),
        (RunFilters(search=SHORT[3]["run_id"][:10].upper()), lambda row: row["run_id"][:10] == SHORT[3]["run_id"][:10]),
        (
            RunFilters(statuses=FAILED, user="LuXun", slow=1.0, search="(", since=NOW - 3900),
            lambda row: (
                row["status"] in FAILED
                and row["username"] == "LuXun"
                and row["total"] >= 1
                and row["accepted_at"] >= NOW - 3900
            ),
        ),
    ],
)
def test_each_filter_returns_exactly_the_matching_runs(log: Connection, filters: RunFilters, matches) -> None:
    """Newest first, for every combination."""
    assert names(matching_runs(log, filters)) == [row["run_id"] for row in SHORT if matches(row)]


@pytest.mark.parametrize(
    "filters", [RunFilters(), RunFilters(statuses=FAILED), RunFilters(user="LuXun", statuses=("complete",))]
)
def test_pages_join_to_the_whole(log: Connection, filters: RunFilters) -> None:
    """The pages have every run once, and the last page has no next one."""
    seen: list[str] = []
    before, is_last = None, False
    while not is_last:
        page, before = list_runs(log, filters, before, 7)
        seen += names(page)
        is_last = before is None
        assert is_last or len(page) == 7
    assert seen == names(matching_runs(log, filters))


def test_a_search_scans_one_window_per_page(log: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a search may be short or empty and still have a next one; together they have every match."""
    monkeypatch.setattr("persona_stream.db.queries.SEARCH_WINDOW", 150)
    first, following = list_runs(log, RunFilters(search=f"({len(ROWS) - 300})"), None, 50)
    assert (first, following) == ([], SHORT[149]["run_id"])
    second, following = list_runs(log, RunFilters(search=f"({len(ROWS) - 300})"), following, 50)
    assert (names(second), following) == ([SHORT[299]["run_id"]], SHORT[299]["run_id"])
    assert list_runs(log, RunFilters(search=f"({len(ROWS) - 300})"), following, 50) == ([], None)


def test_a_run_is_shown_with_all_its_texts(log: Connection) -> None:
    """Columns in JSON are decoded."""
    short, texts = next((short, texts) for short, texts in reversed(ROWS) if short["status"] == "complete")
    found = get_run(log, short["run_id"])
    assert found is not None
    run, said = found
    assert {name: getattr(run, name) for name in run.__struct_fields__} == {
        name: short[name] for name in run.__struct_fields__
    }
    assert (said.question, said.answer, said.request_body) == (
        texts["question"],
        texts["answer"],
        texts["request_body"],
    )
    assert said.request_headers is not None
    assert said.request_headers[1] == ("Authorization", "***")
    assert said.steps is not None
    assert [step.kind for step in said.steps][:2] == ["started", "asked"]
    assert said.upstream is not None
    assert said.upstream[0].request["messages"][0]["content"] == texts["question"]


def test_a_run_that_is_not_there(log: Connection) -> None:
    """The result is None."""
    assert get_run(log, "0" * 26) is None


def test_filter_options_are_the_stored_values(log: Connection) -> None:
    """Each value once, in order, and without NULL."""
    found = filter_options(log)

    def values(name: str) -> list[str]:
        return sorted({row[name] for row in SHORT if row[name] is not None})[:200]

    assert found.statuses == values("status")
    assert found.owners == values("owner")
    assert found.usernames == values("username")
    assert found.endpoints == values("endpoint")
    assert found.models == values("model")


# PostgreSQL scans a table of so few rows.
@pytest.mark.parametrize("connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("filters", "index"),
    [
        (RunFilters(), "sqlite_autoindex_runs_1"),
        (RunFilters(statuses=("error",)), "runs_by_status"),
        (RunFilters(statuses=FAILED), "runs_by_status"),
        (RunFilters(user="LuXun"), "runs_by_username"),
        (RunFilters(user="LuXun"), "runs_by_owner"),
        (RunFilters(endpoint="/api/chat"), "runs_by_endpoint"),
        (RunFilters(model="gpt-4o"), "runs_by_model"),
        (RunFilters(conversation="c-1"), "runs_by_conversation_id"),
    ],
)
def test_each_filter_has_an_index(log: Connection, filters: RunFilters, index: str) -> None:
    """SQLite's query plan uses it, and sorts the rows of a page at most."""
    query = newest_runs_query(filters, None, None, limit=50, dialect="sqlite").compile(
        log.engine, compile_kwargs={"literal_binds": True}
    )
    plan = [row[3] for row in log.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert any(index in line for line in plan), plan
    assert not [line for line in plan if line == "SCAN runs"]
