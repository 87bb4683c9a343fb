"""The three streaming endpoints over HTTP, on a real server."""

from __future__ import annotations

import re

import pytest

from tests.backends_for_tests import CHINESE, ENGLISH
from tests.server_process import ServerProcess, serve
from tests.sse_client import answer, bodies, read

PATHS = {"basic": "/api/stream_chat", "advanced": "/api/stream_chat_advanced", "smart": "/api/stream_chat_smart"}


def ask(server: ServerProcess, style: str, username: str, message: str, **more):
    body = {"username": username, "message": message, "locale": "zh", "conversation_id": "chat_123", **more}
    return server.post(PATHS[style], body, stream=True)


def opening(response) -> dict[str, object]:
    run_id = response.headers["X-Run-Id"]
    return {
        "run_id": run_id,
        "conversation_id": "chat_123",
        "deadline": 6.0,
        "resume_for": 900.0,
    }


@pytest.mark.alone
def test_a_whole_smart_stream(server: ServerProcess):
    """Every event, field and id of a short answer."""
    response = ask(server, "smart", "quick", "Hi")
    got = read(response)
    run_id = response.headers["X-Run-Id"]
    url = got[0].data.pop("events_url")
    assert re.fullmatch(rf"/api/runs/{run_id}/events\?ticket=[\w-]{{20,}}", url)
    assert bodies(got) == [
        {"success": True, "data": "", "status": "initializing", "message": "正在初始化连接...", "progress": 5,
         "interval": 2.0, **opening(response)},
        {"success": True, "data": "", "status": "processing", "message": "正在处理您的请求...", "progress": 5,
         "elapsed_time": 0.0},
        {"success": True, "data": "", "status": "processing_complete", "progress": 100,
         "message": "处理完成 (耗时 0.0秒)，正在发送回复...", "total_processing_time": 0.0},
        {"success": True, "data": "You said: Hi", "status": "streaming", "chunk_number": 1,
         "streaming_progress": 100.0, "is_complete": False},
        {"success": True, "data": "", "status": "complete", "is_complete": True, "total_time": 0.0},
    ]  # fmt: skip
    assert [event.id for event in got] == [f"{run_id}/{place}" for place in ("1.0", "2.0", "2.0", "2.12", "3.0")]


@pytest.mark.alone
def test_a_whole_basic_stream(server: ServerProcess):
    """Chunks of 20 characters with their position in the answer."""
    response = ask(server, "basic", "quick", "abcdefghijklmnopqrstuvwxyz")
    got = bodies(read(response))
    got[0].pop("events_url")
    assert got == [
        {"success": True, "data": "", "status": "connecting", "interval": 3.0, **opening(response)},
        {"success": True, "data": "", "status": "processing", "message": "正在处理您的请求...", "progress": 5,
         "elapsed_time": 0.0},
        {"success": True, "data": "", "status": "processing_complete", "progress": 100,
         "message": "处理完成 (耗时 0.0秒)，正在发送回复...", "total_processing_time": 0.0},
        {"success": True, "data": "You said: abcdefghij", "status": "streaming", "progress": 55.6,
         "is_complete": False, "total_length": 36, "current_position": 20},
        {"success": True, "data": "klmnopqrstuvwxyz", "status": "streaming", "progress": 100.0,
         "is_complete": False, "total_length": 36, "current_position": 36},
        {"success": True, "data": "", "status": "complete", "is_complete": True},
    ]  # fmt: skip


@pytest.mark.alone
def test_a_whole_advanced_stream(server: ServerProcess):
    """Whole words in numbered chunks."""
    response = ask(server, "advanced", "quick", "some words that follow one another")
    got = bodies(read(response))
    got[0].pop("events_url")
    assert got == [
        {"success": True, "data": "", "status": "initializing", "interval": 2.0, **opening(response)},
        {"success": True, "data": "", "status": "processing", "message": "正在初始化处理...", "progress": 5,
         "elapsed_time": 0.0},
        {"success": True, "data": "", "status": "processing_complete", "progress": 100,
         "message": "处理完成 (耗时 0.0秒)，正在发送回复...", "total_processing_time": 0.0},
        {"success": True, "data": "You said: some words ", "status": "streaming", "chunk_number": 1,
         "is_complete": False},
        {"success": True, "data": "that follow one another", "status": "streaming", "chunk_number": 2,
         "is_complete": False},
        {"success": True, "data": "", "status": "complete", "is_complete": True},
    ]  # fmt: skip


