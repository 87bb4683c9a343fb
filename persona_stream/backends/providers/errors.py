"""Errors of model providers, and their texts for clients.

A ``ProviderError`` ends one attempt. Its ``kind`` selects the text that the client gets; its ``detail`` may quote the
provider, and goes to the log only.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from persona_stream.core.query import Locale

ErrorKind = Literal[
    "credentials", "credit", "model", "too_long", "filtered", "refused", "busy", "failed", "timeout", "unreachable",
    "broken_off", "unreadable", "empty", "too_large",
]  # fmt: skip

MAX_QUOTED_CHARS = 500
MIN_MASKED_CHARS = 8  # a shorter prefix of an API key only shows which provider issued it


@dataclass(frozen=True, slots=True)
class ProviderErrorObject:
    """Error object of a response or a stream.

    Attributes:
        status: the HTTP status that it stands for, where the response itself has a status of success.
        kind: the meaning of its code, where that is more specific than the status.
        message: its text; may be empty.
    """

    status: int = 500
    kind: ErrorKind | None = None
    message: str = ""


@dataclass(eq=False)
class ProviderError(Exception):
    """Failure of one attempt to get an answer from a provider.

    Attributes:
        kind: selects the text for the client.
        detail: the text for the log; it may quote the provider.
        retryable: whether another attempt may succeed.
        fallback_allowed: whether another provider may succeed: this one was unreachable, busy, or failed.
        is_outage: whether the circuit breaker counts the error as a failure of the provider.
        retry_after: delay in seconds that the provider requires before another attempt, or ``None``.
    """

    kind: ErrorKind
    detail: str
    _: KW_ONLY
    retryable: bool = False
    fallback_allowed: bool = False
    is_outage: bool = False
    retry_after: float | None = None

    def after_partial_output(self) -> "ProviderError":
        """Return the error for an answer that was partly sent, which no retry or fallback can start again."""
        return ProviderError("broken_off" if self.kind == "unreachable" else self.kind, self.detail)


def quote(body: bytes) -> str:
    """Return the beginning of an untrusted body, on one line and without terminal escapes."""
    return repr(body[: MAX_QUOTED_CHARS * 4].decode(errors="replace")[:MAX_QUOTED_CHARS])


def mask(text: str, secret: str) -> str:
    """Replace a secret in a text, also a prefix of it at which a quotation was cut."""
    if not secret:
        return text
    masked = text.replace(secret, "***")
    for size in range(len(secret) - 1, MIN_MASKED_CHARS - 1, -1):
        masked = masked.replace(secret[:size], "***")
    return masked


Text = Mapping[Locale, str]

WAITING_TEXT: Text = {"zh": "正在等待模型回复...", "en": "Waiting for the model..."}

RETRY_TEXTS: Mapping[Literal["busy", "unreachable"], Text] = {
    "busy": {
        "zh": "模型服务繁忙，{seconds} 秒后重试...",
        "en": "The model provider is busy, retrying in {seconds} s...",
    },
    "unreachable": {
        "zh": "暂时无法连接模型服务，{seconds} 秒后重试...",
        "en": "The model provider cannot be reached, retrying in {seconds} s...",
    },
}

CIRCUIT_OPEN_TEXT: Text = {
    "zh": "模型服务暂时不可用，请在 {seconds} 秒后重试",
    "en": "The model provider is unavailable, please try again in {seconds} s",
}

ERROR_TEXTS: Mapping[ErrorKind, Text] = {
    "credentials": {
        "zh": "模型服务拒绝了本服务器的 API 密钥",
        "en": "The model provider rejected this server's API key",
    },
    "credit": {"zh": "本服务器在模型服务的额度已用完", "en": "This server's credit with the model provider is used up"},
    "model": {"zh": "模型服务中没有所配置的模型", "en": "The model provider does not have the configured model"},
    "too_long": {"zh": "对话超出了模型能处理的长度", "en": "The conversation is too long for the model"},
    "filtered": {
        "zh": "回答被模型服务的内容过滤器拦截",
        "en": "The model provider's content filter blocked the answer",
    },
    "refused": {"zh": "模型服务拒绝了这个请求", "en": "The model provider rejected the request"},
    "busy": {"zh": "模型服务繁忙，请稍后重试", "en": "The model provider is busy, please try again later"},
    "failed": {"zh": "模型服务出现故障，请稍后重试", "en": "The model provider failed, please try again later"},
    "timeout": {"zh": "模型服务响应超时，请稍后重试", "en": "The model provider timed out, please try again later"},
    "unreachable": {
        "zh": "无法连接模型服务，请稍后重试",
        "en": "The model provider cannot be reached, please try again later",
    },
    "broken_off": {"zh": "模型服务的回复中途断开", "en": "The model provider's response broke off"},
    "unreadable": {"zh": "无法解析模型服务的回复", "en": "The model provider's response cannot be parsed"},
    "empty": {"zh": "模型没有给出回答", "en": "The model returned no answer"},
    "too_large": {"zh": "模型服务的回复过大", "en": "The model provider's response is too large"},
}
