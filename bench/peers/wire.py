"""Events and token verification for both peers."""

from __future__ import annotations

import secrets
import time
from typing import Final

import jwt
import msgspec

from bench.workload import CHUNK_SIZE, DEADLINE, INTERVAL, RESUME_FOR, SECRET

MESSAGES: Final = (
    "正在分析用户请求...",
    "正在检索相关信息...",
    "正在生成回复内容...",
    "正在优化回复质量...",
    "正在完成最终处理...",
    "正在处理中...",
    "请稍候...",
    "正在准备回复...",
    "正在整理信息...",
)


class Opening(msgspec.Struct):
    run_id: str
    conversation_id: str
    events_url: str
    success: bool = True
    data: str = ""
    status: str = "initializing"
    message: str = "正在初始化连接..."
    progress: int = 5
    interval: float = INTERVAL
    deadline: float = DEADLINE
    resume_for: float = RESUME_FOR


class Processing(msgspec.Struct):
    message: str
    progress: int
    elapsed_time: float
    success: bool = True
    data: str = ""
    status: str = "processing"


class ProcessingComplete(msgspec.Struct):
    message: str
    total_processing_time: float
    success: bool = True
    data: str = ""
    status: str = "processing_complete"
    progress: int = 100


class Streaming(msgspec.Struct):
    data: str
    chunk_number: int
    streaming_progress: float
    success: bool = True
    status: str = "streaming"
    is_complete: bool = False


class Complete(msgspec.Struct):
    total_time: float
    success: bool = True
    data: str = ""
    status: str = "complete"
    is_complete: bool = True


Event = Opening | Processing | ProcessingComplete | Streaming | Complete

_encoder = msgspec.json.Encoder()


def encode(event: Event) -> str:
    """Encode an event as compact JSON."""
    return _encoder.encode(event).decode()


def opening(run_id: str, conversation_id: str | None) -> Opening:
    """Create the first event of a run."""
    ticket = secrets.token_urlsafe(32)
    return Opening(
        run_id=run_id,
        conversation_id=conversation_id or secrets.token_hex(16),
        events_url=f"/api/runs/{run_id}/events?ticket={ticket}",
    )


def processing(tick: int, elapsed: float) -> Processing:
    """Create the progress event of a tick; the first one is tick 0."""
    message = MESSAGES[(tick - 1) % len(MESSAGES)] if tick else "正在处理您的请求..."
    return Processing(message, min(95, 5 + int(90 * elapsed / DEADLINE)), round(elapsed, 1))


def processing_complete(elapsed: float) -> ProcessingComplete:
    """Create the event that announces the answer."""
    return ProcessingComplete(f"处理完成 (耗时 {elapsed:.1f}秒)，正在发送回复...", round(elapsed, 1))


def streaming(number: int, chunk: str, sent: int, total: int) -> Streaming:
    """Create the event of one chunk of the answer."""
    return Streaming(chunk, number, round(100 * sent / total, 1))


def split_answer(text: str) -> list[str]:
    """Split an answer into chunks."""
    return [text[start : start + CHUNK_SIZE] for start in range(0, len(text), CHUNK_SIZE)]


class Verifier:
    """Verifier of bearer tokens, with a cache of valid ones."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}

    def __call__(self, authorization: str | None) -> str | None:
        """Return the subject, or ``None`` for an invalid header."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        known = self._known.get(token)
        if known is None:
            try:
                claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"require": ["sub", "exp"]})
            except jwt.InvalidTokenError:
                return None
            known = self._known[token] = (claims["sub"], claims["exp"])
        subject, expires = known
        if expires <= time.time():
            del self._known[token]
            return None
        return subject
