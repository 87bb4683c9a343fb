"""What the client itself says: the form of it. ``texts_en`` and ``texts_zh`` hold the words.

The client's words in English.

The client's words in Chinese.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Texts:
    """Hold every text in one language. Braces are filled in with ``str.format``.

    Attributes:
        reasons: why the client connects again, by code.
        errors: what happened, by code, for those that the server gave no text for.
        hints: what to do now, by code.
    """

    connecting: str
    waiting: str
    queued: str
    reconnecting: str
    reasons: Mapping[str, str]
    cancelling: str
    seconds: str
    whole_seconds: str
    about_left: str
    at_most_left: str
    error: str
    hint: str
    done: str
    continue_with: str
    cancelled: str
    cancel_unheard: str
    incomplete: str
    retry_after: str
    credential_missing: str
    credential_malformed: str
    bad_address: str
    not_text: str
    empty_message: str
    errors: Mapping[str, str]
    hints: Mapping[str, str]

    def error_of(self, code: str, detail: str = "") -> str:
        """Say what happened."""
        text = self.errors.get(code, self.errors["other"])
        return text.format(code=code, detail=detail).rstrip(" :：")

    def reconnecting_because(self, code: str, wait: float) -> str:
        """Say that the next attempt follows in so many seconds."""
        return self.reconnecting.format(why=self.reasons.get(code, self.reasons["other"]), wait=wait)

    def hint_of(self, code: str) -> str:
        """Say what to do now; empty when there is nothing to advise."""
        if code in self.hints:
            return self.hints[code]
        return self.hints["http_5"] if code.startswith("http_5") else self.hints.get("http", "")


def language_of(environ: Mapping[str, str]) -> str:
    """Tell the language that the environment asks for: ``zh``, else ``en``."""
    name = next((environ[key] for key in ("LC_ALL", "LC_MESSAGES", "LANG") if environ.get(key)), "")
    return "zh" if name.lower().startswith("zh") else "en"


EN = Texts(
    connecting="Connecting...",
    waiting="Waiting for the answer...",
    queued="Waiting for a free place (number {place:.0f})",
    reconnecting="{why}; trying again in {wait:.1f} s",
    reasons={
        "unreachable": "Cannot reach the server",
        "connection_lost": "Connection lost",
        "silence": "The server has fallen silent",
        "garbled": "Damaged data",
        "other": "The server is not ready",
    },
    cancelling="Cancelling...",
    seconds="{:.1f}s",
    whole_seconds="{:.0f}s",
    about_left="~{} left",
    at_most_left="<{} left",
    error="error: ",
    hint="hint: ",
    done="Answered in {seconds:.1f} s.",
    continue_with="Go on with --conversation-id {id}",
    cancelled="Cancelled.",
    cancel_unheard="The server did not confirm; it stops by itself when nobody reads.",
    incomplete="The answer above is incomplete.",
    retry_after="Try again in {seconds:.0f} s.",
    credential_missing="no token: give it as TOKEN, with --token, or in PERSONA_STREAM_TOKEN; "
    "`persona-stream token --user NAME` prints one",
    credential_malformed="this cannot be a token: give the token alone, without the word Bearer, as it was printed",
    bad_address="{url!r} is not the address of a server: it should look like http://127.0.0.1:5001",
    not_text="{field} is not valid UTF-8",
    empty_message="the message is empty",
    errors={
        "unreachable": "cannot reach the server: {detail}",
        "tls": "no secure connection: {detail}",
        "connection_lost": "the connection keeps breaking: {detail}",
        "silence": "the server has fallen silent",
        "garbled": "what comes from the server is damaged on its way",
        "redirected": "the server is somewhere else: {detail}",
        "not_ours": "something answers at this address, but not persona_stream",
        "run_gone": "the server does not know this run any more",
        "client_timeout": "no complete answer within {detail} s; the question was withdrawn",
        "cancelled": "cancelled",
        "unwritable": "cannot write the answer: {detail}",
        "other": "the server failed ({code})",
    },
    hints={
        "unreachable": "Is it running? `persona-stream serve` starts one here; --url names another.",
        "tls": "Check --url. For a certificate of your own, set REQUESTS_CA_BUNDLE to its file.",
        "connection_lost": "Check the network, and what lies between: `curl -v` there shows who hangs up.",
        "silence": "Ask again; if it stays so, look at the server's log.",
        "garbled": "A proxy may be changing the stream: try without it.",
        "redirected": "Give that address with --url.",
        "not_ours": "Check --url.",
        "run_gone": "It may have been restarted. Ask again.",
        "client_timeout": "Ask again, or wait longer with --timeout.",
        "timeout": "Ask again, or ask for less. `persona-stream serve --timeout` gives every question more time.",
        "cancelled": "",
        "unwritable": "",
        "invalid_request": "Change what the message names; --help lists what may be given.",
        "unauthorized": "Check the token, it may have expired: `persona-stream token --user NAME` prints a new one.",
        "forbidden": "This token is not for that: `persona-stream token --user NAME --scope chat` prints one that is.",
        "not_found": "Check the username; GET /api/profiles lists who can be asked.",
        "conflict": "Ask again.",
        "gone": "Ask again.",
        "too_large": "Ask with a shorter message or prompt.",
        "busy": "Every place is taken. Ask again a little later.",
        "rate_limited": "You asked too often. Ask again a little later.",
        "draining": "The server is being restarted. Ask again a little later.",
        "unavailable": "Something that the server needs is out of reach. Ask again a little later.",
        "backend_error": "The server's backend says so. If it stays so, ask who runs it.",
        "internal": "The server's log has more about it, under the id of the run.",
        "answer_too_large": "Ask for less.",
        "lost": "The process that was working on it died. Ask again.",
        "http_401": "Check the token: `persona-stream token --user NAME` prints one.",
        "http_404": "Check --url: there is no such endpoint at this address.",
        "http_5": "The server, or a proxy before it, is away for the moment. Ask again a little later.",
        "http": "Check --url, and what lies between.",
    },
)

ZH = Texts(
    connecting="正在连接...",
    waiting="正在等待回复...",
    queued="正在排队（第 {place:.0f} 位）",
    reconnecting="{why}，{wait:.1f} 秒后重试",
    reasons={
        "unreachable": "无法连接服务器",
        "connection_lost": "连接中断",
        "silence": "服务器没有响应",
        "garbled": "数据损坏",
        "other": "服务器尚未就绪",
    },
    cancelling="正在取消...",
    seconds="{:.1f}秒",
    whole_seconds="{:.0f}秒",
    about_left="约剩 {}",
    at_most_left="最多剩 {}",
    error="错误：",
    hint="提示：",
    done="已答复，用时 {seconds:.1f} 秒。",
    continue_with="继续对话请加 --conversation-id {id}",
    cancelled="已取消。",
    cancel_unheard="服务器未确认；无人读取时它会自行停止。",
    incomplete="以上回复不完整。",
    retry_after="请在 {seconds:.0f} 秒后重试。",
    credential_missing="缺少令牌：请用 TOKEN 参数、--token 或环境变量 PERSONA_STREAM_TOKEN 提供；"
    "可用 `persona-stream token --user NAME` 生成",
    credential_malformed="这不是有效的令牌：请只填写令牌本身，不要带 Bearer 一词",
    bad_address="{url!r} 不是服务器地址：应形如 http://127.0.0.1:5001",
    not_text="{field} 不是有效的 UTF-8",
    empty_message="消息为空",
    errors={
        "unreachable": "无法连接服务器：{detail}",
        "tls": "无法建立安全连接：{detail}",
        "connection_lost": "连接反复中断：{detail}",
        "silence": "服务器长时间没有响应",
        "garbled": "收到的数据在传输途中损坏",
        "redirected": "服务器在另一个地址：{detail}",
        "not_ours": "该地址有响应，但不是 persona_stream",
        "run_gone": "服务器已不再保存此次运行",
        "client_timeout": "{detail} 秒内未得到完整回复，已撤回提问",
        "cancelled": "已取消",
        "unwritable": "无法写出回复：{detail}",
        "other": "服务器出错（{code}）",
    },
    hints={
        "unreachable": "服务器启动了吗？可用 `persona-stream serve` 在本机启动，或用 --url 指定其他地址。",
        "tls": "请检查 --url；自签证书请把 REQUESTS_CA_BUNDLE 设为证书文件。",
        "connection_lost": "请检查网络和中间的代理：对同一地址执行 `curl -v` 可看出是谁断开的。",
        "silence": "请重试；若一直如此，请查看服务器日志。",
        "garbled": "可能有代理改动了数据流：请绕过它再试。",
        "redirected": "请用 --url 指定该地址。",
        "not_ours": "请检查 --url。",
        "run_gone": "服务器可能已重启，请重新提问。",
        "client_timeout": "请重试，或用 --timeout 延长等待时间。",
        "timeout": "请重试或简化问题；`persona-stream serve --timeout` 可延长处理时限。",
        "cancelled": "",
        "unwritable": "",
        "invalid_request": "请按上面的说明修改；--help 列出可用的参数。",
        "unauthorized": "请检查令牌，它可能已过期：可用 `persona-stream token --user NAME` 重新生成。",
        "forbidden": "此令牌没有所需权限：可用 `persona-stream token --user NAME --scope chat` 生成。",
        "not_found": "请检查用户名；GET /api/profiles 列出可以提问的对象。",
        "conflict": "请重新提问。",
        "gone": "请重新提问。",
        "too_large": "请缩短消息或提示词。",
        "busy": "名额已满，请稍后重试。",
        "rate_limited": "请求过于频繁，请稍后重试。",
        "draining": "服务器正在重启，请稍后重试。",
        "unavailable": "服务器所需的组件暂不可用，请稍后重试。",
        "backend_error": "这是服务器后端的说明；若一直如此，请联系管理员。",
        "internal": "服务器日志中有此次运行的详细记录。",
        "answer_too_large": "请把问题缩小一些。",
        "lost": "处理此问题的进程已退出，请重新提问。",
        "http_401": "请检查令牌：可用 `persona-stream token --user NAME` 生成。",
        "http_404": "请检查 --url：该地址没有这个接口。",
        "http_5": "服务器或其前面的代理暂时不可用，请稍后重试。",
        "http": "请检查 --url 和中间的代理。",
    },
)
