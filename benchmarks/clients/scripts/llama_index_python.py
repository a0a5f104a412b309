"""LlamaIndex: an agent with a tool, and a stream."""

import asyncio
import os

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai_like import OpenAILike

model = OpenAILike(
    model="auto",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    is_chat_model=True,
    is_function_calling_model=True,
    context_window=32_000,
)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def main() -> None:
    """Let an agent call the tool."""
    print(await FunctionAgent(tools=[add], llm=model).run("add 2 and 3"))


asyncio.run(main())
print("".join(chunk.delta or "" for chunk in model.stream_complete("hello")))
