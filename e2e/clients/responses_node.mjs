// Run scenarios of OpenAI's Responses API with the published npm packages `openai`, `ai` with `@ai-sdk/openai`, and
// `@ai-sdk/open-responses`, and print the results as a JSON list. Several run concurrently:
//   E2E_RESPONSES_NODE=<folder that has them> node responses_node.mjs BASE_URL KEY SCENARIO,SCENARIO MESSAGE
import { createRequire } from "node:module";

globalThis.AI_SDK_LOG_WARNINGS = false; // they would go to stdout, which is for the results
const require = createRequire(`${process.env.E2E_RESPONSES_NODE}/`);
const { OpenAI } = require("openai");
const { generateText, jsonSchema, stepCountIs, streamText, tool } = require("ai");
const { createOpenAI } = require("@ai-sdk/openai");
const { createOpenResponses } = require("@ai-sdk/open-responses");
const [baseURL, apiKey, requested, message] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const ask = { model: "ada", input: message };
const models = {
  openai: createOpenAI({ baseURL, apiKey })("ada"),
  open: createOpenResponses({ name: "personas", url: `${baseURL}/responses`, apiKey })("ada"),
};
const weather = tool({
  description: "Return the weather of a city.",
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] }),
  execute: async ({ city }) => `Rain in ${city}`,
});

const result = (response) => ({
  text: response.output_text ?? textOf(response),
  status: response.status,
  tokens: response.usage.total_tokens,
});
const textOf = ({ output }) =>
  output.flatMap((item) => (item.type === "message" ? item.content : [])).map((part) => part.text).join("");
const joinedOf = (events) => events.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("");
const all = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};

const scenarios = {
  whole: async () => result(await client.responses.create(ask)),
  async stream() {
    const events = await all(await client.responses.create({ ...ask, stream: true }));
    return { ...result(events.at(-1).response), joined: joinedOf(events) };
  },
  async helper() {
    const stream = client.responses.stream(ask);
    const events = await all(stream);
    return { ...result(await stream.finalResponse()), joined: joinedOf(events) };
  },
  async resume_raw() {
    const got = [];
    while (got.at(-1)?.type !== "response.completed") {
      const stream = got.length
        ? await client.responses.retrieve(got[0].response.id, { stream: true, starting_after: got.at(-1).sequence_number })
        : await client.responses.create({ ...ask, stream: true, background: true });
      for await (const event of stream) {
        got.push(event);
        if (got.length % 3 === 0) break; // closes the connection
      }
    }
    // Signs of life repeat the number of the event before them, and are not replayed.
    const news = got.filter((event, index) => event.sequence_number > (got[index - 1]?.sequence_number ?? -1));
    const whole = await all(await client.responses.retrieve(got[0].response.id, { stream: true }));
    return { ...result(got.at(-1).response), joined: joinedOf(got), is_same: JSON.stringify(news) === JSON.stringify(whole) };
  },
  async resume_helper() {
    const events = await all(await client.responses.create({ ...ask, stream: true }));
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    const starting_after = deltas[deltas.length >> 1].sequence_number;
    const had = joinedOf(events.filter((event) => event.sequence_number <= starting_after));
    const stream = client.responses.stream({ response_id: events[0].response.id, starting_after });
    const rest = joinedOf(await all(stream));
    return { ...result(await stream.finalResponse()), joined: had + rest };
  },
  async begin() {
    const events = [];
    for await (const event of await client.responses.create({ ...ask, stream: true, background: true })) {
      events.push(event);
      if (events.filter(({ type }) => type === "response.output_text.delta").length === 5) break;
    }
    return { joined: joinedOf(events), place: `${events[0].response.id} ${events.at(-1).sequence_number}` };
  },
  async rest_raw() {
    const [id, number] = message.split(" ");
    const events = await all(await client.responses.retrieve(id, { stream: true, starting_after: Number(number) }));
    return { ...result(events.at(-1).response), joined: joinedOf(events) };
  },
  async rest_helper() {
    const [response_id, number] = message.split(" ");
    const stream = client.responses.stream({ response_id, starting_after: Number(number) });
    const events = await all(stream);
    return { ...result(await stream.finalResponse()), joined: joinedOf(events) };
  },
  async ai(model) {
    const { text, reasoningText, finishReason, usage } = await generateText({ model, prompt: message });
    return { text, reasoning: reasoningText, finish: finishReason, tokens: usage.totalTokens };
  },
  async ai_stream(model, more = {}) {
    const collected = { text: "", finish: null, tokens: 0 };
    for await (const part of streamText({ model, prompt: message, onError() {}, ...more }).fullStream) {
      if (part.type === "error") throw part.error;
      if (part.type === "text-delta") collected.text += part.text;
      if (part.type === "finish") Object.assign(collected, { finish: part.finishReason, tokens: part.totalUsage.totalTokens });
    }
    return collected;
  },
  ai_once: (model) => scenarios.ai_stream(model, { maxRetries: 0 }),
  async ai_tools(model) {
    const { text } = await generateText({ model, prompt: message, tools: { weather }, stopWhen: stepCountIs(3) });
    return { text };
  },
  async ai_turns(model) {
    const messages = [{ role: "user", content: message }];
    const first = await generateText({ model, messages });
    messages.push(...first.response.messages, { role: "user", content: message });
    return { text: (await generateText({ model, messages })).text };
  },
};

const describe = (error) => {
  const last = error.lastError ?? error; // errors of retries are wrapped
  const { code, param, message } = last.data?.error ?? last.error ?? last;
  return { error: error.name ?? error.constructor?.name, status: last.statusCode ?? last.status ?? null, code, param, message };
};

const done = requested.split(",").map((each) => {
  const [scenario, provider = "openai"] = each.split("@");
  return scenarios[scenario](models[provider]).catch(describe);
});
console.log(JSON.stringify(await Promise.all(done)));
