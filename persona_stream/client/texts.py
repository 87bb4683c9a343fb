"""Texts of the client in both languages, with fields for ``str.format``."""

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]
Table = Mapping[str, tuple[str, str]]
"""Texts by key, in English and Chinese."""

MESSAGES: Table = {
    "connecting": ("Connecting...", "正在连接..."),
    "waiting": ("Waiting for the answer...", "正在等待回答..."),
    "queued": ("Queued (position {position:.0f})", "正在排队（第 {position:.0f} 位）"),
    "reconnecting": ("{reason}; retrying in {wait:.1f} s", "{reason}，{wait:.1f} 秒后重试"),
    "cancelling": ("Cancelling...", "正在取消..."),
    "seconds": ("{value:.1f}s", "{value:.1f}秒"),
    "whole_seconds": ("{value:.0f}s", "{value:.0f}秒"),
    "time_left": ("~{time} left", "约剩 {time}"),
    "time_limit": ("<{time} left", "最多剩 {time}"),
    "error": ("error: ", "错误："),
    "error_with_run": ("{error} (run {run_id})", "{error}（运行 {run_id}）"),
    "hint": ("hint: ", "提示："),
    "done": ("Answered in {seconds:.1f} s.", "回答完毕，用时 {seconds:.1f} 秒。"),
    "continue_with": ("To continue the conversation: --conversation-id {id}", "继续对话请加 --conversation-id {id}"),
    "cancelled": ("Cancelled.", "已取消。"),
    "cancel_unconfirmed": ("The server did not confirm it; the run stops once it has no subscribers.",
        "服务器未确认；无人读取时运行会自行停止。"),
    "incomplete": ("The answer above is incomplete.", "以上回答不完整。"),
    "retry_after": ("Retry in {seconds:.0f} s.", "请在 {seconds:.0f} 秒后重试。"),
    "token_missing": (
        "token missing: set PERSONA_STREAM_TOKEN, or pass TOKEN or --token; "
        "`persona-stream token --user NAME` creates one",
        "缺少令牌：请设置环境变量 PERSONA_STREAM_TOKEN，或使用 TOKEN 参数或 --token；"
        "可用 `persona-stream token --user NAME` 生成"),
    "token_malformed": ("invalid token: pass the token alone, without the word Bearer",
        "令牌无效：请只填写令牌本身，不要带 Bearer 一词"),
    "invalid_url": ("{url!r} is not the URL of a server; a valid one looks like http://127.0.0.1:5001",
        "{url!r} 不是服务器地址：应形如 http://127.0.0.1:5001"),
    "not_unicode": ("{field} is not valid UTF-8", "{field} 不是有效的 UTF-8"),
    "empty_message": ("the message is empty", "消息为空"),
}  # fmt: skip

# Why the client reconnects, by error code.
REASONS: Table = {
    "unreachable": ("Cannot reach the server", "无法连接服务器"),
    "connection_lost": ("Connection lost", "连接中断"),
    "silence": ("The server stopped responding", "服务器没有响应"),
    "garbled": ("Damaged data received", "数据损坏"),
    "other": ("The server is not ready", "服务器尚未就绪"),
}  # fmt: skip

# What went wrong, by error code, where the server sent no text.
ERRORS: Table = {
    "unreachable": ("cannot reach the server: {detail}", "无法连接服务器：{detail}"),
    "tls": ("TLS connection failed: {detail}", "无法建立 TLS 连接：{detail}"),
    "connection_lost": ("the connection is lost repeatedly: {detail}", "连接反复中断：{detail}"),
    "silence": ("the server stopped responding", "服务器长时间没有响应"),
    "garbled": ("the data from the server is damaged in transit", "收到的数据在传输途中损坏"),
    "redirected": ("the server redirects to another address: {detail}", "服务器重定向到另一个地址：{detail}"),
    "not_ours": ("the response is not from a persona_stream server", "该地址的响应不是来自 persona_stream 服务器"),
    "run_gone": ("the server no longer has this run", "服务器已不再保存此次运行"),
    "client_timeout": ("no complete answer within {detail} s; the run was cancelled",
        "{detail} 秒内未得到完整回答，已取消运行"),
    "cancelled": ("cancelled", "已取消"),
    "unwritable": ("cannot write the answer: {detail}", "无法写出回答：{detail}"),
    "other": ("the server failed ({code})", "服务器出错（{code}）"),
}  # fmt: skip

