import asyncio

import mcp_stdio


def ask(message: str) -> str:
    return asyncio.run(mcp_stdio.ask(message))
