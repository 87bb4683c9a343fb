from collections.abc import Iterator

from openai import OpenAI


def ask(message: str) -> Iterator[str | None]:
    client = OpenAI(base_url=message, api_key="none")
    messages = [{"role": "user", "content": "How many?"}]
    for chunk in client.chat.completions.create(model="m1", messages=messages, stream=True):
        yield chunk.choices[0].delta.content  # None in the first and in the last chunk