# What to do next, by error code.
HINTS: Table = {
    "unreachable": ("Is the server running? `persona-stream serve` starts one here; --url selects another.",
        "服务器启动了吗？可用 `persona-stream serve` 在本机启动，或用 --url 指定其他地址。"),
    "tls": ("Check --url. For a private certificate, set REQUESTS_CA_BUNDLE to its file.",
        "请检查 --url；自签证书请把 REQUESTS_CA_BUNDLE 设为证书文件。"),
    "connection_lost": ("Check the network and any proxies; `curl -v` on the same URL shows which one disconnects.",
        "请检查网络和中间的代理：对同一地址执行 `curl -v` 可看出是谁断开的。"),
    "silence": ("Ask again. If it persists, check the server's log.", "请重新提问；若仍如此，请查看服务器日志。"),
    "garbled": ("A proxy may alter the stream; connect without it.", "可能有代理改动了数据流：请绕过它再试。"),
    "redirected": ("Pass that address with --url.", "请用 --url 指定该地址。"),
    "not_ours": ("Check --url.", "请检查 --url。"),
    "run_gone": ("The server may have been restarted. Ask again.", "服务器可能已重启，请重新提问。"),
    "client_timeout": ("Ask again, or allow more time with --timeout.", "请重新提问，或用 --timeout 延长等待时间。"),
    "timeout": ("Ask again, or ask a shorter question. `persona-stream serve --timeout` sets the server's limit.",
        "请重新提问或简化问题；`persona-stream serve --timeout` 可延长服务器的时限。"),
    "cancelled": ("", ""),
    "unwritable": ("", ""),
    "invalid_request": ("Correct the field that the message names; --help lists the options.",
        "请按上面的说明修改；--help 列出可用的参数。"),
    "unauthorized": ("The token may have expired: `persona-stream token --user NAME` creates a new one.",
        "令牌可能已过期：可用 `persona-stream token --user NAME` 重新生成。"),
    "forbidden": ("The token lacks a scope: `persona-stream token --user NAME --scope chat` creates another.",
        "此令牌没有所需权限：可用 `persona-stream token --user NAME --scope chat` 生成。"),
    "not_found": ("Check the username; GET /api/profiles lists the personas.",
        "请检查用户名；GET /api/profiles 列出所有角色。"),
    "conflict": ("Ask again.", "请重新提问。"),
    "gone": ("Ask again.", "请重新提问。"),
    "too_large": ("Shorten the message or the prompt.", "请缩短消息或提示词。"),
    "busy": ("The server is at capacity. Ask again later.", "服务器已满负荷，请稍后重新提问。"),
    "rate_limited": ("Too many requests. Ask again later.", "请求过于频繁，请稍后重新提问。"),
    "draining": ("The server is restarting. Ask again later.", "服务器正在重启，请稍后重新提问。"),
    "unavailable": ("A service that the server needs is unavailable. Ask again later.",
        "服务器所需的服务暂不可用，请稍后重新提问。"),
    "backend_error": ("This message comes from the backend. If it persists, contact the server's operator.",
        "此消息来自后端；若仍如此，请联系服务器管理员。"),
    "internal": ("The server's log has the details under the run id. Contact the server's operator.",
        "服务器日志中有此次运行的详细记录，请联系服务器管理员。"),
    "answer_too_large": ("Ask for a shorter answer.", "请缩小问题的范围。"),
    "lost": ("The process that executed the run ended unexpectedly. Ask again.",
        "执行此次运行的进程已意外退出，请重新提问。"),
    "http_401": ("Check the token: `persona-stream token --user NAME` creates one.",
        "请检查令牌：可用 `persona-stream token --user NAME` 生成。"),
    "http_404": ("Check --url: this address has no such endpoint.", "请检查 --url：该地址没有这个接口。"),
    "http_5xx": ("The server or a proxy in front of it is temporarily unavailable. Ask again later.",
        "服务器或其前面的代理暂时不可用，请稍后重新提问。"),
    "http": ("Check --url and any proxies.", "请检查 --url 和中间的代理。"),
}  # fmt: skip


class Texts:
    """Texts in one language."""

    def __init__(self, language: Language) -> None:
        self._index = ("en", "zh").index(language)

    def format(self, name: str, **values: object) -> str:
        """Return a message with its fields filled in."""
        return MESSAGES[name][self._index].format(**values)

    def reconnecting(self, code: str, wait: float) -> str:
        """Return the message that the next attempt follows after ``wait`` seconds."""
        return self.format("reconnecting", reason=REASONS.get(code, REASONS["other"])[self._index], wait=wait)

    def error(self, code: str, detail: str = "") -> str:
        """Return the description of an error."""
        return ERRORS.get(code, ERRORS["other"])[self._index].format(code=code, detail=detail).rstrip(" :：")

    def hint(self, code: str) -> str:
        """Return the next step after an error, empty if there is none."""
        default = HINTS["http_5xx" if code.startswith("http_5") else "http"]
        return HINTS.get(code, default)[self._index]


def detect_language(environ: Mapping[str, str]) -> Language:
    """Return the language of the locale variables: ``zh``, else ``en``."""
    name = next((environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(key)), "")
    return "zh" if name.lower().startswith("zh") else "en"
