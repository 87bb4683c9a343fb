// Do things with the published npm packages `ai` and `@ai-sdk/openai-compatible`, and print as a JSON list what came of
// each. Several are done at the same time:
//   E2E_AI_NODE=<folder that has them> node ai_node.mjs BASE_URL KEY DEED,DEED MESSAGE
import { createRequire } from "node:module";

const require = createRequire(`${process.env.E2E_AI_NODE}/`);
const { generateText, streamText } = require("ai");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");
const [baseURL, apiKey, wanted, prompt] = process.argv.slice(2);
const model = createOpenAICompatible({ name: "personas", baseURL, apiKey, includeUsage: true })("ada");
const how = { model, prompt, onError: () => {} };

const deeds = {
  async whole(more = {}) {
    const { text, reasoningText, finishReason, usage } = await generateText({ ...how, ...more });
    return { text, reasoning: reasoningText, finish: finishReason, tokens: usage.totalTokens };
  },
  async stream() {
    const told = { text: "", reasoning: "", finish: null, tokens: 0 };
    for await (const part of streamText(how).fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "text-delta") told.text += part.text;
      if (part.type === "reasoning-delta") told.reasoning += part.text;
      if (part.type === "finish") Object.assign(told, { finish: part.finishReason, tokens: part.totalUsage.totalTokens });
    }
    return told;
  },
  once: () => deeds.whole({ maxRetries: 0 }),
  unstreamed_choices: () => deeds.whole({ providerOptions: { personas: { n: 2 } } }),
  async leave() {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 3000);
    const seen = [];
    for await (const part of streamText({ ...how, abortSignal: controller.signal }).fullStream) seen.push(part.type);
    return { last: seen.at(-1) };
  },
};

const tell = (error) => {
  const last = error.lastError ?? error; // what it tried again is wrapped
  const { code, param, message } = last.data?.error ?? last;
  return { error: error.name, status: last.statusCode ?? null, code, param, message };
};
console.log(JSON.stringify(await Promise.all(wanted.split(",").map((deed) => deeds[deed]().catch(tell)))));
