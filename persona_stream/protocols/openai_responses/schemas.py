"""Response objects, output items and stream events of OpenAI's Responses API.

Nullable members are always present: strict clients require them. The OpenAPI document is generated from these types.

Source: https://www.openresponses.org/specification
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

ItemStatus = Literal["in_progress", "completed", "incomplete"]
ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

_ITEM_ID = Meta(description="Id of the item: the run id with a prefix and an index.")
_ITEM_STATUS = Meta(description="State of the item.")
_EMPTY_LIST = Meta(description="Always empty.")


class OutputText(Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """Text of the answer."""

    text: Annotated[str, Meta(description="The text.")]
    annotations: Annotated[tuple[()], _EMPTY_LIST] = ()
    logprobs: Annotated[tuple[()], _EMPTY_LIST] = ()


class OutputRefusal(Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """Refusal of the model in place of an answer."""

    refusal: Annotated[str, Meta(description="The model's explanation.")]


class SummaryText(Struct, frozen=True, kw_only=True, tag_field="type", tag="summary_text"):
    """Reasoning of the model."""

    text: Annotated[str, Meta(description="The reasoning.")]


class OutputMessage(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """Message with the answer."""

    id: Annotated[str, _ITEM_ID]
    status: Annotated[ItemStatus, _ITEM_STATUS]
    role: Annotated[Literal["assistant"], Meta(description="Always `assistant`.")] = "assistant"
    content: Annotated[tuple[OutputText | OutputRefusal, ...], Meta(description="One part, or none yet.")] = ()


class OutputReasoning(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """Reasoning before an answer."""

    id: Annotated[str, _ITEM_ID]
    status: Annotated[ItemStatus, _ITEM_STATUS]
    summary: Annotated[tuple[SummaryText, ...], Meta(description="One part, or none yet.")] = ()
    content: Annotated[tuple[()], _EMPTY_LIST] = ()
    encrypted_content: Annotated[
        str | None, Meta(description="What the provider requires back with the next request, or `null`.")
    ] = None


class OutputFunctionCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """Call of one of the client's functions."""

    id: Annotated[str, _ITEM_ID]
    call_id: Annotated[str, Meta(description="Id of the call, to be sent back with its output.")]
    name: Annotated[str, Meta(description="Name of the function.")]
    arguments: Annotated[str, Meta(description="Arguments as JSON text, exactly as the model wrote them.")]
    status: Annotated[ItemStatus, _ITEM_STATUS]
    namespace: Annotated[str | UnsetType, Meta(description="Namespace of the function, if it has one.")] = UNSET