def test_the_headers_of_a_stream(server: ServerProcess):
    """Those that proxies and browsers need, and none that HTTP/2 forbids."""
    response = ask(server, "smart", "quick", "Hi")
    read(response)
    run_id = response.headers["X-Run-Id"]
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert response.headers["Location"] == f"/api/runs/{run_id}/events"
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Connection" not in response.headers
    assert "Content-Encoding" not in response.headers


@pytest.mark.alone
@pytest.mark.parametrize(("style", "interval"), [("basic", 3.0), ("advanced", 2.0), ("smart", 2.0)])
def test_progress_is_sent_every_interval(server: ServerProcess, style: str, interval: float):
    """While the backend is silent; its slow answer arrives complete."""
    got = read(ask(server, style, "slow", str(interval + 0.5), locale="en"))
    ticks = [event for event in got if event.data["status"] == "processing"]
    assert [event.data["elapsed_time"] for event in ticks] == [0.0, interval]
    assert ticks[1].at - ticks[0].at == pytest.approx(interval, abs=0.9)
    assert 5 == ticks[0].data["progress"] < ticks[1].data["progress"] <= 95
    assert answer(got) == ENGLISH + CHINESE


def test_the_first_event_does_not_wait_for_the_backend(server: ServerProcess):
    """It is sent at once."""
    response = ask(server, "smart", "slow", "3")
    assert response.elapsed.total_seconds() < 2.5
    response.close()


def test_progress_reported_by_the_backend_is_sent(server: ServerProcess):
    """Its text replaces the status text; its fraction raises the percentage and gives an ETA."""
    got = bodies(read(ask(server, "smart", "reporting", "3.8")))
    report = next(event for event in got if event.get("message", "").endswith("Reading page 3 of 8"))
    assert report["status"] == "processing"
    assert report["progress"] >= 37
    assert "eta" in report


def test_reasoning_is_sent_on_request(server: ServerProcess):
    """Before the answer, and never in it."""
    got = bodies(read(ask(server, "smart", "echo", "The answer.", reasoning=True)))
    thoughts = [event for event in got if event["status"] == "reasoning"]
    assert "".join(event["reasoning"] for event in thoughts) == "Let me repeat that."
    assert thoughts[0] == {
        "success": True, "data": "", "status": "reasoning", "reasoning": thoughts[0]["reasoning"], "is_complete": False,
    }  # fmt: skip
    order = [event["status"] for event in got]
    assert order.index("reasoning") < order.index("streaming")
    assert got[-1]["usage"] == {"input_tokens": 11, "output_tokens": 11, "estimated": False}
    assert "reasoning" not in [event["status"] for event in bodies(read(ask(server, "smart", "echo", "The answer.")))]


def test_texts_are_in_the_language_of_the_client(server: ServerProcess):
    """From the body, else Accept-Language, else Chinese."""
    body = {"username": "quick", "message": "Hi"}

    def first_message(language: str | None, **more) -> str:
        headers = {"Accept-Language": language} if language else {}
        return bodies(read(server.post(PATHS["smart"], {**body, **more}, headers=headers, stream=True)))[0]["message"]

    assert first_message(None) == "正在初始化连接..."
    assert first_message("en-GB,en;q=0.9,zh;q=0.3") == "Setting up the connection..."
    assert first_message("fr-FR,fr;q=0.9") == "正在初始化连接..."
    assert first_message("en", locale="zh") == "正在初始化连接..."
    assert first_message("zh-TW", locale="en") == "Setting up the connection..."


@pytest.mark.parametrize("chunking", ["characters", "words", "sentences"])
def test_a_request_may_select_its_chunking(server: ServerProcess, chunking: str):
    """The chunks always join to the answer."""
    got = read(ask(server, "smart", "slow", "0", chunking=chunking))
    assert answer(got) == ENGLISH + CHINESE
    chunks = [event.data["data"] for event in got if event.data["status"] == "streaming"]
    expected = {
        "characters": ["Decentralization is ", "not a goal in itself"],
        "words": ["Decentralization is ", "not a goal in itself. "],
        "sentences": ["Decentralization is not a goal in itself. "],
    }
    assert chunks[: len(expected[chunking])] == expected[chunking]


