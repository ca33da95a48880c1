// Tests a server's Responses API with OpenAI's official Node SDK.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { isWeather, key, schema, url } from "./common.mjs";

const client = new OpenAI({ baseURL: url + "/v1", apiKey: key, maxRetries: 0 });
const params = { model: "tiny", input: "Hello", max_output_tokens: 12, temperature: 0 };

const whole = await client.responses.create(params);
let text = "",
  next = 0;
const stream = client.responses.stream(params);
for await (const e of stream) {
  assert.equal(e.sequence_number, next++);
  if (e.type === "response.output_text.delta") text += e.delta;
}
const final = await stream.finalResponse();
assert.equal(text, whole.output_text);
assert.equal(final.output_text, text);
assert.equal(final.usage.total_tokens, whole.usage.total_tokens);

const tools = {
  ...params,
  max_output_tokens: 200,
  tools: [{ type: "function", name: "weather", parameters: schema, strict: true }],
  tool_choice: "required",
};
const called = await client.responses.create(tools);
const call = called.output[0];
isWeather(call.arguments);
const same = (await client.responses.stream(tools).finalResponse()).output[0];
assert.equal(same.arguments, call.arguments);
const after = await client.responses.create({
  ...params,
  previous_response_id: called.id,
  input: [{ type: "function_call_output", call_id: call.call_id, output: "rain" }],
});
assert.equal(after.previous_response_id, called.id);

const held = await client.responses.create({
  ...params,
  max_output_tokens: 200,
  text: { format: { type: "json_schema", name: "weather", schema, strict: true } },
});
isWeather(held.output_text);

assert.equal((await client.responses.retrieve(after.id)).output_text, after.output_text);
assert.equal((await client.responses.inputItems.list(after.id)).data[0].output, "rain");
await client.responses.delete(after.id);
await assert.rejects(client.responses.retrieve(after.id), OpenAI.NotFoundError);
await assert.rejects(
  client.responses.create({ ...params, previous_response_id: after.id }),
  (e) => e instanceof OpenAI.BadRequestError && e.code === "previous_response_not_found",
);
console.log("ok");
