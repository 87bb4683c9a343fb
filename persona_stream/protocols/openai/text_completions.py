"""OpenAI's old endpoint for text: requests, responses and stream chunks of ``/v1/completions``.

A prompt takes the place of messages, and a plain text that of a message: reasoning and tool calls have no form. All
else is as in chat completions.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from persona_stream.core import events, facts, query, sse
from persona_stream.errors import InvalidRequest
from persona_stream.protocols import base, conversation
from persona_stream.protocols.openai import decoder, encoder, schemas

_PARAMETERS = (
    "temperature", "top_p", "max_tokens", "stop", "seed", "presence_penalty", "frequency_penalty", "user", "n",
    "logit_bias", "metadata",
)  # fmt: skip


class TextCompletionRequest(Struct, frozen=True):
    """Request for a text completion. Unknown fields are ignored; `null` means absent."""

    model: conversation.ModelName
    prompt: Annotated[
        str | list[str | int | list[int]],
        Meta(description="Question: a text, or a list with one text. Several prompts and token ids are rejected."),
    ]
    stream: Annotated[bool | None, Meta(description="Whether to stream the answer.")] = None
    stream_options: Annotated[decoder.StreamOptions | None, Meta(description="Options of the stream.")] = None

    temperature: Annotated[
        float | None, Meta(description="Sampling temperature. Like all up to `user`, for backends that support it.")
    ] = None
    top_p: Annotated[float | None, Meta(description="Nucleus sampling threshold.")] = None
    max_tokens: decoder.MaxTokens = None
    stop: Annotated[str | list[str] | None, Meta(description="Sequences that end the answer.")] = None
    seed: Annotated[int | None, Meta(description="Seed for reproducible sampling.")] = None
    presence_penalty: Annotated[float | None, Meta(description="Penalty for tokens that already occurred.")] = None
    frequency_penalty: Annotated[float | None, Meta(description="Penalty for tokens by their frequency.")] = None
    user: Annotated[str | None, Meta(description="Id of the end user.")] = None

    n: decoder.ChoiceCount = None
    logit_bias: Annotated[
        dict[str, Any] | None, Meta(description="Bias of tokens, for providers with this protocol.")
    ] = None
    metadata: decoder.RequestMetadata = None
    best_of: Annotated[int | None, Meta(description="Not supported: 1, `n` or absent.")] = None
    echo: Annotated[bool | None, Meta(description="Not supported: `false` or absent.")] = None
    logprobs: Annotated[int | bool | None, Meta(description="Not supported: `false` or absent.")] = None
    suffix: Annotated[str | None, Meta(description="Not supported: empty or absent.")] = None

    @property
    def text(self) -> str:
        """The prompt.

        Raises:
            InvalidRequest: It is not one text, or blank.
        """
        match self.prompt:
            case str(text) | [str(text)]:
                if text.strip():
                    return text
                raise InvalidRequest("prompt: must not be empty", "prompt")
            case [int() | list(), *_]:
                raise InvalidRequest("prompt: must be a text; token ids are not supported", "prompt")
        raise InvalidRequest("prompt: must be one text; send a request for each prompt", "prompt")

    @property
    def parameters(self) -> query.Parameters:
        """Parameters that the request sets, by name, except those that ask for nothing."""
        return MappingProxyType(decoder.given_parameters(self, _PARAMETERS))

    @property
    def includes_usage(self) -> bool:
        """Whether a stream must end with the token counts."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def returns_progress(self) -> bool:
        """Whether heartbeats must have the progress in numbers: no client of this endpoint reads it."""
        return False


request_decoder = msgspec.json.Decoder(TextCompletionRequest)


def check_request(request: TextCompletionRequest) -> None:
    """Raise InvalidRequest if a field requests a feature that no backend supports."""
    unsupported = {
        "best_of": request.best_of not in (None, 1, request.n),
        "echo": request.echo,
        "logprobs": request.logprobs is not None and request.logprobs is not False,
        "suffix": request.suffix,
    }
    for field, is_requested in unsupported.items():
        if is_requested:
            raise InvalidRequest(f"{field}: not supported by this server; omit it", field)
    decoder.check_max_tokens(request.max_tokens)


class TextChoice(Struct, frozen=True, kw_only=True):
    """Choice of a completion or of a chunk."""

    text: Annotated[str, Meta(description="The answer, or the part of it in this chunk; empty in a heartbeat.")]
    index: Annotated[int, Meta(ge=0, description="Index of the choice; 0 unless the request has `n`.")] = 0
    logprobs: Annotated[None, Meta(description="Always `null`.")] = None
    finish_reason: Annotated[
        schemas.FinishReason | None, Meta(description="Reason why the answer ended; `null` before its end.")
    ] = None