@pytest.mark.parametrize(
    ("message", "ending"),
    [
        ("deliberate", {"error": "The library is closed today.", "code": "backend_error"}),
        ("exception", {"error": "处理过程中发生错误", "code": "internal"}),
        ("exit", {"error": "处理过程中发生错误", "code": "internal"}),
        ("nothing", {"error": "处理过程中发生错误", "code": "internal"}),
        ("number", {"error": "处理过程中发生错误", "code": "internal"}),
        ("empty", {"error": "后端没有给出回复", "code": "backend_error"}),
        ("large", {"error": "回复过长，无法发送", "code": "answer_too_large"}),
    ],
)
@pytest.mark.parametrize("style", PATHS)
def test_each_failure_ends_the_stream_with_one_event(
    server: ServerProcess, style: str, message: str, ending: dict[str, str]
):
    """Without the text of unexpected exceptions."""
    got = read(ask(server, style, "failing", message))
    assert got[-1].data == {"success": False, "status": "error", "is_complete": True, **ending}
    assert sum(bool(event.data.get("is_complete")) for event in got) == 1
    assert "secret detail" not in str(got)


def test_the_log_has_the_traceback_that_the_client_does_not_see(server: ServerProcess):
    """With the run id."""
    response = ask(server, "smart", "failing", "exception")
    read(response)
    server.wait_for_log(response.headers["X-Run-Id"])
    assert "ValueError: a secret detail" in server.log


def test_unencodable_characters_are_replaced_and_line_separators_escaped(server: ServerProcess):
    """Lone surrogates and NUL are never sent; U+2028 and U+0085 only as escapes."""
    response = ask(server, "smart", "failing", "surrogate", chunking="sentences")
    raw = response.raw.read(decode_content=True).decode("utf-8")
    assert "\u2028" not in raw
    assert "\u0085" not in raw
    assert "\\u2028" in raw
    assert "half \ufffd a pair, \ufffd NUL" in raw


def test_the_deadline_ends_a_run(server: ServerProcess):
    """With `timeout`, shortly after the deadline, and the work is killed."""
    got = read(ask(server, "smart", "slow", "30"))
    ending = got[-1].data
    assert 6.0 <= ending.pop("elapsed_time") < 7.5
    assert ending == {
        "success": False, "error": "处理超时，请稍后重试", "code": "timeout", "status": "timeout", "is_complete": True,
    }  # fmt: skip


def test_printable_text_is_not_escaped(server: ServerProcess):
    """It is compact UTF-8."""
    raw = ask(server, "smart", "quick", "你好 😀 <b>&amp;</b>").raw.read(decode_content=True).decode("utf-8")
    assert '"data":"You said: 你好 😀 <b>&amp;</b>"' in raw
    assert '": ' not in raw.replace('"You said: ', "")


def test_a_registered_chunker_is_used_and_a_faulty_one_loses_no_answer():
    """One that chunks by lines is used; one that loses text is logged, and the answer arrives complete."""
    server = serve("tests.custom_chunkers:ask", executor="greenlet")
    try:
        for chunking in ("lines", "lossy", "raising"):
            got = read(ask(server, "smart", "anybody", "Hi", chunking=chunking))
            chunks = [event.data["data"] for event in got if event.data["status"] == "streaming"]
            assert "".join(chunks) == "One line.\nAnother.\nA third line, which is longer than the others."
            assert (chunks[0] == "One line.\n") == (chunking == "lines")
            assert got[-1].data["status"] == "complete"
        assert "chunker 'lossy' failed" in server.log
        assert "chunker 'raising' failed" in server.log
    finally:
        assert server.stop() == 0


def test_a_huge_answer_takes_at_most_a_thousand_chunks_and_ten_seconds(server: ServerProcess):
    """In every chunking."""
    got = read(ask(server, "smart", "failing", "just under the limit " * 1_500, chunking="words"))
    chunks = [event for event in got if event.data["status"] == "streaming"]
    assert answer(got) == ("just under the limit " * 1_500).strip()
    assert 500 < len(chunks) <= 1000
    assert chunks[-1].at - chunks[0].at < 15.0, "unscaled, the pauses alone would take 45 seconds"
