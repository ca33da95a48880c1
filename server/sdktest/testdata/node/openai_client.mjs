// Tests a server with OpenAI's official Node SDK.
import assert from "node:assert/strict";
import OpenAI from "openai";
import {
  cancelled,
  isWeather,
  key,
  limitedURL,
  long,
  schema,
  url,
  waitCancelled,
} from "./common.mjs";

const client = new OpenAI({ baseURL: url + "/v1", apiKey: key, maxRetries: 0 });
const params = {
  model: "tiny",
  messages: [
    { role: "system", content: "Be brief." },
    { role: "user", content: "Hello" },
  ],
  max_completion_tokens: 12,
  temperature: 0,
};

const whole = await client.chat.completions.create(params);
let text = "",
  last;
for await (const c of await client.chat.completions.create({
  ...params,
  stream: true,
  stream_options: { include_usage: true },
})) {
  text += c.choices[0]?.delta.content ?? "";
  last = c;
}
assert.equal(text, whole.choices[0].message.content);
assert.equal(last.usage.total_tokens, whole.usage.total_tokens);
assert.match(whole._request_id, /^req_/);

const tools = {
  ...params,
  max_completion_tokens: 200,
  tools: [{ type: "function", function: { name: "weather", parameters: schema, strict: true } }],
  tool_choice: "required",
};
const call = (await client.chat.completions.create(tools)).choices[0].message.tool_calls[0];
isWeather(call.function.arguments);
const streamed = (await client.chat.completions.stream(tools).finalChatCompletion()).choices[0]
  .message;
assert.equal(streamed.tool_calls[0].function.arguments, call.function.arguments);
assert.equal(streamed.content, null);

// The SDK runs the function by itself and sends its result in the next request.
const run = client.chat.completions.runTools(
  {
    ...tools,
    tools: [
      {
        type: "function",
        function: { name: "weather", parameters: schema, function: (a) => (isWeather(a), "rain") },
      },
    ],
  },
  { maxChatCompletions: 2 },
);
await run.done();
assert.ok(
  run.messages.some((m) => m.role === "tool" && m.content === "rain"),
  JSON.stringify(run.messages),
);

const held = await client.chat.completions.create({
  ...params,
  max_completion_tokens: 200,
  response_format: { type: "json_schema", json_schema: { name: "weather", schema, strict: true } },
});
isWeather(held.choices[0].message.content);

await assert.rejects(
  client.chat.completions.create({ ...params, n: 9 }),
  (e) => e instanceof OpenAI.BadRequestError && e.param === "n" && !!e.requestID,
);
await assert.rejects(
  client.withOptions({ apiKey: "sk-other" }).models.list(),
  OpenAI.AuthenticationError,
);
await assert.rejects(client.models.retrieve("gpt-4"), OpenAI.NotFoundError);
await assert.rejects(
  client.chat.completions.create({ ...params, max_completion_tokens: 300 }, { timeout: 1 }),
  OpenAI.APIConnectionTimeoutError,
);

const before = await cancelled();
const stream = await client.chat.completions.create({
  ...params,
  max_completion_tokens: long,
  ignore_eos: true,
  stream: true,
});
for await (const _ of stream) break; // which aborts the request
await waitCancelled(before);

let refused = 0;
const limited = new OpenAI({
  baseURL: limitedURL + "/v1",
  apiKey: key,
  maxRetries: 2,
  fetch: async (...args) => {
    const r = await fetch(...args);
    if (r.status === 429) refused++;
    return r;
  },
});
for (let i = 0; i < 200 && refused === 0; i++) {
  assert.equal(
    (await limited.chat.completions.create({ ...params, max_completion_tokens: 1 })).choices.length,
    1,
  );
}
assert.equal(refused, 1);
console.log("ok");
