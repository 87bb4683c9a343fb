from langchain_openai import ChatOpenAI


def ask(message: str) -> str:
    return ChatOpenAI(base_url=message, api_key="none", model="m1").invoke("How many?").content
