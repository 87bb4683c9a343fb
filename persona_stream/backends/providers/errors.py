"""What can go wrong with a provider, by what a client and an operator need to know about it.

What clients are told about a provider, in both languages. Nothing of what it says itself is among it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from persona_stream.core.query import Locale

ErrorKind = Literal[
    "credentials",
    "credit",
    "model",
    "too_long",
    "filtered",
    "refused",
    "busy",
    "failed",
    "timeout",
    "unreachable",
    "broken_off",
    "unreadable",
    "empty",
    "too_large",
]

_QUOTED = 500  # characters
_TELLING = 8  # characters of a secret that say more than what kind of secret it is


class ProviderError(Exception):
    """Stop one try at an answer.

    Attributes:
        kind: what the client is told.
        detail: what the log is told; it may quote the provider.
        again: whether another try may go better.
        elsewhere: whether another provider may do better: this one was away, busy, or failed.
        down: whether it is a sign that this one is dead: others that ask now will fare no better.
        retry_after: seconds that the provider asks to wait before another try, when it does.
    """

    def __init__(
        self,
        kind: ErrorKind,
        detail: str,
        *,
        retryable: bool = False,
        fallback_allowed: bool = False,
        is_outage: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(kind, detail)
        self.kind: ErrorKind = kind
        self.detail = detail
        self.retryable = retryable
        self.fallback_allowed = fallback_allowed
        self.is_outage = is_outage
        self.retry_after = retry_after

    def after_partial_output(self) -> ProviderError:
        """Give the same for an answer of which readers have a part: nobody can begin it anew."""
        return ProviderError("broken_off" if self.kind == "unreachable" else self.kind, self.detail)


def quote(body: bytes) -> str:
    """Show the beginning of what a stranger sent, on one line and without terminal escapes."""
    return repr(body[: _QUOTED * 4].decode(errors="replace")[:_QUOTED])


def mask(text: str, secret: str) -> str:
    """Give a text without a secret, nor the beginning of one in the middle of which a quotation was cut."""
    if not secret:
        return text
    masked = text.replace(secret, "***")
    for size in range(len(secret) - 1, _TELLING - 1, -1):
        masked = masked.replace(secret[:size], "***")
    return masked


Text = Mapping[Locale, str]

WAITING_TEXT: Text = {"zh": "正在等待模型回复...", "en": "Waiting for the model..."}

RETRY_TEXTS: Mapping[Literal["busy", "unreachable"], Text] = {
    "busy": {
        "zh": "模型服务繁忙，{seconds} 秒后重试...",
        "en": "The provider is busy, trying again in {seconds} s...",
    },
    "unreachable": {
        "zh": "模型服务暂时无法连接，{seconds} 秒后重试...",
        "en": "The provider cannot be reached, trying again in {seconds} s...",
    },
}

CIRCUIT_OPEN_TEXT: Text = {
    "zh": "模型服务目前没有响应，请在 {seconds} 秒后重试",
    "en": "The provider does not answer at present, please try again in {seconds} s",
}

ERROR_TEXTS: Mapping[ErrorKind, Text] = {
    "credentials": {"zh": "模型服务拒绝了我们的凭据", "en": "The provider refused our credentials"},
    "credit": {"zh": "我们在模型服务的额度已用完", "en": "Our credit with the provider is used up"},
    "model": {"zh": "模型服务中没有我们配置的模型", "en": "The provider does not have the model that we ask for"},
    "too_long": {"zh": "对话超出了模型能处理的长度", "en": "The conversation is too long for the model"},
    "filtered": {"zh": "回答被模型服务的内容过滤器拦截", "en": "The provider's content filter held the answer back"},
    "refused": {"zh": "模型服务不接受这个请求", "en": "The provider did not accept the request"},
    "busy": {"zh": "模型服务繁忙，请稍后重试", "en": "The provider is busy, please try again later"},
    "failed": {"zh": "模型服务出现故障，请稍后重试", "en": "The provider failed, please try again later"},
    "timeout": {"zh": "模型服务响应超时，请稍后重试", "en": "The provider took too long, please try again later"},
    "unreachable": {
        "zh": "无法连接模型服务，请稍后重试",
        "en": "The provider cannot be reached, please try again later",
    },
    "broken_off": {"zh": "模型服务的回复中途断开", "en": "The provider's reply broke off in the middle"},
    "unreadable": {"zh": "无法理解模型服务的回复", "en": "The provider's reply cannot be understood"},
    "empty": {"zh": "模型没有给出回答", "en": "The model gave no answer"},
    "too_large": {"zh": "模型服务的回复过大", "en": "The provider's reply is too large"},
}
