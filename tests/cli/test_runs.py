"""Commands ``persona-stream runs``, ``stats`` and ``db``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from persona_stream.cli.commands import run
from persona_stream.cli.runs import TableColumn, format_age, render_table
from persona_stream.core.facts import Answered, Failed, Started
from persona_stream.core.usage import custom_prices
from persona_stream.db import engine
from persona_stream.db.base import Privacy, Record
from persona_stream.db.engine import LATEST_REVISION, ensure_schema
from persona_stream.db.statements import make_writer
from tests.db.factories import ANSWERED, entries, query, records

ESCAPES = "red \x1b[31m and\nthe next line \u202e"


def write(file: Path, *kept: Record) -> None:
    """Write records as a server does."""
    made = engine.open_engine(engine.database_url(f"sqlite:///{file}", file.parent), 1)
    ensure_schema(made)
    with made.begin() as connection:
        make_writer(Privacy(), custom_prices({}))(connection, kept)
    made.dispose()


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    """Create a log with an answered run, a failed one and one with control characters; return the flags for it."""
    file, now = tmp_path / "log.sqlite", time.time() - 60
    for asked, facts in (
        (query("What is it?"), ANSWERED),
        (query("Does it fail?", owner="bob"), ((0.1, Started()), (1.0, Failed("internal")))),
        (query(ESCAPES, owner="carol"), ((0.1, Started()), (19.0, Answered(ESCAPES)))),
    ):
        now += 10
        write(file, *records(entries(asked, *facts, at=now), asked, now))
    return ["--database-url", f"sqlite:///{file}"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that succeeds, and return its output."""
    assert run(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_the_newest_come_first_in_a_table(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each run takes one line, and control characters in a question are replaced."""
    head, *lines = printed(capsys, "runs", "list", *log).splitlines()
    assert head.split()[:4] == ["Run", "Time", "Status", "User"]
    cells = [re.split(" {2,}", line) for line in lines]
    assert [cell[3] for cell in cells] == ["carol", "bob", "alice"]
    assert [cell[2] for cell in cells] == ["complete", "internal", "complete"]
    assert all(re.fullmatch(r"\d+ s ago|1 min ago", cell[1]) for cell in cells)
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (200, ["Run", "Time", "Status", "User", "Persona", "Endpoint", "Model", "Question", "First text", "Total",
               "Tokens", "Cost"]),
        (100, ["Run", "Time", "Status", "User", "Persona", "Model", "Question", "First text", "Total"]),
        (60, ["Run", "Time", "Status", "User", "Question"]),
        (30, ["Run", "Time", "Status"]),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_are_dropped(
    log: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, titles: list[str]
) -> None:
    """The least important ones first; no line is wrapped, not even with wide characters in it."""
    monkeypatch.setenv("COLUMNS", str(width))
    asked = query("每个字占两列" * 40, owner="dora")
    write(Path(log[1].removeprefix("sqlite:///")), *records(entries(asked, *ANSWERED, at=time.time()), asked))
    head, *lines = printed(capsys, "runs", "list", *log).splitlines()
    assert re.split(" {2,}", head) == titles
    assert len(lines) == 4
    assert max(map(cell_len, (head, *lines))) <= width


@pytest.mark.parametrize(
    ("flags", "owners"),
    [
        (["--failed"], ["bob"]),
        (["--status", "complete"], ["carol", "alice"]),
        (["--user", "alice"], ["alice"]),
        (["--slow", "12s"], ["carol"]),
        (["--search", "FAIL"], ["bob"]),
        (["--since", "35s"], ["carol"]),
        (["--limit", "2"], ["carol", "bob"]),
        (["--endpoint", "/api/stream_chat_smart"], ["carol", "bob", "alice"]),
    ],
)
def test_each_filter_excludes_other_runs(
    log: list[str], capsys: pytest.CaptureFixture[str], flags: list[str], owners: list[str]
) -> None:
    """Each filter excludes the other runs; in JSON, each line is a run."""
    lines = printed(capsys, "runs", "list", "--json", *flags, *log).splitlines()
    assert [json.loads(line)["owner"] for line in lines] == owners
    assert not any("\x1b" in line or "\u202e" in line for line in lines)


def test_states_are_colored_on_a_terminal() -> None:
    """The columns stay aligned, and neither the headings nor another column have a color."""
    columns = [TableColumn("Run"), TableColumn("Status", "status"), TableColumn("Question")]
    rows = [["1", "complete", "failed"], ["2", "internal", "complete"]]
    plain = render_table(columns, rows, 80)
    colored = render_table(columns, rows, 80, is_colored=True)
    assert click.unstyle(colored) == plain
    heading, good, bad = colored.splitlines()
    assert heading == plain.splitlines()[0]
    assert good == f"1    {click.style('complete', fg='green')}  failed"
    assert bad == f"2    {click.style('internal', fg='red')}  complete"


def test_an_empty_result_is_reported(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A message on stderr says so."""
    assert run(["runs", "list", "--model", "none", *log]) == 0
    assert capsys.readouterr() == ("", "No runs match.\n")


def test_a_run_is_shown_with_its_texts_and_steps(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As text, and as one JSON object."""
    run_id = json.loads(printed(capsys, "runs", "list", "--json", "--user", "alice", *log))["run_id"]
    out = printed(capsys, "runs", "show", run_id, *log)
    for part in ("total             9.50 s", "\nQuestion\nWhat is it?", "\nAnswer\nIt is so.", "0.50 s  started"):
        assert part in out
    shown = json.loads(printed(capsys, "runs", "show", run_id, "--json", *log))
    assert (shown["run"]["owner"], shown["texts"]["answer"]) == ("alice", "It is so.")


def test_the_end_of_an_id_names_a_run(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """As the list prints it; one that names several is refused with their ids."""
    short = printed(capsys, "runs", "list", "--user", "alice", *log).splitlines()[1].split()[0]
    assert json.loads(printed(capsys, "runs", "show", short.upper(), "--json", *log))["run"]["owner"] == "alice"
    for row_id in ("01k00000000000000000aaaaaa", "01k00000000000000001aaaaaa"):
        asked = query("Twice?")
        first, *others = entries(asked, *ANSWERED, at=time.time())
        terms = replace(first.fact, run_id=row_id)
        write(Path(log[1].removeprefix("sqlite:///")), *records([replace(first, fact=terms), *others], asked))
    assert run(["runs", "show", "aaaaaa", *log]) == 2
    error = capsys.readouterr().err
    assert "Several runs end in aaaaaa: 01k00000000000000001aaaaaa, 01k00000000000000000aaaaaa" in error
    assert run(["runs", "show", "%%%%", *log]) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (3540, "59 min ago"),
        (7200, "2 h ago"),
        (86400, "1970-01-01"),
    ],
)
def test_ages_have_one_unit(seconds: float, text: str) -> None:
    """From a day on, the date."""
    assert format_age(43_200, 43_200 + seconds) == text


def test_statistics_are_printed(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Counts, mean durations and the speed of delivery."""
    out = printed(capsys, "stats", *log)
    assert "3, 1 failed" in out
    assert "Processing" in out
    assert "characters/s" in out
    assert "tokens/s, from the start to the answer" in out
    assert re.search(r"Progress, from the earlier runs alone\nBackend +Runs +Error +Best curve", out)
    assert json.loads(printed(capsys, "stats", "--json", *log))["sums"][0] == 3


def test_statistics_print_a_warning_once(
    log: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although the statistics need a setting besides those of the database."""
    monkeypatch.setenv("PERSONA_STREAM_PORT", "tcp://10.0.0.1:80")
    assert run(["stats", *log]) == 0
    assert capsys.readouterr().err.count("PERSONA_STREAM_PORT") == 1


def test_the_tables_go_up_and_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command prints the revisions; a database without tables is reported with advice."""
    flags = ["--database-url", f"sqlite:///{tmp_path}/new.sqlite"]
    assert printed(capsys, "db", "version", *flags) == f"none (newest: {LATEST_REVISION})\n"
    assert run(["runs", "list", *flags]) == 2
    assert "db upgrade" in capsys.readouterr().err
    assert printed(capsys, "db", "upgrade", *flags) == f"none -> {LATEST_REVISION}\n"
    assert run(["runs", "list", *flags]) == 0
    capsys.readouterr()
    assert printed(capsys, "db", "downgrade", "base", "--yes", *flags) == f"{LATEST_REVISION} -> none\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runs", "list", "--database-url", "off"], "database_url is off"),
        (
            ["runs", "list", "--database-url", "sqlite:////none/x.sqlite"],
            "no database at /none/x.sqlite: start a server",
        ),
        (["runs", "list", "--database-url", "mysql://h/x"], "--database-url must be a URL that begins with"),
        (["runs", "list", "--slow", "x"], "Invalid value for '--slow'"),
        (["db", "upgrade", "9999", "--database-url", "sqlite:///{tmp}/x.sqlite"], "Can't locate revision"),
        (["stats", "--database-url", "postgresql://127.0.0.1:1/x"], "The database is unavailable"),
    ],
)
def test_an_error_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is not 0, and stdout is empty."""
    assert run([argument.format(tmp=tmp_path) for argument in arguments]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err


def test_a_run_that_is_not_there(log: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The message has its id without control characters."""
    assert run(["runs", "show", "no\x1bsuch", *log]) == 2
    assert "The log has no run no␛such" in capsys.readouterr().err


