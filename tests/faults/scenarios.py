"""Scenarios of virtual users: the kinds of client behaviour that a server must handle."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tests.faults.http_exchange import HTTPExchange
from tests.faults.scripted_backend import answer
from tests.faults.virtual_user import Overloaded, Scenario, VirtualUser

SMART: Final = "/api/stream_chat_smart"
_NATIVE: Final = ("/api/stream_chat", "/api/stream_chat_advanced", SMART)
_OPENAI: Final = "/v1/chat/completions"
_ANTHROPIC: Final = "/v1/messages"
_CHAT: Final = "/api/chat"
_ENDLESS = 60  # seconds; the run ends before
_FIND_TIMEOUT = 30.0  # seconds until a run without subscribers is listed and has ended


def _question(user: VirtualUser, verb: str, seconds: float) -> str:
    return f"{verb} {0 if user.is_instant else seconds:g} number {user.number}"


def _body(user: VirtualUser, path: str, message: str, *, stream: bool = True) -> dict[str, Any]:
    if path.startswith("/v1/"):
        turns = [{"role": "user", "content": message}]
        return {"model": "anyone", "messages": turns, "stream": stream, "max_tokens": 1000}
    return {"username": "anyone", "message": message, "conversation_id": f"soak-{user.number}", "locale": "en"}


def _compare(user: VirtualUser, message: str, text: str | None) -> None:
    if text is not None and text != answer(message):
        user.report_error(f"{len(text)} of {len(answer(message))} characters, or different ones")


async def stream(user: VirtualUser) -> None:
    """Read one of the three native streams to its end."""
    message = _question(user, user.rng.choice(("answer", "answer", "send")), user.rng.choice((0, 1, 3)))
    path = user.rng.choice(_NATIVE)
    async with await user.ask(path, _body(user, path, message)) as exchange:
        _compare(user, message, await user.read(exchange))


async def openai(user: VirtualUser) -> None:
    """Use the OpenAI protocol, streaming or not."""
    message = _question(user, "answer", user.rng.choice((0, 1, 3)))
    streams = user.rng.random() < 0.7
    async with await user.ask(_OPENAI, _body(user, _OPENAI, message, stream=streams)) as exchange:
        if streams:
            data = [event.data async for event in exchange.events()]
            if data.pop() is not None:
                user.report_error("a stream without [DONE]")
            text = "".join(each["choices"][0]["delta"].get("content") or "" for each in data if each.get("choices"))
        else:
            text = (await exchange.json())["choices"][0]["message"]["content"]
    if await user.wait_for_end(exchange.headers["x-run-id"]):
        _compare(user, message, text)


async def anthropic(user: VirtualUser) -> None:
    """Use the Anthropic protocol, streaming or not."""
    message = _question(user, "answer", user.rng.choice((0, 1, 3)))
    streams = user.rng.random() < 0.7
    async with await user.ask(_ANTHROPIC, _body(user, _ANTHROPIC, message, stream=streams)) as exchange:
        if streams:
            data = [event.data async for event in exchange.events()]
            if data[-1]["type"] != "message_stop":
                user.report_error("a stream without message_stop")
            text = "".join(each["delta"]["text"] for each in data if each["type"] == "content_block_delta")
        else:
            text = (await exchange.json())["content"][0]["text"]
    if await user.wait_for_end(exchange.headers["x-run-id"]):
        _compare(user, message, text)


async def chat(user: VirtualUser) -> None:
    """Request a complete answer."""
    message = _question(user, "answer", user.rng.choice((0, 1, 3)))
    async with await user.ask(_CHAT, _body(user, _CHAT, message)) as exchange:
        response = await exchange.json()
    if user.ended(response["run_id"], response):
        _compare(user, message, response["data"])


async def resume(user: VirtualUser) -> None:
    """Disconnect several times and resume in any style."""
    message = _question(user, user.rng.choice(("answer", "send")), user.rng.choice((1, 2)))
    text = ""
    last_id = ""
    cuts = 0
    exchange = await user.ask(SMART, _body(user, SMART, message))
    run_id = exchange.headers["x-run-id"]
    while True:
        async with exchange:
            async for event in exchange.events():
                last_id = event.id
                if event.data["status"] == "streaming":
                    text += event.data["data"]
                if event.data.get("is_complete"):
                    if user.ended(run_id, event.data):
                        _compare(user, message, text)
                    return
                if cuts < 3 and user.rng.random() < 0.3:
                    break
            else:
                raise EOFError("the stream ends without a final event")
            cuts += 1
            exchange.close(abruptly=user.rng.random() < 0.5)
        style = user.rng.choice(("basic", "advanced", "smart"))
        exchange = await user.subscribe(run_id, last_id, f"?style={style}")


async def slow(user: VirtualUser) -> None:
    """Subscribe late to a long answer and read slowly."""
    message = _question(user, "long", 0.2)
    async with await user.ask(SMART, _body(user, SMART, message)) as exchange:
        run_id = exchange.headers["x-run-id"]
    await asyncio.sleep(1.5)  # by then about half of the answer is due
    async with await user.subscribe(run_id, receive_bytes=4096) as exchange:
        _compare(user, message, await user.read(exchange, pace=16_000))


async def fail(user: VirtualUser) -> None:
    """Start a run that the backend rejects with ``BackendError``."""
    await _to_the_end(user, _question(user, "refuse", user.rng.choice((0, 1))))


async def provoke(user: VirtualUser) -> None:
    """Start a run in which the backend raises an unexpected exception."""
    await _to_the_end(user, _question(user, "raise", user.rng.choice((0, 1))))


async def overrun(user: VirtualUser) -> None:
    """Start a run that exceeds its deadline."""
    await _to_the_end(user, _question(user, "answer", _ENDLESS))


async def _to_the_end(user: VirtualUser, message: str) -> None:
    async with await user.ask(SMART, _body(user, SMART, message)) as exchange:
        await user.read(exchange)


async def cancel(user: VirtualUser) -> None:
    """Start a run and cancel it."""
    async with await user.ask(SMART, _body(user, SMART, _question(user, "answer", _ENDLESS))) as exchange:
        run_id = exchange.headers["x-run-id"]
        await asyncio.sleep(user.rng.random())
        await user.call(f"/api/runs/{run_id}/cancel", {})
        await user.read(exchange)


async def vanish(user: VirtualUser) -> None:
    """Disconnect during the run and do not return."""
    path = user.rng.choice((SMART, _OPENAI, _ANTHROPIC))
    async with await user.ask(path, _body(user, path, _question(user, "answer", _ENDLESS))) as exchange:
        await anext(exchange.events())
        exchange.close(abruptly=user.rng.random() < 0.5)
    await user.wait_for_end(exchange.headers["x-run-id"])


async def flee(user: VirtualUser) -> None:
    """Disconnect before the response, which may be a rejection that only the server counts."""
    path = user.rng.choice((SMART, _CHAT))
    exchange: HTTPExchange = await user.send(path, _body(user, path, _question(user, "answer", _ENDLESS)))
    await exchange.drain()
    exchange.close()
    try:
        async with asyncio.timeout(_FIND_TIMEOUT):
            await user.find(f"soak-{user.number}")
    except TimeoutError:
        raise Overloaded from None


async def crowd(user: VirtualUser) -> None:
    """Start a run as part of a burst."""
    await _to_the_end(user, _question(user, "answer", 0.5))


WHOLE: Final = (
    Scenario("stream", 30, stream, ("none",)),
    Scenario("openai", 12, openai, ("none",)),
    Scenario("anthropic", 12, anthropic, ("none",)),
    Scenario("chat", 10, chat, ("none",)),
    Scenario("resume", 10, resume, ("none",)),
)
"""Scenarios that end with an answer."""
ALL: Final = (
    *WHOLE,
    # A queued run may be cancelled before the user resumes.
    Scenario("slow", 2, slow, ("none", "cancelled")),
    Scenario("fail", 4, fail, ("backend_error",)),
    Scenario("provoke", 2, provoke, ("internal",)),
    Scenario("overrun", 3, overrun, ("timeout",)),
    # On a busy machine the deadline may pass first.
    Scenario("cancel", 5, cancel, ("cancelled", "timeout")),
    Scenario("vanish", 6, vanish, ("cancelled", "timeout")),
    Scenario("flee", 4, flee, ("cancelled", "timeout")),
)
CROWD: Final = Scenario("crowd", 0, crowd, ("none",))
