// Peer on Node's http module: node bench/peers/node_peer.mjs PORT PYTHON
// It does the work of the other peers: the token is verified and cached, the body is checked, events have the same
// bytes and the same pace. The constants of the load come from bench.workload and bench.peers.wire.

import { execFileSync } from "node:child_process";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const [port, python] = process.argv.slice(2);
const load = JSON.parse(execFileSync(python, ["-m", "bench.peers.constants"], { encoding: "utf8" }));
const SCHEMA = { username: 64, message: 32768, prompt: 32768, prompt_mode: 16, conversation_id: 128, chunking: 16 };

const verified = new Map(); // token -> expiry, in seconds

function verify(header) {
  const [scheme, token] = (header ?? "").split(" ");
  if (scheme.toLowerCase() !== "bearer" || !token) return false;
  let expires = verified.get(token);
  if (expires === undefined) {
    const [head, claims, signature, ...rest] = token.split(".");
    if (rest.length || signature === undefined) return false;
    const expected = createHmac("sha256", load.secret).update(`${head}.${claims}`).digest();
    const actual = Buffer.from(signature, "base64url");
    if (actual.length !== expected.length || !timingSafeEqual(actual, expected)) return false;
    if (JSON.parse(Buffer.from(head, "base64url")).alg !== "HS256") return false;
    const { sub, exp } = JSON.parse(Buffer.from(claims, "base64url"));
    if (typeof sub !== "string" || typeof exp !== "number") return false;
    expires = exp;
    verified.set(token, expires);
  }
  return expires > Date.now() / 1000;
}

function parse(body) {
  const query = JSON.parse(body);
  if (query === null || typeof query !== "object" || Array.isArray(query)) throw new TypeError("not an object");
  for (const [name, longest] of Object.entries(SCHEMA)) {
    const value = query[name];
    if (value === undefined || value === null) continue;
    if (typeof value !== "string" || value.length > longest) throw new TypeError(name);
  }
  if (!query.username || !query.message?.trim()) throw new TypeError("missing");
  return query;
}

const round = (seconds) => Math.round(seconds * 10) / 10;

function stream(query, response) {
  const runId = randomBytes(16).toString("hex");
  response.writeHead(200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "X-Run-Id": runId,
    Location: `/api/runs/${runId}/events`,
    "Access-Control-Allow-Origin": "*",
  });
  const send = (position, event) => response.write(`id: ${runId}/${position}\ndata: ${JSON.stringify(event)}\n\n`);
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1000;
  let timer;
  response.on("close", () => clearTimeout(timer));

  send("1.0", {
    success: true, data: "", status: "initializing", message: "正在初始化连接...", progress: 5, run_id: runId,
    conversation_id: query.conversation_id ?? randomBytes(16).toString("hex"),
    interval: load.interval, deadline: load.deadline, resume_for: load.resume_for,
    events_url: `/api/runs/${runId}/events?ticket=${randomBytes(32).toString("base64url")}`,
  });
  const progress = (message, seconds) => send("2.0", {
    success: true, data: "", status: "processing", message,
    progress: Math.min(95, 5 + Math.floor((90 * seconds) / load.deadline)), elapsed_time: round(seconds),
  });
  progress("正在处理您的请求...", 0);

  const needed = Number(query.message);
  let tick = 1;
  function wait() {
    const at = Math.min(tick * load.interval, needed);
    timer = setTimeout(next, Math.max(0, at - elapsed()) * 1000);
  }
  function next() {
    const seconds = elapsed();
    if (seconds >= needed) return deliver(seconds);
    if (seconds >= tick * load.interval) {
      progress(load.messages[(tick - 1) % load.messages.length], seconds);
      tick = Math.max(tick, Math.floor(seconds / load.interval)) + 1;
    }
    wait();
  }
  function deliver(seconds) {
    send("3.0", {
      success: true, data: "", status: "processing_complete", progress: 100,
      message: `处理完成 (耗时 ${seconds.toFixed(1)}秒)，正在发送回复...`, total_processing_time: round(seconds),
    });
    let sent = 0;
    let number = 0;
    function chunk() {
      while (sent < load.answer.length && elapsed() - seconds >= number * load.pause) {
        const data = load.answer.slice(sent, sent + load.chunk_size);
        sent += data.length;
        number += 1;
        send(`3.${sent}`, {
          success: true, data, status: "streaming", chunk_number: number,
          streaming_progress: round((100 * sent) / load.answer.length), is_complete: false,
        });
      }
      if (sent < load.answer.length) {
        timer = setTimeout(chunk, Math.max(0, number * load.pause - (elapsed() - seconds)) * 1000);
        return;
      }
      send("4.0", { success: true, data: "", status: "complete", total_time: round(elapsed()), is_complete: true });
      response.end();
    }
    chunk();
  }
  wait();
}

function refuse(response, status) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify({ success: false }));
}

createServer((request, response) => {
  if (request.url === "/healthz") return void response.end('{"status":"ok"}');
  if (request.method !== "POST" || request.url !== load.path) return refuse(response, 404);
  if (!verify(request.headers.authorization)) return refuse(response, 401);
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (part) => { body += part; });
  request.on("end", () => {
    let query;
    try {
      query = parse(body);
    } catch {
      return refuse(response, 400);
    }
    stream(query, response);
  });
}).listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
