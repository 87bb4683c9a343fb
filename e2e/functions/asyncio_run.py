import asyncio


async def agent(message: str) -> str:
    words = await asyncio.gather(asyncio.sleep(1, "Forty"), asyncio.to_thread(str, "two."))
    return "-".join(words)


def ask(message: str) -> str:
    return asyncio.run(agent(message))
