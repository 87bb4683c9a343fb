from langchain_openai import ChatOpenAI


async def ask(message: str) -> str:
    response = await ChatOpenAI(base_url=message, api_key="none", model="m1").ainvoke("How many?")
    return response.content
