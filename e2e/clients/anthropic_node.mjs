// Run scenarios with the published npm package `@anthropic-ai/sdk`, and print the results as JSON.
//   E2E_ANTHROPIC_NODE=<folder that has it> node anthropic_node.mjs BASE_URL KEY SCENARIO[,SCENARIO…] MESSAGE
import { createRequire } from "node:module";

const { Anthropic } = createRequire(`${process.env.E2E_ANTHROPIC_NODE}/`)("@anthropic-ai/sdk");
const [baseURL, apiKey, requested, message] = process.argv.slice(2);
const client = new Anthropic({ baseURL, apiKey, authToken: null });
let how;
const tool = { name: "weather", input_schema: { type: "object" } };
const runnable = {
  type: "custom",
  name: "weather",
  description: "Return the weather of a city.",
  input_schema: { type: "object", properties: { city: { type: "string" } } },
  parse: (input) => input,
  run: ({ city }) => `Sun in ${city}.`,
};
const picture = { type: "image", source: { type: "base64", media_type: "image/png", data: "AAAA" } };

const join = (blocks, kind, field) => blocks.filter(({ type }) => type === kind).map((block) => block[field]).join("");
const whole = ({ content, stop_reason: finish, usage }) => ({
  text: join(content, "text", "text"),
  reasoning: join(content, "thinking", "thinking"),
  kinds: content.map(({ type }) => type),
  finish,
  tokens: usage.output_tokens,
  given: usage.input_tokens,
});

const scenarios = {
  async whole() {
    return whole(await client.messages.create(how));
  },
  async stream() {
    const collected = { text: "", reasoning: "", finish: null, tokens: 0, given: 0 };
    for await (const event of await client.messages.create({ ...how, stream: true })) {
      if (event.type === "message_start") collected.given = event.message.usage.input_tokens;
      if (event.delta?.type === "text_delta") collected.text += event.delta.text;
      if (event.delta?.type === "thinking_delta") collected.reasoning += event.delta.thinking;
      if (event.type === "message_delta") {
        collected.finish = event.delta.stop_reason;
        collected.tokens = event.usage.output_tokens;
      }
    }
    return collected;
  },
  async helper() {
    let joined = "";
    const stream = client.messages.stream(how).on("text", (delta) => (joined += delta));
    return { ...whole(await stream.finalMessage()), joined };
  },
  async another_turn() {
    const { content } = await client.messages.create(how);
    how.messages.push({ role: "assistant", content }, { role: "user", content: "0" });
    return scenarios.helper();
  },
  async tools() {
    how.tools = [tool];
    return scenarios.stream();
  },
  async picture() {
    how.messages = [{ role: "user", content: [picture] }];
    return scenarios.whole();
  },
  async count() {
    const { max_tokens: _, ...counted } = how;
    return { tokens: (await client.messages.countTokens(counted)).input_tokens };
  },
  async tool_runner() {
    return whole(await client.beta.messages.toolRunner({ ...how, tools: [runnable] }));
  },
  async tool_runner_stream() {
    let last;
    for await (const stream of client.beta.messages.toolRunner({ ...how, tools: [runnable], stream: true }))
      last = await stream.finalMessage();
    return whole(last);
  },
  async leave() {
    const stream = await client.messages.create({ ...how, stream: true });
    for await (const { type } of stream) return { first: type };
  },
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    const one = await client.models.retrieve(names[0]);
    return { names, one: one.id, display_name: one.display_name };
  },
};

const results = [];
for (const scenario of requested.split(",")) {
  how = { model: "ada", max_tokens: 1024, system: "Be brief.", messages: [{ role: "user", content: message }] };
  const done = await scenarios[scenario]().catch((error) => ({
    error: error.constructor.name,
    status: error.status ?? null,
    type: error.error?.error?.type ?? null,
    message: error.error?.error?.message ?? error.message,
    request_id: error.requestID ?? null,
  }));
  results.push(done);
}
console.log(JSON.stringify(results));
