import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic(), ask = { role: "user", content: "add 2 and 3" };
const tools = [{ name: "add", input_schema: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } } }];
const called = await client.messages.stream({ model: "auto", max_tokens: 100, messages: [ask], tools }).finalMessage();
const use = called.content.find((block) => block.type === "tool_use");
const result = { type: "tool_result", tool_use_id: use.id, content: String(use.input.a + use.input.b) };
const turns = [ask, { role: "assistant", content: called.content }, { role: "user", content: [result] }];
const said = await client.messages.create({ model: "auto", max_tokens: 100, messages: turns, tools });
console.log(said.content[0].text);
