"""The `openai` SDK: a tool and a stream, in chat completions and responses."""

import json

from openai import OpenAI

client, ask = OpenAI(), [{"role": "user", "content": "add 2 and 3"}]
schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
tools = [{"type": "function", "function": {"name": "add", "parameters": schema}}]
message = client.chat.completions.create(model="auto", messages=ask, tools=tools).choices[0].message
call = message.tool_calls[0]
result = {"role": "tool", "tool_call_id": call.id, "content": str(sum(json.loads(call.function.arguments).values()))}
print(client.chat.completions.create(model="auto", messages=[*ask, message, result], tools=tools).choices[0].message.content)
with client.chat.completions.stream(model="auto", messages=[*ask, message, result], tools=tools) as stream:
    print("".join(event.delta for event in stream if event.type == "content.delta"))
response = client.responses.create(
    model="auto", input=ask, tools=[{"type": "function", "name": "add", "parameters": schema, "strict": None}]
)
output = {"type": "function_call_output", "call_id": response.output[0].call_id, "output": "5"}
with client.responses.stream(model="auto", input=[*ask, *response.output, output]) as stream:
    print("".join(event.delta for event in stream if event.type == "response.output_text.delta"))
