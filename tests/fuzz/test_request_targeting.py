"""Made-up requests are aimed at what exists, and asked by everybody there is."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

from fuzz.request_targeting import Known, aim, introduce, is_short

KNOWN = Known(["run-1", "run-2"], ["talk-1"], ["main.js"], ["admin's", "caller's"])
DICE = range(300)


def case(**parts: Any) -> Any:
    """Give what schemathesis would have made up, as far as it is looked at here."""
    empty = {"path_parameters": {}, "query": {}, "headers": {}, "cookies": {}, "body": None}
    return SimpleNamespace(operation=SimpleNamespace(label="POST /x"), **{**empty, **parts})


def test_most_requests_are_for_what_exists() -> None:
    """And some for what was made up: it has to be refused."""
    asked = Counter(
        aim(case(path_parameters={"run_id": "0"}), KNOWN, Random(seed)).path_parameters["run_id"] for seed in DICE
    )
    assert set(asked) == {"run-1", "run-2", "0"}
    assert asked["0"] < asked["run-1"] + asked["run-2"]


def test_positions_are_of_the_run_that_is_asked_for() -> None:
    """So some are where the run has been."""
    for seed in DICE:
        aimed = aim(case(path_parameters={"run_id": "0"}, query={"last_event_id": ""}), KNOWN, Random(seed))
        run, _, position = aimed.query["last_event_id"].rpartition("/")
        assert position == "" or run == aimed.path_parameters["run_id"]


def test_a_conversation_gets_a_question_and_asks_for_nothing_impossible() -> None:
    """In most cases; the others stay as they were made."""
    bodies = [aim(case(body={"messages": [], "n": 7}), KNOWN, Random(seed)).body for seed in DICE]
    answerable = [body for body in bodies if body["messages"] and "n" not in body]
    assert len(DICE) / 2 < len(answerable) < len(DICE)


def test_a_body_that_is_wrong_on_purpose_stays_wrong() -> None:
    """Or it would be answered, and be taken for a mistake of the server's."""
    wrong = {"messages": [], "logprobs": 7, "token": True}
    bodies = [aim(case(body=dict(wrong)), KNOWN, Random(seed), is_body_wrong=True).body for seed in DICE]
    assert bodies == [wrong] * len(DICE)


def test_an_address_that_nobody_reads_is_left_out() -> None:
    """As it is on the wire, where a letter can be twelve."""
    short, long = {"search": "\U0001f600" * 400, "status": ["a", "b"]}, {"search": "\U0001f600" * 600}
    assert is_short(case(query=short))
    assert is_short(case(query=None))
    assert is_short(case(query={"broken": "\ud800"}))
    assert not is_short(case(query=long))


def test_what_has_no_such_parts_stays_as_it_is() -> None:
    """A body may be anything, and parameters may be missing."""
    for body in (None, [], "text", 7):
        assert aim(case(path_parameters=None, body=body), KNOWN, Random(1)).body == body


def test_everybody_asks_and_nobody_brings_what_would_open_it() -> None:
    """An administrator mostly, a caller, and nobody; the same request is always asked by the same."""
    who = []
    for number in DICE:
        made_up = {"Authorization": "Bearer x", "x-api-key": "x"}
        asked = [case(query={"n": number, "ticket": "x"}, headers=dict(made_up), cookies={"persona_stream_admin": "x"})]
        asked.append(case(query={"n": number, "ticket": "x"}))
        for each in asked:
            introduce(each, KNOWN)
        assert asked[0].headers == asked[1].headers
        assert asked[0].cookies == {}
        assert asked[0].headers or "ticket" not in asked[0].query
        who.append(asked[0].headers.get("Authorization"))
    counted = Counter(who)
    assert set(counted) == {"Bearer admin's", "Bearer caller's", None}
    assert counted["Bearer admin's"] > len(DICE) / 2
