import sys
from pathlib import Path

from mcp import ClientSession, StdioServerParameters, stdio_client

SERVER = StdioServerParameters(command=sys.executable, args=[str(Path(__file__).with_name("mcp_server.py"))])


async def ask(message: str) -> str:
    async with stdio_client(SERVER) as (reading, writing), ClientSession(reading, writing) as session:
        await session.initialize()
        result = await session.call_tool("multiply", {"a": 6, "b": 7})
        return "Forty-two." if result.content[0].text == "42" else repr(result)
