"""The kinds of clients that a server meets in a year."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from tests.faults.http_exchange import Exchange
from tests.faults.tasks import answer
from tests.faults.virtual_user import Kind, Refused, Visitor

SMART: Final = "/api/stream_chat_smart"
_NATIVE: Final = ("/api/stream_chat", "/api/stream_chat_advanced", SMART)
_OPENAI: Final = "/v1/chat/completions"
_ANTHROPIC: Final = "/v1/messages"
_CHAT: Final = "/api/chat"
_ENDLESS = 60  # seconds: it is ended before
_FOUND = 30.0  # seconds in which a run shows, and ends, that nobody waits for


def _question(visitor: Visitor, verb: str, seconds: float) -> str:
    return f"{verb} {0 if visitor.hurries else seconds:g} number {visitor.number}"


def _body(visitor: Visitor, path: str, message: str, *, stream: bool = True) -> dict[str, Any]:
    if path.startswith("/v1/"):
        turns = [{"role": "user", "content": message}]
        return {"model": "anybody", "messages": turns, "stream": stream, "max_tokens": 1000}
    return {"username": "anybody", "message": message, "conversation_id": f"soak-{visitor.number}", "locale": "en"}


def _compare(visitor: Visitor, message: str, text: str | None) -> None:
    if text is not None and text != answer(message):
        visitor.complain(f"{len(text)} of {len(answer(message))} characters, or others")


async def stream(visitor: Visitor) -> None:
    """Read one of the three streams to its end."""
    message = _question(visitor, visitor.dice.choice(("answer", "answer", "send")), visitor.dice.choice((0, 1, 3)))
    path = visitor.dice.choice(_NATIVE)
    async with await visitor.ask(path, _body(visitor, path, message)) as exchange:
        _compare(visitor, message, await visitor.read(exchange))


async def openai(visitor: Visitor) -> None:
    """Ask as OpenAI's clients do, with and without a stream."""
    message, streams = _question(visitor, "answer", visitor.dice.choice((0, 1, 3))), visitor.dice.random() < 0.7
    async with await visitor.ask(_OPENAI, _body(visitor, _OPENAI, message, stream=streams)) as exchange:
        if streams:
            data = [event.data async for event in exchange.events()]
            if data.pop() is not None:
                visitor.complain("a stream without [DONE]")
            text = "".join(each["choices"][0]["delta"].get("content") or "" for each in data if each.get("choices"))
        else:
            text = (await exchange.json())["choices"][0]["message"]["content"]
    if await visitor.learn(exchange.headers["x-run-id"]):
        _compare(visitor, message, text)


async def anthropic(visitor: Visitor) -> None:
    """Ask as Anthropic's clients do, with and without a stream."""
    message, streams = _question(visitor, "answer", visitor.dice.choice((0, 1, 3))), visitor.dice.random() < 0.7
    async with await visitor.ask(_ANTHROPIC, _body(visitor, _ANTHROPIC, message, stream=streams)) as exchange:
        if streams:
            data = [event.data async for event in exchange.events()]
            if data[-1]["type"] != "message_stop":
                visitor.complain("a stream without message_stop")
            text = "".join(each["delta"]["text"] for each in data if each["type"] == "content_block_delta")
        else:
            text = (await exchange.json())["content"][0]["text"]
    if await visitor.learn(exchange.headers["x-run-id"]):
        _compare(visitor, message, text)


async def chat(visitor: Visitor) -> None:
    """Wait for a whole answer."""
    message = _question(visitor, "answer", visitor.dice.choice((0, 1, 3)))
    async with await visitor.ask(_CHAT, _body(visitor, _CHAT, message)) as exchange:
        told = await exchange.json()
    if visitor.ended(told["run_id"], told):
        _compare(visitor, message, told["data"])


async def resume(visitor: Visitor) -> None:
    """Hang up now and then, and go on where one was, in any style."""
    message = _question(visitor, visitor.dice.choice(("answer", "send")), visitor.dice.choice((1, 2)))
    text, last_id, cuts = "", "", 0
    exchange = await visitor.ask(SMART, _body(visitor, SMART, message))
    run_id = exchange.headers["x-run-id"]
    while True:
        async with exchange:
            async for event in exchange.events():
                last_id = event.id
                if event.data["status"] == "streaming":
                    text += event.data["data"]
                if event.data.get("is_complete"):
                    if visitor.ended(run_id, event.data):
                        _compare(visitor, message, text)
                    return
                if cuts < 3 and visitor.dice.random() < 0.3:
                    break
            else:
                raise EOFError("it ends without an ending")
            cuts += 1
            exchange.leave(abruptly=visitor.dice.random() < 0.5)
        style = visitor.dice.choice(("basic", "advanced", "smart"))
        exchange = await visitor.again(run_id, last_id, f"?style={style}")


