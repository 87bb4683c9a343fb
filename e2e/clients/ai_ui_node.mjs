// Run one scenario with `Chat` of the published npm package `@ai-sdk/react`, the state behind `useChat`, and print the
// result as JSON:
//   E2E_AI_NODE=<folder that has it> node ai_ui_node.mjs URL TOKEN SCENARIO MESSAGE
import { createRequire } from "node:module";

const require = createRequire(`${process.env.E2E_AI_NODE}/`);
const { Chat } = require("@ai-sdk/react");
const { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } = require("ai");
const [server, token, scenario, message] = process.argv.slice(2);
const api = `${server}/api/ui/chat`;
const headers = { Authorization: `Bearer ${token}` };
const tools = { weather: { description: "Weather", parameters: { type: "object" } } };

const create = (id, more = {}) => {
  const progress = [];
  const events = [];
  const chat = new Chat({
    id,
    transport: new DefaultChatTransport({ api, headers, body: more.body }),
    onData: (part) => progress.push(part.data),
    onError: (error) => events.push({ error: error.message }),
    onFinish: ({ isAbort, isDisconnect, isError }) => events.push({ isAbort, isDisconnect, isError }),
    ...more,
  });
  return { chat, progress, events };
};
const result = ({ chat, progress, events }) => ({ messages: chat.messages, status: chat.status, progress, events });
const until = async (condition) => {
  while (!condition()) await new Promise((wake) => setTimeout(wake, 100));
};

const scenarios = {
  async ask() {
    const created = create("ask");
    await created.chat.sendMessage({ text: message });
    return result(created);
  },
  async resume() {
    const first = create("resume");
    first.chat.sendMessage({ text: message });
    await until(() => first.progress.length > 1);
    await first.chat.stop(); // the connection is closed, as by a page that is left
    const second = create("resume", { messages: first.chat.messages.slice(0, 1) });
    await second.chat.resumeStream();
    const third = create("resume");
    await third.chat.resumeStream(); // nothing is in progress
    return { ...result(second), idle: third.chat.messages };
  },
  async stop() {
    const created = create("stop");
    const sent = created.chat.sendMessage({ text: message });
    await until(() => created.progress.length > 1);
    const stopped = await fetch(`${api}/stop/stop`, { method: "POST", headers });
    await sent;
    return { ...result(created), stopped: await stopped.json() };
  },
  async tools() {
    const created = create("tools", {
      body: { tools },
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
      onToolCall: ({ toolCall }) => {
        const { toolCallId, toolName, input } = toolCall;
        created.chat.addToolOutput({ tool: toolName, toolCallId, output: `Sunny in ${input.city}` });
      },
    });
    await created.chat.sendMessage({ text: message });
    await until(() => created.chat.status === "ready" && created.chat.messages.at(-1).parts.at(-1).type === "text");
    return result(created);
  },
};
console.log(JSON.stringify(await scenarios[scenario]()));