class OutputCustomToolCall(Struct, frozen=True, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """Call of one of the client's custom tools, which take plain text."""

    id: Annotated[str, _ITEM_ID]
    call_id: Annotated[str, Meta(description="Id of the call, to be sent back with its output.")]
    name: Annotated[str, Meta(description="Name of the tool.")]
    input: Annotated[str, Meta(description="Input of the tool.")]
    status: Annotated[ItemStatus, _ITEM_STATUS]


OutputItem = OutputMessage | OutputReasoning | OutputFunctionCall | OutputCustomToolCall


class InputTokensDetails(Struct, frozen=True, kw_only=True):
    """Kinds of tokens in a prompt."""

    cached_tokens: Annotated[int, Meta(description="Tokens that the provider had cached.")] = 0
    cache_write_tokens: Annotated[int, Meta(description="Always 0.")] = 0


class OutputTokensDetails(Struct, frozen=True, kw_only=True):
    """Kinds of tokens in an answer."""

    reasoning_tokens: Annotated[int, Meta(description="Tokens of the reasoning, as far as known.")] = 0


class ResponseUsage(Struct, frozen=True, kw_only=True):
    """Token counts of a response; estimated if the backend reports none."""

    input_tokens: Annotated[int, Meta(description="Tokens of the prompt, including the history and instructions.")]
    input_tokens_details: Annotated[InputTokensDetails, Meta(description="Kinds of the prompt's tokens.")]
    output_tokens: Annotated[int, Meta(description="Tokens of the answer.")]
    output_tokens_details: Annotated[OutputTokensDetails, Meta(description="Kinds of the answer's tokens.")]
    total_tokens: Annotated[int, Meta(description="Sum of both.")]


class ResponseError(Struct, frozen=True, kw_only=True):
    """Reason why a response failed."""

    code: Annotated[str, Meta(description="Error code for programs.")]
    message: Annotated[str, Meta(description="Error message to display.")]


class IncompleteDetails(Struct, frozen=True, kw_only=True):
    """Reason why a response is incomplete."""

    reason: Annotated[Literal["max_output_tokens", "content_filter"], Meta(description="The reason.")]


class ConversationReference(Struct, frozen=True, kw_only=True):
    """Reference to a conversation of this server."""

    id: Annotated[str, Meta(description="Conversation id.")]


_REPEATED = Meta(description="As in the request.")


class ResponseObject(Struct, frozen=True, kw_only=True):
    """State of a run as a response, with the parameters of its request."""

    id: Annotated[str, Meta(description="Run id, prefixed with `resp_`.")]
    object: Annotated[Literal["response"], Meta(description="Always `response`.")] = "response"
    created_at: Annotated[int, Meta(description="Unix time at which the request was accepted.")]
    completed_at: Annotated[int | None, Meta(description="Unix time at which the answer was complete, or `null`.")]
    status: Annotated[ResponseStatus, Meta(description="State of the run.")]
    error: Annotated[ResponseError | None, Meta(description="Reason why the run failed, or `null`.")]
    incomplete_details: Annotated[
        IncompleteDetails | None, Meta(description="Reason why the answer ended early, or `null`.")
    ]
    model: Annotated[str, Meta(description="Name of the persona.")]
    output: Annotated[tuple[OutputItem, ...], Meta(description="Reasoning, message and calls so far, in order.")]
    usage: Annotated[ResponseUsage | None, Meta(description="Token counts, once the answer is complete.")]
    conversation: Annotated[
        ConversationReference | None,
        Meta(description="Conversation that keeps the answer; `null` with `store: false`."),
    ]
    previous_response_id: Annotated[str | None, _REPEATED] = None
    instructions: Annotated[Any, _REPEATED] = None
    max_output_tokens: Annotated[int | None, _REPEATED] = None
    max_tool_calls: Annotated[int | None, _REPEATED] = None
    parallel_tool_calls: Annotated[bool, _REPEATED] = True
    temperature: Annotated[float, _REPEATED] = 1.0
    top_p: Annotated[float, _REPEATED] = 1.0
    presence_penalty: Annotated[float, _REPEATED] = 0.0
    frequency_penalty: Annotated[float, _REPEATED] = 0.0
    top_logprobs: Annotated[int, _REPEATED] = 0
    tools: Annotated[list[Any], _REPEATED] = []
    tool_choice: Annotated[Any, _REPEATED] = "auto"
    text: Annotated[dict[str, Any], _REPEATED] = field(default_factory=lambda: {"format": {"type": "text"}})
    reasoning: Annotated[dict[str, Any], _REPEATED] = field(default_factory=lambda: {"effort": None, "summary": None})
    truncation: Annotated[str, _REPEATED] = "disabled"
    store: Annotated[bool, _REPEATED] = True
    background: Annotated[bool, _REPEATED] = False
    service_tier: Annotated[str, _REPEATED] = "default"
    metadata: Annotated[dict[str, Any], _REPEATED] = {}
    user: Annotated[str | None, _REPEATED] = None
    safety_identifier: Annotated[str | None, _REPEATED] = None
    prompt_cache_key: Annotated[str | None, _REPEATED] = None


class DeletedResponse(Struct, frozen=True, kw_only=True):
    """Confirmation that a response was deleted."""

    id: Annotated[str, Meta(description="Id of the response.")]
    object: Annotated[Literal["response"], Meta(description="Always `response`.")] = "response"
    deleted: Annotated[Literal[True], Meta(description="Always `true`.")] = True


class InputItemList(Struct, frozen=True, kw_only=True):
    """Page of the input items of a response."""

    object: Annotated[Literal["list"], Meta(description="Always `list`.")] = "list"
    data: Annotated[list[dict[str, Any]], Meta(description="Input items of the request, with ids.")]
    first_id: Annotated[str | None, Meta(description="Id of the first item of the page.")]
    last_id: Annotated[str | None, Meta(description="Id of the last item of the page.")]
    has_more: Annotated[bool, Meta(description="Whether there are more items.")]


class _Event(Struct, frozen=True, kw_only=True, tag_field="type"):
    sequence_number: Annotated[
        int, Meta(ge=0, description="Position in the run: rises, may have gaps, and is the same in every replay.")
    ]


class _ResponseEvent(_Event, frozen=True, kw_only=True):
    response: Annotated[ResponseObject, Meta(description="The response at this moment.")]


class ResponseCreated(_ResponseEvent, frozen=True, kw_only=True, tag="response.created"):
    """The request was accepted."""


class ResponseQueued(_ResponseEvent, frozen=True, kw_only=True, tag="response.queued"):
    """The run is waiting for a free slot; repeated as a sign of life."""


class ResponseInProgress(_ResponseEvent, frozen=True, kw_only=True, tag="response.in_progress"):
    """The backend is working; repeated as a sign of life until the first item."""


class ResponseCompleted(_ResponseEvent, frozen=True, kw_only=True, tag="response.completed"):
    """Last event of an answer that is complete."""


class ResponseIncomplete(_ResponseEvent, frozen=True, kw_only=True, tag="response.incomplete"):
    """Last event of an answer that ended early."""


class ResponseFailed(_ResponseEvent, frozen=True, kw_only=True, tag="response.failed"):
    """Last event of a run that failed."""


class _ItemEvent(_Event, frozen=True, kw_only=True):
    output_index: Annotated[int, Meta(description="Index of the item in `output`.")]


class OutputItemAdded(_ItemEvent, frozen=True, kw_only=True, tag="response.output_item.added"):
    """An item has begun."""

    item: Annotated[OutputItem, Meta(description="The item without its content.")]


class OutputItemDone(_ItemEvent, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item is complete."""

    item: Annotated[OutputItem, Meta(description="The whole item.")]


class _PartEvent(_ItemEvent, frozen=True, kw_only=True):
    item_id: Annotated[str, Meta(description="Id of the item.")]


class _ContentEvent(_PartEvent, frozen=True, kw_only=True):
    content_index: Annotated[int, Meta(description="Always 0.")] = 0


class ContentPartAdded(_ContentEvent, frozen=True, kw_only=True, tag="response.content_part.added"):
    """The content of a message has begun."""

    part: Annotated[OutputText | OutputRefusal, Meta(description="The empty part.")]


class ContentPartDone(_ContentEvent, frozen=True, kw_only=True, tag="response.content_part.done"):
    """The content of a message is complete."""

    part: Annotated[OutputText | OutputRefusal, Meta(description="The whole part.")]


class OutputTextDelta(_ContentEvent, frozen=True, kw_only=True, tag="response.output_text.delta"):
    """Text of the answer; empty as a sign of life."""

    delta: Annotated[str, Meta(description="The text; all of them joined in order are the whole answer.")]
    logprobs: Annotated[tuple[()], _EMPTY_LIST] = ()


class OutputTextDone(_ContentEvent, frozen=True, kw_only=True, tag="response.output_text.done"):
    """The text of a message is complete."""

    text: Annotated[str, Meta(description="The whole text.")]
    logprobs: Annotated[tuple[()], _EMPTY_LIST] = ()


class RefusalDelta(_ContentEvent, frozen=True, kw_only=True, tag="response.refusal.delta"):
    """Text of a refusal."""

    delta: Annotated[str, Meta(description="The text.")]


class RefusalDone(_ContentEvent, frozen=True, kw_only=True, tag="response.refusal.done"):
    """A refusal is complete."""

    refusal: Annotated[str, Meta(description="The whole text.")]


class _SummaryEvent(_PartEvent, frozen=True, kw_only=True):
    summary_index: Annotated[int, Meta(description="Always 0.")] = 0


class SummaryPartAdded(_SummaryEvent, frozen=True, kw_only=True, tag="response.reasoning_summary_part.added"):
    """The reasoning has begun."""

    part: Annotated[SummaryText, Meta(description="The empty part.")]


class SummaryPartDone(_SummaryEvent, frozen=True, kw_only=True, tag="response.reasoning_summary_part.done"):
    """The reasoning is complete."""

    part: Annotated[SummaryText, Meta(description="The whole part.")]


class SummaryTextDelta(_SummaryEvent, frozen=True, kw_only=True, tag="response.reasoning_summary_text.delta"):
    """Text of the reasoning; empty as a sign of life."""

    delta: Annotated[str, Meta(description="The text.")]


class SummaryTextDone(_SummaryEvent, frozen=True, kw_only=True, tag="response.reasoning_summary_text.done"):
    """The text of the reasoning is complete."""

    text: Annotated[str, Meta(description="The whole text.")]


class ArgumentsDelta(_PartEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"):
    """Arguments of a call, which are sent whole."""

    delta: Annotated[str, Meta(description="The arguments.")]


class ArgumentsDone(_PartEvent, frozen=True, kw_only=True, tag="response.function_call_arguments.done"):
    """The arguments of a call are complete."""

    name: Annotated[str, Meta(description="Name of the function.")]
    arguments: Annotated[str, Meta(description="The arguments.")]


class CustomToolInputDelta(_PartEvent, frozen=True, kw_only=True, tag="response.custom_tool_call_input.delta"):
    """Input of a custom tool, which is sent whole."""

    delta: Annotated[str, Meta(description="The input.")]


class CustomToolInputDone(_PartEvent, frozen=True, kw_only=True, tag="response.custom_tool_call_input.done"):
    """The input of a custom tool is complete."""

    input: Annotated[str, Meta(description="The input.")]


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """Details of an error in a stream."""

    type: Annotated[str, Meta(description="Kind of the error.")]
    code: Annotated[str | None, Meta(description="Error code for programs.")]
    message: Annotated[str, Meta(description="Error message to display.")]
    param: Annotated[str | None, Meta(description="Invalid field, if any.")] = None


class StreamError(_Event, frozen=True, kw_only=True, tag="error"):
    """Failure of the run; `response.failed` follows.

    OpenAI has the details beside the type, Open Responses in `error`; clients read either.
    """

    code: Annotated[str | None, Meta(description="Error code for programs.")]
    message: Annotated[str, Meta(description="Error message to display.")]
    param: Annotated[str | None, Meta(description="Invalid field, if any.")]
    error: Annotated[ErrorDetails, Meta(description="The same, in one object.")]


class KeepAlive(_Event, frozen=True, kw_only=True, tag="keepalive"):
    """Sign of life without content, for clients that select it with `X-Persona-Heartbeat: keepalive`."""


class ProgressEvent(_Event, frozen=True, kw_only=True, tag="persona_stream:progress"):
    """Progress, for clients that select it with `X-Persona-Heartbeat: progress`."""

    message: Annotated[str, Meta(description="Status text to display.")]
    percent: Annotated[int | None, Meta(description="Percentage done; `null` in the queue.")]
    elapsed: Annotated[float, Meta(ge=0, description="Seconds since the start, or in the queue.")]
    eta: Annotated[float | None, Meta(description="Estimated seconds left, if known.")]


ResponseEvent = (
    ResponseCreated
    | ResponseQueued
    | ResponseInProgress
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | RefusalDelta
    | RefusalDone
    | SummaryPartAdded
    | SummaryPartDone
    | SummaryTextDelta
    | SummaryTextDone
    | ArgumentsDelta
    | ArgumentsDone
    | CustomToolInputDelta
    | CustomToolInputDone
    | StreamError
    | KeepAlive
    | ProgressEvent
)
