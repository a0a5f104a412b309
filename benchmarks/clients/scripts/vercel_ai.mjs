import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const baseURL = process.env.OPENAI_BASE_URL, apiKey = process.env.OPENAI_API_KEY;
const compatible = createOpenAICompatible({ name: "gateway", baseURL, apiKey, includeUsage: true });
const openai = createOpenAI({ baseURL, apiKey });
const add = tool({ description: "Add two numbers.", inputSchema: z.object({ a: z.number(), b: z.number() }), execute: async ({ a, b }) => a + b });
for (const model of [compatible("auto"), openai.chat("auto"), openai.responses("auto")]) {
  const { text } = await generateText({ model, prompt: "add 2 and 3", tools: { add }, stopWhen: stepCountIs(3) });
  console.log(text);
  let streamed = "";
  for await (const part of streamText({ model, prompt: "hello" }).textStream) streamed += part;
  console.log(streamed);
}
