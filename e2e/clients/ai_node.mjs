// Run scenarios with the published npm package `ai` and its providers, and print the results as a JSON list. Several
// run concurrently; `stream` uses the OpenAI protocol, `stream@anthropic` the Anthropic protocol:
//   E2E_AI_NODE=<folder that has them> node ai_node.mjs BASE_URL KEY SCENARIO,SCENARIO MESSAGE
import { createRequire } from "node:module";

globalThis.AI_SDK_LOG_WARNINGS = false; // they would go to stdout, which is for the results
const require = createRequire(`${process.env.E2E_AI_NODE}/`);
const { generateText, jsonSchema, streamText, tool } = require("ai");
const { createAnthropic } = require("@ai-sdk/anthropic");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const [baseURL, apiKey, requested, prompt] = process.argv.slice(2);
const models = {
  anthropic: createAnthropic({ baseURL, apiKey })("ada"),
  openai: createOpenAICompatible({ name: "personas", baseURL, apiKey, includeUsage: true })("ada"),
};
const onError = () => {};

const scenarios = {
  async whole(model, more = {}) {
    const { text, reasoningText, finishReason, usage } = await generateText({ model, prompt, ...more });
    return { text, reasoning: reasoningText, finish: finishReason, tokens: usage.totalTokens };
  },
  async stream(model) {
    const collected = { text: "", reasoning: "", finish: null, tokens: 0 };
    for await (const part of streamText({ model, prompt, onError }).fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "text-delta") collected.text += part.text;
      if (part.type === "reasoning-delta") collected.reasoning += part.text;
      if (part.type === "finish") Object.assign(collected, { finish: part.finishReason, tokens: part.totalUsage.totalTokens });
    }
    return collected;
  },
  once: (model) => scenarios.whole(model, { maxRetries: 0 }),
  unstreamed_choices: (model) => scenarios.whole(model, { providerOptions: { personas: { n: 2 } } }),
  tools: (model) => scenarios.whole(model, { tools: { weather: tool({ inputSchema: jsonSchema({ type: "object" }) }) } }),
  async leave(model) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 3000);
    const seen = [];
    const { fullStream } = streamText({ model, prompt, onError, abortSignal: controller.signal });
    for await (const part of fullStream) seen.push(part.type);
    return { last: seen.at(-1) };
  },
};

const describe = (error) => {
  const last = error.lastError ?? error; // errors of retries are wrapped
  const { code, param, type, message } = last.data?.error ?? last;
  return { error: error.name, status: last.statusCode ?? null, code, param, type, message };
};

const done = requested.split(",").map((each) => {
  const [scenario, protocol = "openai"] = each.split("@");
  return scenarios[scenario](models[protocol]).catch(describe);
});
console.log(JSON.stringify(await Promise.all(done)));
