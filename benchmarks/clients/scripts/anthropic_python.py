"""The `anthropic` SDK: its runner of tools, and a stream."""

from anthropic import Anthropic, beta_tool


@beta_tool
def add(a: int, b: int) -> str:
    """Add two numbers.

    Args:
        a: The first number.
        b: The second number.
    """
    return str(a + b)


client, ask = Anthropic(), [{"role": "user", "content": "add 2 and 3"}]
runner = client.beta.messages.tool_runner(model="auto", max_tokens=100, tools=[add], messages=ask)
print(runner.until_done().content[0].text)
with client.messages.stream(model="auto", max_tokens=100, messages=ask) as stream:
    print("".join(stream.text_stream))
