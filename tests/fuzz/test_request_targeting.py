"""Targeting of generated requests, and their credentials."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

from fuzz.request_targeting import Known, is_short, set_credentials, target

KNOWN = Known(["run-1", "run-2"], ["talk-1"], ["main.js"], ["admin's", "caller's"])
SEEDS = range(300)


def case(**parts: Any) -> Any:
    """Return a fake schemathesis case."""
    empty = {"path_parameters": {}, "query": {}, "headers": {}, "cookies": {}, "body": None}
    return SimpleNamespace(operation=SimpleNamespace(label="POST /x"), **{**empty, **parts})


def test_most_requests_target_existing_ids() -> None:
    """Some keep their generated ids, which the server must reject."""
    asked = Counter(
        target(case(path_parameters={"run_id": "0"}), KNOWN, Random(seed)).path_parameters["run_id"] for seed in SEEDS
    )
    assert set(asked) == {"run-1", "run-2", "0"}
    assert asked["0"] < asked["run-1"] + asked["run-2"]


def test_positions_belong_to_the_requested_run() -> None:
    """So some of them exist."""
    for seed in SEEDS:
        targeted = target(case(path_parameters={"run_id": "0"}, query={"last_event_id": ""}), KNOWN, Random(seed))
        run, _, position = targeted.query["last_event_id"].rpartition("/")
        assert position == "" or run == targeted.path_parameters["run_id"]


def test_most_conversations_get_a_message_and_no_unsupported_fields() -> None:
    """The others stay unchanged."""
    bodies = [target(case(body={"messages": [], "n": 7}), KNOWN, Random(seed)).body for seed in SEEDS]
    answerable = [body for body in bodies if body["messages"] and "n" not in body]
    assert len(SEEDS) / 2 < len(answerable) < len(SEEDS)


def test_an_invalid_body_stays_invalid() -> None:
    """Otherwise an accepted request would be reported as an error."""
    wrong = {"messages": [], "logprobs": 7, "token": True}
    bodies = [target(case(body=dict(wrong)), KNOWN, Random(seed), is_body_invalid=True).body for seed in SEEDS]
    assert bodies == [wrong] * len(SEEDS)


def test_long_urls_are_skipped() -> None:
    """The encoded length counts, in which a character can take twelve."""
    short, long = {"search": "\U0001f600" * 400, "status": ["a", "b"]}, {"search": "\U0001f600" * 600}
    assert is_short(case(query=short))
    assert is_short(case(query=None))
    assert is_short(case(query={"broken": "\ud800"}))
    assert not is_short(case(query=long))


def test_other_cases_stay_unchanged() -> None:
    """A body may be anything, and parameters may be missing."""
    for body in (None, [], "text", 7):
        assert target(case(path_parameters=None, body=body), KNOWN, Random(1)).body == body


def test_credentials_vary_and_generated_ones_are_removed() -> None:
    """Mostly an administrator, else a user or none; equal requests have equal credentials."""
    who = []
    for number in SEEDS:
        made_up = {"Authorization": "Bearer x", "x-api-key": "x"}
        asked = [case(query={"n": number, "ticket": "x"}, headers=dict(made_up), cookies={"persona_stream_admin": "x"})]
        asked.append(case(query={"n": number, "ticket": "x"}))
        for each in asked:
            set_credentials(each, KNOWN)
        assert asked[0].headers == asked[1].headers
        assert asked[0].cookies == {}
        assert asked[0].headers or "ticket" not in asked[0].query
        who.append(asked[0].headers.get("Authorization"))
    counted = Counter(who)
    assert set(counted) == {"Bearer admin's", "Bearer caller's", None}
    assert counted["Bearer admin's"] > len(SEEDS) / 2
