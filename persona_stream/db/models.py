"""Values of the request log and of conversations, named after the columns of their tables.

``RunRecord`` and ``RunTexts`` declare each log column once. The tables, the UPDATE statements, the terminal's tables
and the dashboard's lists are derived from them: a new column takes a field here, its value in ``rows.py`` and a
migration.

Invariants:
    * This module does not import SQLAlchemy: routes use it on servers without a database.
    * Moments are seconds since 1970, durations seconds, costs US dollars.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_type_hints

from msgspec import Struct, structs

Stage = Literal["accepted", "responded", "finished", "delivered"]
Kind = Literal["id", "status", "text", "json", "count", "bytes", "flag", "moment", "seconds", "dollars"]


class LogColumn(Struct, frozen=True):
    """Declaration of a log column: how it is written, stored and shown."""

    stage: Stage  # record that sets its final value
    kind: Kind  # its SQL type and its format
    title: tuple[str, str] = ("", "")  # heading, in English and in Chinese
    tab: str = ""  # part of the dashboard's run page that lists it; empty for none
    priority: int = 0  # rank in lists: 1 is dropped last where space is short, 0 is not listed
    name: str = ""  # filled in by `columns_of`, as is the next
    is_optional: bool = False  # whether it may be NULL


def columns_of(model: type[Struct]) -> Sequence[LogColumn]:
    """Return the columns that a model's fields declare, in the order of the fields."""
    hints = get_type_hints(model, include_extras=True)
    return [
        structs.replace(hint.__metadata__[0], name=name, is_optional=type(None) in get_args(hint.__origin__))
        for name, hint in ((name, hints[name]) for name in model.__struct_fields__)
    ]


class RunRow(Struct, frozen=True):
    """Summary of a run, as lists show it."""

    run_id: Annotated[str, LogColumn("accepted", "id", ("Run", "运行"), priority=1)]
    accepted_at: Annotated[float, LogColumn("accepted", "moment", ("Time", "时间"), priority=2)]
    status: Annotated[str, LogColumn("finished", "status", ("Status", "状态"), "response", priority=3)]
    code: Annotated[str | None, LogColumn("finished", "text", ("Code", "代码"))]
    ended_at: Annotated[float | None, LogColumn("finished", "moment", ("Ended", "结束时间"))]
    owner: Annotated[str, LogColumn("accepted", "text", ("User", "用户"), "request", priority=4)]
    username: Annotated[str, LogColumn("accepted", "text", ("Persona", "角色"), "request", priority=7)]
    endpoint: Annotated[str, LogColumn("accepted", "text", ("Endpoint", "接口"), "request", priority=12)]
    dialect: Annotated[str, LogColumn("accepted", "text", ("Protocol", "协议"), "request")]
    style: Annotated[str, LogColumn("accepted", "text", ("Event style", "事件风格"), "request")]
    backend: Annotated[str, LogColumn("accepted", "text", ("Backend", "后端"), "request")]
    model: Annotated[str | None, LogColumn("accepted", "text", ("Model", "模型"), "cost", priority=9)]
    question: Annotated[str, LogColumn("accepted", "text", ("Question", "问题"), priority=5)]
    http_status: Annotated[int | None, LogColumn("responded", "count", ("HTTP status", "HTTP 状态码"), "http")]
    waiting: Annotated[float | None, LogColumn("finished", "seconds", ("Queued", "排队"), "timing")]
    processing: Annotated[float | None, LogColumn("finished", "seconds", ("Processing", "处理"), "timing")]
    ttft: Annotated[float | None, LogColumn("delivered", "seconds", ("First text", "首字"), "timing", priority=8)]
    delivery: Annotated[float | None, LogColumn("delivered", "seconds", ("Delivery", "发送"), "timing")]
    total: Annotated[float | None, LogColumn("finished", "seconds", ("Total", "总耗时"), "timing", priority=6)]
    input_tokens: Annotated[int | None, LogColumn("finished", "count", ("Input tokens", "输入 Token"), "cost")]
    output_tokens: Annotated[
        int | None, LogColumn("finished", "count", ("Output tokens", "输出 Token"), "cost", priority=10)
    ]
    tokens_estimated: Annotated[bool | None, LogColumn("finished", "flag", ("Token count", "Token 统计"), "cost")]
    cost: Annotated[float | None, LogColumn("finished", "dollars", ("Cost", "费用"), "cost", priority=11)]


class RunRecord(RunRow, frozen=True):
    """Complete log row of a run. With several subscribers, the moments are the earliest."""

    conversation_id: Annotated[str, LogColumn("accepted", "text", ("Conversation", "对话"), "request")]
    provider: Annotated[str | None, LogColumn("finished", "text", ("Provider", "提供方"), "cost")]
    method: Annotated[str, LogColumn("accepted", "text", ("Method", "方法"), "http")]
    address: Annotated[str, LogColumn("accepted", "text", ("Client address", "客户端地址"), "http")]
    user_agent: Annotated[str, LogColumn("accepted", "text", ("User agent", "客户端"), "http")]
    finish: Annotated[str | None, LogColumn("finished", "text", ("Finish reason", "结束原因"), "response")]
    cached: Annotated[bool | None, LogColumn("finished", "flag", ("From the cache", "来自缓存"), "response")]
    started_at: Annotated[float | None, LogColumn("finished", "moment", ("Started", "开始时间"))]
    text_at: Annotated[float | None, LogColumn("finished", "moment", ("First backend text", "后端首字时间"))]
    first_event_at: Annotated[float | None, LogColumn("delivered", "moment", ("First event sent", "首个事件时间"))]
    first_text_at: Annotated[float | None, LogColumn("delivered", "moment", ("First text sent", "首字发送时间"))]
    delivered_at: Annotated[float | None, LogColumn("delivered", "moment", ("Delivered", "发送完成时间"))]
    ttfe: Annotated[float | None, LogColumn("delivered", "seconds", ("First event", "首个事件"), "timing")]
    tpot: Annotated[float | None, LogColumn("delivered", "seconds", ("Per output token", "每个输出 Token"), "timing")]
    characters: Annotated[int | None, LogColumn("finished", "count", ("Characters", "字符"), "response")]
    readers: Annotated[int, LogColumn("delivered", "count", ("Subscribers", "订阅者"), "delivery")]
    resumes: Annotated[int, LogColumn("delivered", "count", ("Resumed", "续传次数"), "delivery")]
    events: Annotated[int, LogColumn("delivered", "count", ("Events", "事件"), "delivery")]
    pieces: Annotated[int, LogColumn("delivered", "count", ("Text chunks", "文本块"), "delivery")]
    sent_bytes: Annotated[int, LogColumn("delivered", "bytes", ("Bytes", "字节"), "delivery")]


