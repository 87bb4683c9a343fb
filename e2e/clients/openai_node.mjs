// Run scenarios with the published npm package `openai`, and print the results as JSON.
//   E2E_OPENAI_NODE=<folder that has it> node openai_node.mjs BASE_URL KEY SCENARIO[,SCENARIO…] MESSAGE
import { createRequire } from "node:module";

const { OpenAI } = createRequire(`${process.env.E2E_OPENAI_NODE}/`)("openai");
const [baseURL, apiKey, requested, message] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
let how;

const scenarios = {
  async whole() {
    const { choices, usage } = await client.chat.completions.create(how);
    const [{ message: said, finish_reason: finish }] = choices;
    return { text: said.content, reasoning: said.reasoning_content, finish, tokens: usage.total_tokens };
  },
  async stream() {
    const collected = { text: "", reasoning: "", finish: null, tokens: 0 };
    const streamed = { ...how, stream: true, stream_options: { include_usage: true } };
    for await (const chunk of await client.chat.completions.create(streamed)) {
      collected.tokens = chunk.usage?.total_tokens ?? collected.tokens;
      for (const { delta, finish_reason } of chunk.choices) {
        collected.text += delta.content ?? "";
        collected.reasoning += delta.reasoning_content ?? "";
        collected.finish = finish_reason ?? collected.finish;
      }
    }
    return collected;
  },
  async helper() {
    let joined = "";
    const stream = client.chat.completions.stream(how).on("content", (delta) => (joined += delta));
    const [{ message: said, finish_reason: finish }] = (await stream.finalChatCompletion()).choices;
    return { text: said.content, finish, joined };
  },
  async unstreamed_choices() {
    how.n = 2;
    return scenarios.whole();
  },
  async leave() {
    const stream = await client.chat.completions.create({ ...how, stream: true });
    for await (const chunk of stream) return { role: chunk.choices[0].delta.role };
  },
  async models() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    return { names, one: (await client.models.retrieve(names[0])).id };
  },
};

const results = [];
for (const scenario of requested.split(",")) {
  how = { model: "ada", messages: [{ role: "user", content: message }] };
  const done = await scenarios[scenario]().catch((error) => ({
    error: error.constructor.name,
    status: error.status ?? null,
    code: error.code,
    type: error.type,
    param: error.param,
    message: error.message,
  }));
  results.push(done);
}
console.log(JSON.stringify(results));
