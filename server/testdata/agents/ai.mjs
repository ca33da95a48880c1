// An agent on the Vercel AI SDK: over the Responses API, and over chat.
import { readFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const baseURL = process.env.LOADSTONE_URL + "/v1", apiKey = "any";
const models = [
  createOpenAI({ baseURL, apiKey })("echo"),
  createOpenAICompatible({ name: "loadstone", baseURL, apiKey, headers: { "X-Agent-ID": "ai" } })("echo"),
];
for (const model of models) {
  const task = {
    model, prompt: "Read note.txt", stopWhen: stepCountIs(4),
    tools: { read: tool({
      description: "Reads a file.", inputSchema: z.object({ path: z.string() }),
      execute: async ({ path }) => readFileSync(path, "utf8"),
    }) },
  };
  console.log((await generateText(task)).text);
  console.log(await streamText({ ...task, onError: ({ error }) => { throw error; } }).text);
}
