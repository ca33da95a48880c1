// An agent on LangChain: over chat, and over the Responses API.
import { readFileSync } from "node:fs";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";

const tools = [{ type: "function", function: { name: "read", description: "Reads a file.", parameters: {
  type: "object", properties: { path: { type: "string" } }, required: ["path"] } } }];
for (const useResponsesApi of [false, true]) {
  const model = new ChatOpenAI({
    model: "echo", apiKey: "any", useResponsesApi, maxRetries: 0,
    configuration: { baseURL: process.env.LOADSTONE_URL + "/v1", defaultHeaders: { "X-Agent-ID": "langchain" } },
  }).bindTools(tools);
  const messages = [new HumanMessage("Read note.txt")];
  let answer = await model.invoke(messages);
  for (; answer.tool_calls.length > 0; answer = await model.invoke(messages)) {
    messages.push(answer);
    for (const call of answer.tool_calls) {
      messages.push(new ToolMessage({ content: readFileSync(call.args.path, "utf8"), tool_call_id: call.id }));
    }
  }
  console.log(answer.text);
}
