"""Every text that we say to a reader, in both languages, side by side."""

from __future__ import annotations

from collections.abc import Mapping

from persona_stream.core.facts import FailureCode
from persona_stream.core.query import Locale

Text = Mapping[Locale, str]

INITIALIZING: Text = {"zh": "正在初始化连接...", "en": "Setting up the connection..."}

_REQUEST: Text = {"zh": "正在处理您的请求...", "en": "Working on your request..."}
_FIRST: Mapping[str, Text] = {
    "basic": _REQUEST,
    "advanced": {"zh": "正在初始化处理...", "en": "Starting the work..."},
    "smart": _REQUEST,
}

_ANALYZING: Text = {"zh": "正在分析用户请求...", "en": "Analyzing the request..."}
_SEARCHING: Text = {"zh": "正在检索相关信息...", "en": "Looking up what is relevant..."}
_WRITING: Text = {"zh": "正在生成回复内容...", "en": "Writing the reply..."}
_POLISHING: Text = {"zh": "正在优化回复质量...", "en": "Polishing the reply..."}
_FINISHING: Text = {"zh": "正在完成最终处理...", "en": "Finishing up..."}
_WORKING: Text = {"zh": "正在处理中...", "en": "Working..."}
_WAIT: Text = {"zh": "请稍候...", "en": "One moment, please..."}
_PREPARING: Text = {"zh": "正在准备回复...", "en": "Preparing the reply..."}
_SORTING: Text = {"zh": "正在整理信息...", "en": "Putting things in order..."}

_ROTATING: Mapping[str, tuple[Text, ...]] = {
    "basic": (
        {"zh": "正在分析您的请求...", "en": "Analyzing your request..."},
        _SEARCHING,
        _WRITING,
        _WORKING,
        _WAIT,
    ),
    "advanced": (_ANALYZING, _SEARCHING, _WRITING, _POLISHING, _FINISHING),
    "smart": (
        _ANALYZING,
        _SEARCHING,
        _WRITING,
        _POLISHING,
        _FINISHING,
        _WORKING,
        _WAIT,
        _PREPARING,
        _SORTING,
    ),
}

_PROCESSED: Text = {
    "zh": "处理完成 (耗时 {seconds:.1f}秒)，正在发送回复...",
    "en": "Done (took {seconds:.1f} s), sending the reply...",
}

FAILURES: Mapping[FailureCode, Text] = {
    "timeout": {"zh": "处理超时，请稍后重试", "en": "The request took too long, please try again later"},
    "cancelled": {"zh": "请求已取消", "en": "The request was cancelled"},
    "internal": {"zh": "处理过程中发生错误", "en": "Something went wrong while processing"},
    "backend_error": {"zh": "后端没有给出回复", "en": "The backend gave no reply"},
    "answer_too_large": {"zh": "回复过长，无法发送", "en": "The reply is too large to send"},
    "lost": {"zh": "处理进程意外中断，请重试", "en": "The process that worked on this died, please try again"},
    "draining": {"zh": "服务器正在关闭，请稍后重试", "en": "The server is shutting down, please try again later"},
}


def status_text(style: str, step: int, locale: Locale) -> str:
    """Give the status text of a step: the first one at step 0, and the others in turn."""
    if step == 0:
        return _FIRST[style][locale]
    texts = _ROTATING[style]
    return texts[(step - 1) % len(texts)][locale]


def answer_ready_text(locale: Locale, seconds: float) -> str:
    """Say that the answer is there, and after how long."""
    return _PROCESSED[locale].format(seconds=seconds)


def error_text(code: FailureCode, text: str | None, locale: Locale) -> str:
    """Say what went wrong: the backend's own words when it chose some, else ours."""
    return text or FAILURES[code][locale]