class TextCompletion(Struct, frozen=True, kw_only=True):
    """Completion in one response, or chunk of a streamed one."""

    id: Annotated[str, Meta(description="Run id, prefixed with `cmpl-`.")]
    object: Annotated[Literal["text_completion"], Meta(description="Always `text_completion`.")] = "text_completion"
    created: Annotated[int, Meta(description="Unix time at which the request was accepted.")]
    model: Annotated[str, Meta(description="Name of the persona.")]
    choices: Annotated[list[TextChoice], Meta(description="The answer; empty in the chunk with the usage.")]
    usage: Annotated[
        schemas.CompletionUsage | UnsetType | None,
        Meta(description="Token counts; in a stream in the last chunk, `null` in all others, with `include_usage`."),
    ] = UNSET
    system_fingerprint: Annotated[None, Meta(description="Always `null`.")] = None


def _other_choices(answered: facts.Answered) -> list[TextChoice]:
    return [_to_text_choice(choice) for choice in encoder.other_choices(answered)]


def _to_text_choice(choice: Mapping[str, Any]) -> TextChoice:
    """Return the text of a chat choice."""
    message = choice["message"]
    text = str(message.get("content") or message.get("refusal") or "")
    return TextChoice(text=text, index=choice.get("index", 0), finish_reason=choice.get("finish_reason"))


class TextCompletionEncoder(encoder.OpenAIEncoder):
    """Encoder of the chunks of one text completion for one subscriber."""

    __slots__ = ()
    id_prefix = "cmpl-"

    def encode(self, event: events.Event) -> Sequence[sse.ServerSentEvent]:
        """Return the messages of an event."""
        match event:
            case events.TextChunk(text=text):
                return (self._text_chunk([TextChoice(text=text)]),)
            case events.ReasoningChunk() | events.ProviderChunk():
                return ()
        return super().encode(event)

    def _ending(self, answered: facts.Answered) -> Iterator[sse.ServerSentEvent]:
        yield self._text_chunk([TextChoice(text="", finish_reason=schemas.FINISH_REASONS[answered.finish])])
        for choice in _other_choices(answered):
            yield self._text_chunk([choice])
        if self._include_usage:
            yield self._text_chunk([], usage=encoder.usage_of(self._entries, answered))

    def _status(
        self, description: str, *, done: bool, prompt_progress: schemas.PromptProgress | UnsetType
    ) -> sse.ServerSentEvent:
        return self._text_chunk([TextChoice(text="")])  # clients of this endpoint display no status

    def _delta(self, delta: schemas.ChatDelta) -> sse.ServerSentEvent:
        return self._text_chunk([TextChoice(text="")])  # the opening and heartbeats

    def _text_chunk(self, choices: list[TextChoice], usage: Any = None) -> sse.ServerSentEvent:
        chunk = TextCompletion(
            id=self._id,
            created=self._created,
            model=self._model,
            choices=choices,
            usage=usage if self._include_usage else UNSET,
        )
        return sse.ServerSentEvent(base.dump_json(chunk))


class TextCompletionProtocol(encoder.OpenAIProtocol):
    """OpenAI's text completions, which share their name, paths and errors with chat completions."""

    def encoder(self, entries: Sequence[facts.Entry], options: base.EncoderOptions) -> TextCompletionEncoder:
        """Return a new encoder for one subscriber."""
        return TextCompletionEncoder(entries, include_usage=options.include_usage, heartbeat=options.heartbeat)

    def response(self, entries: Sequence[facts.Entry]) -> tuple[int, object]:
        """Return the HTTP status and the body of a run that has ended."""
        snapshot, ending = base.read_ending(entries)
        if isinstance(ending, events.RunFailed):
            return super().response(entries)
        choice = TextChoice(text=snapshot.text, finish_reason=schemas.FINISH_REASONS[ending.finish])
        return 200, TextCompletion(
            id=f"{TextCompletionEncoder.id_prefix}{snapshot.run.run_id}",
            created=int(snapshot.accepted_at),
            model=snapshot.run.username,
            choices=[choice, *_other_choices(ending)],
            usage=encoder.usage_of(entries, ending),
        )


TEXT_COMPLETIONS = TextCompletionProtocol()