class Step(Struct, frozen=True, omit_defaults=True):
    """One moment in the course of a run."""

    at: float
    # started, reported, reasoned, text, asked (a provider), input (of the user), called (a tool), answered or failed
    kind: str
    seconds: float = 0.0  # duration, if it has one
    text: str = ""  # reported message, provider and model, question with its answer, or tool with its arguments
    fraction: float | None = None  # reported progress, 0.0 to 1.0
    characters: int = 0  # length of the text


class UpstreamAttempt(Struct, frozen=True):
    """Request to a provider and its response; the bodies are present only where texts are logged."""

    provider: str
    model: str
    url: str
    trouble: str | None
    began_at: float
    seconds: float
    request: Any = None
    response: Any = None


class LoggedAttachment(Struct, frozen=True):
    """Attachment of a question, without its content."""

    type: str
    name: str | None  # absent where texts are not logged
    size: int | None  # in bytes; ``None`` for an address


class RunTexts(Struct, frozen=True):
    """Texts of a run; ``None`` for a text that does not exist, is not known yet, or is not logged."""

    request_headers: Annotated[list[tuple[str, str]] | None, LogColumn("accepted", "json")] = None
    request_body: Annotated[str | None, LogColumn("accepted", "text")] = None
    prompt: Annotated[str | None, LogColumn("accepted", "text")] = None
    question: Annotated[str | None, LogColumn("accepted", "text")] = None
    attachments: Annotated[list[LoggedAttachment] | None, LogColumn("accepted", "json")] = None
    response_headers: Annotated[list[tuple[str, str]] | None, LogColumn("responded", "json")] = None
    answer: Annotated[str | None, LogColumn("finished", "text")] = None
    reasoning: Annotated[str | None, LogColumn("finished", "text")] = None
    error: Annotated[str | None, LogColumn("finished", "text")] = None
    steps: Annotated[list[Step] | None, LogColumn("finished", "json")] = None
    upstream: Annotated[list[UpstreamAttempt] | None, LogColumn("finished", "json")] = None
    raw: Annotated[Any | None, LogColumn("finished", "json")] = None


RUN_COLUMNS = columns_of(RunRecord)
TEXT_COLUMNS = columns_of(RunTexts)

FAILED = ("error", "timeout")
"""The statuses of a run that went wrong."""


class RunFilters(Struct, frozen=True):
    """Conditions on runs of the log, all of which must hold; an empty one does not restrict."""

    statuses: tuple[str, ...] = ()  # any of these
    user: str | None = None  # name of the user or of the persona
    endpoint: str | None = None
    model: str | None = None
    conversation: str | None = None
    slow: float | None = None  # a total duration of so many seconds or longer
    since: float | None = None  # accepted at this moment or later
    until: float | None = None  # accepted before this moment
    ended_since: float | None = None  # ended at this moment or later
    search: str | None = None  # text in question, user or persona, or beginning of a run id


class FilterOptions(Struct, frozen=True):
    """Values that runs can be filtered by."""

    statuses: list[str]
    owners: list[str]
    usernames: list[str]
    endpoints: list[str]
    models: list[str]


class Percentiles(Struct, frozen=True):
    """The 50th, 95th and 99th percentile of durations, in seconds; ``None`` without any run."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class DataPoint(Struct, frozen=True):
    """Bucket of a chart that begins at ``at``."""

    at: float
    requests: int
    failed: int
    cost: float
    in_flight: float
    ttft: Percentiles
    total: Percentiles


class StageMean(Struct, frozen=True):
    """Mean duration of a stage in seconds, over the runs that had it."""

    name: str
    runs: int
    mean: float | None


class Totals(Struct, frozen=True):
    """Sums over a period. ``characters_per_second`` is the speed of delivery, ``tokens_per_second`` of backends."""

    requests: int
    failed: int
    cost: float
    input_tokens: int
    output_tokens: int
    characters_per_second: float | None
    tokens_per_second: float | None
    stages: list[StageMean]


class Chart(Struct, frozen=True):
    """Period in buckets of ``seconds`` each, and in total. It begins and ends at bucket boundaries."""

    since: float
    until: float
    seconds: float
    points: list[DataPoint]
    totals: Totals


class Conversation(Struct, frozen=True):
    """Conversation without its exchanges."""

    conversation_id: str
    username: str
    title: str
    created_at: float
    updated_at: float


class Exchange(Struct, frozen=True):
    """Question and its answer; of an interrupted answer, the part that was produced."""

    run_id: str
    username: str
    at: float
    question: str
    answer: str
    reasoning: str | None
    is_complete: bool
    status: str