async def slow(visitor: Visitor) -> None:
    """Come late for a long answer, and take one's time over it."""
    message = _question(visitor, "long", 0.2)
    async with await visitor.ask(SMART, _body(visitor, SMART, message)) as exchange:
        run_id = exchange.headers["x-run-id"]
    await asyncio.sleep(1.5)  # then half of the answer is due, or soon will be
    async with await visitor.again(run_id, receive_bytes=4096) as exchange:
        _compare(visitor, message, await visitor.read(exchange, pace=16_000))


async def fail(visitor: Visitor) -> None:
    """Ask what the backend cannot do."""
    await _to_the_end(visitor, _question(visitor, "refuse", visitor.dice.choice((0, 1))))


async def provoke(visitor: Visitor) -> None:
    """Ask what the backend falls over."""
    await _to_the_end(visitor, _question(visitor, "raise", visitor.dice.choice((0, 1))))


async def overrun(visitor: Visitor) -> None:
    """Ask what takes longer than the deadline."""
    await _to_the_end(visitor, _question(visitor, "answer", _ENDLESS))


async def _to_the_end(visitor: Visitor, message: str) -> None:
    async with await visitor.ask(SMART, _body(visitor, SMART, message)) as exchange:
        await visitor.read(exchange)


async def cancel(visitor: Visitor) -> None:
    """Ask, think better of it, and say so."""
    async with await visitor.ask(SMART, _body(visitor, SMART, _question(visitor, "answer", _ENDLESS))) as exchange:
        run_id = exchange.headers["x-run-id"]
        await asyncio.sleep(visitor.dice.random())  # until one thinks better of it
        await visitor.call(f"/api/runs/{run_id}/cancel", {})
        await visitor.read(exchange)


async def vanish(visitor: Visitor) -> None:
    """Hang up while the answer is waited for, and never come back."""
    path = visitor.dice.choice((SMART, _OPENAI, _ANTHROPIC))
    async with await visitor.ask(path, _body(visitor, path, _question(visitor, "answer", _ENDLESS))) as exchange:
        await anext(exchange.events())
        exchange.leave(abruptly=visitor.dice.random() < 0.5)
    await visitor.learn(exchange.headers["x-run-id"])


async def flee(visitor: Visitor) -> None:
    """Hang up before there is any answer; that may have been a refusal, which only the server has counted then."""
    path = visitor.dice.choice((SMART, _CHAT))
    exchange: Exchange = await visitor.send(path, _body(visitor, path, _question(visitor, "answer", _ENDLESS)))
    await exchange.sent()
    exchange.leave()
    try:
        async with asyncio.timeout(_FOUND):
            await visitor.find(f"soak-{visitor.number}")
    except TimeoutError:
        raise Refused from None


async def crowd(visitor: Visitor) -> None:
    """Be one of many who come at once."""
    await _to_the_end(visitor, _question(visitor, "answer", 0.5))


WHOLE: Final = (
    Kind("stream", 30, stream, ("none",)),
    Kind("openai", 12, openai, ("none",)),
    Kind("anthropic", 12, anthropic, ("none",)),
    Kind("chat", 10, chat, ("none",)),
    Kind("resume", 10, resume, ("none",)),
)
"""Those that get an answer."""
ALL: Final = (
    *WHOLE,
    # Who had to wait for a place may have been given up before it comes back.
    Kind("slow", 2, slow, ("none", "cancelled")),
    Kind("fail", 4, fail, ("backend_error",)),
    Kind("provoke", 2, provoke, ("internal",)),
    Kind("overrun", 3, overrun, ("timeout",)),
    # On a machine that is busy the deadline may come before what they do.
    Kind("cancel", 5, cancel, ("cancelled", "timeout")),
    Kind("vanish", 6, vanish, ("cancelled", "timeout")),
    Kind("flee", 4, flee, ("cancelled", "timeout")),
)
CROWD: Final = Kind("crowd", 0, crowd, ("none",))
