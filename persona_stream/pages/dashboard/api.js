// Requests to the server. The browser sends the cookie by itself; the header proves that this page sent the request.

import { language } from "./texts.js";

export class RequestError extends Error {
  constructor(status, code, text) { super(text); this.status = status; this.code = code; }
}

async function request(method, path, body) {
  const headers = { "X-Persona-Dashboard": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response, json;
  try {
    response = await fetch(new URL(`..${path}`, import.meta.url), { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    json = await response.json();
  } catch {
    throw new RequestError(response?.status ?? 0, "unreachable", "");
  }
  if (!response.ok) throw new RequestError(response.status, json.code ?? "internal", json.error ?? "");
  return json;
}

const query = (values) => {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== "") found.append(name, one);
  }
  return found.size ? `?${found}` : "";
};

export const login = (token) => request("POST", "/login", { token });
export const logout = () => request("POST", "/logout");
export const session = () => request("GET", "/api/session");
export async function runs(filters) {
  const page = await request("GET", `/api/runs${query(filters)}`);
  return { ...page, runs: page.runs.map((run) => ({ ...run, ...waiting(page.questions[run.run_id]), error: page.errors[run.run_id] ?? null })) };
}
const waiting = (question) => (question === undefined ? {} : { status: "input_required", asked: question });
export const run = (id) => request("GET", `/api/runs/${encodeURIComponent(id)}`);
export const cancel = (id) => request("POST", `/api/runs/${encodeURIComponent(id)}/cancel`);
export const stats = (since, until) => request("GET", `/api/stats${query({ since, until })}`);
export const choices = () => request("GET", "/api/choices");
export const probe = (seconds, silent, signal) => fetch(new URL(`../api/doctor/stream${query({ seconds, silent })}`, import.meta.url), { cache: "no-store", signal });
export const diagnose = (measured) => request("POST", "/api/doctor", { ...measured, locale: language() });
export const workers = () => request("GET", "/api/workers");
export const columns = () => request("GET", "/api/columns");
export const forget = (name) => request("DELETE", `/api/users${query({ name })}`);
