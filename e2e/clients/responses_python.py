"""Run scenarios of OpenAI's Responses API with published packages, and print the results as a JSON list.

It runs in a separate environment with ``openai``, ``openai-agents`` and ``langchain-openai``:
    python responses_python.py BASE_URL KEY SCENARIO,SCENARIO MESSAGE
Several scenarios run concurrently, since importing the packages takes longer than most of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import agents
import openai
from langchain_openai import ChatOpenAI

agents.set_tracing_disabled(True)

Result = dict[str, Any]
WEATHER: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}


@agents.function_tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"Rain in {city}"


class Scenarios:
    """One question through each interface of the packages."""

    def __init__(self, base_url: str, key: str, message: str) -> None:
        self.client = openai.OpenAI(base_url=base_url, api_key=key)
        self.asynchronous = openai.AsyncOpenAI(base_url=base_url, api_key=key)
        self.chat = ChatOpenAI(base_url=base_url, api_key=key, model="ada", use_responses_api=True)
        self.options: Result = {"model": "ada", "input": message}
        self.message = message

    def whole(self) -> Result:
        """Request a whole response."""
        return _result(self.client.responses.create(**self.options))

    def whole_async(self) -> Result:
        """Request a whole response on an event loop."""
        return _result(asyncio.run(self.asynchronous.responses.create(**self.options)))

    def stream(self) -> Result:
        """Request a stream, and assemble it by hand."""
        events = list(self.client.responses.create(**self.options, stream=True))
        return _of_events(events)

    def stream_async(self) -> Result:
        """Request a stream on an event loop."""

        async def listen() -> list[Any]:
            return [event async for event in await self.asynchronous.responses.create(**self.options, stream=True)]

        return _of_events(asyncio.run(listen()))

    def helper(self) -> Result:
        """Use the streaming helper, which assembles the answer."""
        with self.client.responses.stream(**self.options) as stream:
            joined = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            return {**_result(stream.get_final_response()), "joined": joined}

    def background(self) -> Result:
        """Request a background response, and poll until it has ended."""
        response = self.client.responses.create(**self.options, background=True)
        first = response.status
        while response.status in ("queued", "in_progress"):
            response = self.client.responses.retrieve(response.id)
        return {**_result(response), "first": first}

    def resume_raw(self) -> Result:
        """Read a background stream in pieces of three events, each from a new connection."""
        got: list[Any] = []
        response_id = ""
        while not got or got[-1].type != "response.completed":
            if got:
                last = got[-1].sequence_number
                stream = self.client.responses.retrieve(response_id, stream=True, starting_after=last)
            else:
                stream = self.client.responses.create(**self.options, stream=True, background=True)
            for event in stream:
                got.append(event)
                response_id = response_id or event.response.id
                if len(got) % 3 == 0:
                    break
            stream.close()
        # Signs of life repeat the number of the event before them, and are not replayed.
        numbers = [-1, *(event.sequence_number for event in got)]
        news = [event.to_dict() for event, before in zip(got, numbers, strict=False) if event.sequence_number > before]
        whole = [event.to_dict() for event in self.client.responses.retrieve(response_id, stream=True)]
        return {**_of_events(got), "is_same": news == whole}

    def resume_helper(self) -> Result:
        """Resume with the helper in the middle of the text."""
        events = list(self.client.responses.create(**self.options, stream=True))
        deltas = [event for event in events if event.type == "response.output_text.delta"]
        middle = deltas[len(deltas) // 2]
        had = "".join(each.delta for each in deltas if each.sequence_number <= middle.sequence_number)
        options: Any = {"response_id": events[0].response.id, "starting_after": middle.sequence_number}
        with self.client.responses.stream(**options) as stream:
            rest = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            return {**_result(stream.get_final_response()), "joined": had + rest}

    def begin(self) -> Result:
        """Start a background stream, and leave it in the middle of the text."""
        events: list[Any] = []
        stream = self.client.responses.create(**self.options, stream=True, background=True)
        for event in stream:
            events.append(event)
            if sum(each.type == "response.output_text.delta" for each in events) == 5:
                break
        stream.close()
        joined = "".join(each.delta for each in events if each.type == "response.output_text.delta")
        return {"joined": joined, "place": f"{events[0].response.id} {events[-1].sequence_number}"}

    def rest_raw(self) -> Result:
        """Read the rest of a response; the message is its id and the number of the last event."""
        response_id, number = self.message.split()
        stream = self.client.responses.retrieve(response_id, stream=True, starting_after=int(number))
        return _of_events(list(stream))

    def rest_helper(self) -> Result:
        """Read the rest of a response with the helper."""
        response_id, number = self.message.split()
        options: Any = {"response_id": response_id, "starting_after": int(number)}
        with self.client.responses.stream(**options) as stream:
            joined = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            return {**_result(stream.get_final_response()), "joined": joined}

    def tools(self) -> Result:
        """Return the output of a call, with the response that has the call named by its id."""
        first = self.client.responses.create(**self.options, tools=[WEATHER])
        (call,) = [item for item in first.output if item.type == "function_call"]
        output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain"}
        second = self.client.responses.create(
            model="ada", input=[output], tools=[WEATHER], previous_response_id=first.id
        )
        return _result(second)

    def agents(self) -> Result:
        """Run an agent."""
        return {"text": asyncio.run(agents.Runner.run(self._agent(), self.message)).final_output}

    def agents_stream(self) -> Result:
        """Run an agent with a stream."""

        async def listen() -> Result:
            result = agents.Runner.run_streamed(self._agent(), self.message)
            deltas = [
                event.data.delta
                async for event in result.stream_events()
                if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
            ]
            return {"text": result.final_output, "joined": "".join(deltas)}

        return asyncio.run(listen())

    def agents_tools(self) -> Result:
        """Run an agent with a tool, whose output it sends back by itself."""
        return {"text": asyncio.run(agents.Runner.run(self._agent(weather), self.message)).final_output}

    def _agent(self, *tools: Any) -> agents.Agent:
        model = agents.OpenAIResponsesModel(model="ada", openai_client=self.asynchronous)
        return agents.Agent(name="Ada", model=model, tools=list(tools))

    def langchain(self) -> Result:
        """Invoke a chat model."""
        message = self.chat.invoke(self.message)
        return {"text": message.text, "tokens": message.usage_metadata["total_tokens"]}

    def langchain_stream(self) -> Result:
        """Stream a chat model."""
        chunks = list(self.chat.stream(self.message))
        whole = sum(chunks[1:], chunks[0])
        return {"text": whole.text, "tokens": whole.usage_metadata["total_tokens"]}


def _result(response: Any) -> Result:
    reasoning = "".join(part.text for item in response.output if item.type == "reasoning" for part in item.summary)
    return {
        "text": response.output_text, "reasoning": reasoning, "status": response.status,
        "tokens": response.usage.total_tokens,
    }  # fmt: skip


def _of_events(events: list[Any]) -> Result:
    joined = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    return {**_result(events[-1].response), "joined": joined}


def run_scenario(base_url: str, key: str, scenario: str, message: str) -> Result:
    """Run one scenario."""
    try:
        result: Result = getattr(Scenarios(base_url, key, message), scenario)()
    except openai.APIError as error:
        result = {
            "error": type(error).__name__, "status": getattr(error, "status_code", None), "code": error.code,
            "param": error.param, "message": error.message,
        }  # fmt: skip
    return result


def main() -> None:
    """Run the scenarios and print their results."""
    base_url, key, scenarios, message = sys.argv[1:]
    with ThreadPoolExecutor() as pool:
        done = pool.map(lambda scenario: run_scenario(base_url, key, scenario, message), scenarios.split(","))
        print(json.dumps(list(done)))


main()
