// Tests a server with Anthropic's official Node SDK.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { cancelled, isWeather, key, long, schema, url, waitCancelled } from "./common.mjs";

const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
const params = {
  model: "tiny",
  max_tokens: 12,
  system: "Be brief.",
  messages: [{ role: "user", content: "Hello" }],
  temperature: 0,
};

const whole = await client.messages.create(params);
const final = await client.messages.stream(params).finalMessage();
assert.deepEqual(final.content, whole.content);
assert.equal(final.usage.output_tokens, whole.usage.output_tokens);

const tools = {
  ...params,
  max_tokens: 200,
  tools: [{ name: "weather", input_schema: schema }],
  tool_choice: { type: "tool", name: "weather" },
};
const called = await client.messages.stream(tools).finalMessage();
assert.equal(called.stop_reason, "tool_use");
isWeather(called.content[0].input);

await assert.rejects(
  client.messages.create({ ...params, max_tokens: 0 }),
  (e) => e instanceof Anthropic.BadRequestError && !!e.requestID,
);
await assert.rejects(
  client.messages.create({ ...params, model: "claude" }),
  Anthropic.NotFoundError,
);

const before = await cancelled();
const stream = client.messages.stream({ ...params, max_tokens: long, ignore_eos: true });
for await (const _ of stream) break;
await waitCancelled(before);
console.log("ok");
