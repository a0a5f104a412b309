"""LangChain: an agent with a tool, and a stream, with OpenAI's and Anthropic's models."""

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


for model in (ChatOpenAI(model="auto"), ChatAnthropic(model="auto", max_tokens=100)):
    agent = create_agent(model, [add])
    print(agent.invoke({"messages": [{"role": "user", "content": "add 2 and 3"}]})["messages"][-1].text)
    print("".join(chunk.text for chunk in model.stream("hello")))
