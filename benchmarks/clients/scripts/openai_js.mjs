import OpenAI from "openai";

const client = new OpenAI(), messages = [{ role: "user", content: "add 2 and 3" }];
const runner = client.chat.completions.runTools({
  model: "auto", stream: true, messages,
  tools: [{ type: "function", function: { name: "add", parse: JSON.parse, function: ({ a, b }) => String(a + b),
    parameters: { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } } } } }],
});
console.log(await runner.finalContent());
let text = "";
for await (const event of await client.responses.create({ model: "auto", input: "hello", stream: true })) text += event.delta ?? "";
console.log(text);
