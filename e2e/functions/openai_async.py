from openai import AsyncOpenAI


async def ask(message: str) -> str:
    async with AsyncOpenAI(base_url=message, api_key="none") as client:
        response = await client.chat.completions.create(model="m1", messages=[{"role": "user", "content": "How many?"}])
        return response.choices[0].message.content
