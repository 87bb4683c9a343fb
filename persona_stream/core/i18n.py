"""Status and error texts for subscribers, in Chinese and English, and status texts of the operator's own.

In a language that has status texts only, the other texts are English.
"""

from collections.abc import Mapping, Sequence

from persona_stream.core import facts, query

Text = Mapping[query.Locale, str]

_LANGUAGES = ("zh", "en")
_own_texts: dict[query.Locale, Sequence[str]] = {}

INITIALIZING: Text = {"zh": "正在初始化连接...", "en": "Setting up the connection..."}

_WORKING_ON_REQUEST: Text = {"zh": "正在处理您的请求...", "en": "Working on your request..."}
_FIRST_TEXTS: Mapping[str, Text] = {
    "basic": _WORKING_ON_REQUEST,
    "advanced": {"zh": "正在初始化处理...", "en": "Starting the work..."},
    "smart": _WORKING_ON_REQUEST,
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

_ROTATING_TEXTS: Mapping[str, tuple[Text, ...]] = {
    "basic": ({"zh": "正在分析您的请求...", "en": "Analyzing your request..."}, _SEARCHING, _WRITING, _WORKING, _WAIT),
    "advanced": (_ANALYZING, _SEARCHING, _WRITING, _POLISHING, _FINISHING),
    "smart": (_ANALYZING, _SEARCHING, _WRITING, _POLISHING, _FINISHING, _WORKING, _WAIT, _PREPARING, _SORTING),
}

_ANSWER_READY: Text = {
    "zh": "处理完成 (耗时 {seconds:.1f}秒)，正在发送回复...",
    "en": "Done (took {seconds:.1f} s), sending the reply...",
}

_ANSWERED: Text = {"zh": "处理完成，耗时 {seconds:.1f} 秒", "en": "Done in {seconds:.1f} s"}
_QUEUED: Text = {"zh": "排队等待中，第 {position} 位", "en": "Waiting in the queue, position {position}"}
_LATE: Text = {
    "zh": "可能超过 {deadline:g} 秒的时限。{text}",
    "en": "May exceed the limit of {deadline:g} s. {text}",
}

FAILURES: Mapping[facts.FailureCode, Text] = {
    "timeout": {"zh": "处理超时，请稍后重试", "en": "The request took too long, please try again later"},
    "cancelled": {"zh": "请求已取消", "en": "The request was cancelled"},
    "internal": {"zh": "处理过程中发生错误", "en": "Something went wrong while processing"},
    "backend_error": {"zh": "后端没有给出回复", "en": "The backend gave no reply"},
    "context_length_exceeded": {
        "zh": "对话超出了模型的上下文长度",
        "en": "The conversation is longer than the model's context length",
    },
    "rate_limited": {"zh": "已达到速率限制，请稍后重试", "en": "The rate limit is reached, please try again later"},
    "model_not_found": {"zh": "没有所请求的模型", "en": "The requested model does not exist"},
    "content_filter": {
        "zh": "内容过滤器拦截了这个请求",
        "en": "The request was rejected as a result of the safety system",
    },
    "overloaded": {"zh": "后端繁忙，请稍后重试", "en": "The backend is overloaded, please try again later"},
    "answer_too_large": {"zh": "回复过长，无法发送", "en": "The reply is too large to send"},
    "lost": {"zh": "处理进程意外中断，请重试", "en": "The process that worked on this died, please try again"},
    "draining": {"zh": "服务器正在关闭，请稍后重试", "en": "The server is shutting down, please try again later"},
}


def register_status_messages(messages: Mapping[query.Locale, Sequence[str]]) -> None:
    """Register status texts for languages: of this process, so before it serves.

    Args:
        messages: for each language, the texts to show one after the other while a run works, then from the first again.
            They replace the bundled ones of ``zh`` and ``en``; another language becomes one that requests may ask for.
    """
    _own_texts.update(messages)


def languages() -> tuple[query.Locale, ...]:
    """Return the languages that requests may ask for."""
    return tuple(dict.fromkeys((*_LANGUAGES, *_own_texts)))


def translation(text: Text, locale: query.Locale) -> str:
    """Return a text in a language, or else in English."""
    return text.get(locale) or text["en"]


def status_text(style: str, step: int, locale: query.Locale) -> str:
    """Return the status text of a progress step: the operator's own texts in rotation, or else those of the style."""
    own = _own_texts.get(locale)
    if own is not None:
        return own[step % len(own)]
    if step == 0:
        return translation(_FIRST_TEXTS[style], locale)
    texts = _ROTATING_TEXTS[style]
    return translation(texts[(step - 1) % len(texts)], locale)


def late_text(text: str, deadline: float, locale: query.Locale) -> str:
    """Return the status text of a run that will probably miss its deadline in seconds."""
    return translation(_LATE, locale).format(text=text, deadline=deadline)


def answer_ready_text(locale: query.Locale, seconds: float) -> str:
    """Return the status text for an answer that took so many seconds."""
    return translation(_ANSWER_READY, locale).format(seconds=seconds)


def answered_text(locale: query.Locale, seconds: float) -> str:
    """Return the status text that stays beside an answer that took so many seconds."""
    return translation(_ANSWERED, locale).format(seconds=seconds)


def queued_text(locale: query.Locale, position: int) -> str:
    """Return the status text of a queued run; position 1 is next."""
    return translation(_QUEUED, locale).format(position=position)


def error_text(code: facts.FailureCode, text: str | None, locale: query.Locale) -> str:
    """Return the error text for a client: the backend's own if it supplied one, else the text of the code."""
    return text or translation(FAILURES[code], locale)