def test_tail_prints_runs_as_they_end(log: list[str]) -> None:
    """Runs that ended before are not printed."""
    file = Path(log[1].removeprefix("sqlite:///"))
    lines: list[str] = []
    command = [sys.executable, "-m", "persona_stream", "runs", "tail", *log]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        try:
            # Until it has begun to look, each may be one that was there before.
            waiting = threading.Thread(target=lambda: lines.append(tail.stdout.readline()))
            waiting.start()
            while not lines:
                asked, now = query("Something new"), time.time()
                write(file, *records(entries(asked, *ANSWERED, at=now), asked, now))
                waiting.join(1.0)
        finally:
            tail.kill()
    assert "alice asked ada: Something new" in lines[0]


def test_tail_prints_a_long_run_when_it_ends(tmp_path: Path) -> None:
    """Regardless of how many runs started after it."""
    file, now = tmp_path / "log.sqlite", time.time()
    kept: list[Record] = []
    for number in range(300):
        asked = query(f"Question {number}")
        kept += records(entries(asked, *ANSWERED, at=now - 30 + number / 100), asked, now)
    asked = query("The long one")
    kept += records(entries(asked, (0.1, Started()), (100.0, Answered("At last")), at=now - 100), asked, now)
    write(file, *kept)
    flags = ["--since", "5m", "--database-url", f"sqlite:///{file}"]
    command = [sys.executable, "-m", "persona_stream", "runs", "tail", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        try:
            lines = [tail.stdout.readline() for _ in range(301)]
        finally:
            tail.kill()
    assert "The long one" in lines[0]
    assert "Question 299" in lines[-1]
