from openai import OpenAI


def ask(message: str) -> str:
    client = OpenAI(base_url=message, api_key="none")
    response = client.chat.completions.create(model="m1", messages=[{"role": "user", "content": "How many?"}])
    return response.choices[0].message.content
