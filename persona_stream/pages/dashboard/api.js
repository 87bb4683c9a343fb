// What the server is asked. The cookie goes along by itself; the header says that it is this page that asks.

export class Refused extends Error {
  constructor(status, code, text) { super(text); this.status = status; this.code = code; }
}

async function ask(method, path, body) {
  const headers = { "X-Persona-Dashboard": "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response, json;
  try {
    response = await fetch(`/dashboard${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    json = await response.json();
  } catch {
    throw new Refused(response?.status ?? 0, "unreachable", "");
  }
  if (!response.ok) throw new Refused(response.status, json.code ?? "internal", json.error ?? "");
  return json;
}

const query = (values) => {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of [value].flat()) if (one !== undefined && one !== null && one !== "") found.append(name, one);
  }
  return found.size ? `?${found}` : "";
};

export const login = (token) => ask("POST", "/login", { token });
export const logout = () => ask("POST", "/logout");
export const session = () => ask("GET", "/api/session");
export const runs = (filters) => ask("GET", `/api/runs${query(filters)}`);
export const run = (id) => ask("GET", `/api/runs/${encodeURIComponent(id)}`);
export const cancel = (id) => ask("POST", `/api/runs/${encodeURIComponent(id)}/cancel`);
export const stats = (since, until) => ask("GET", `/api/stats${query({ since, until })}`);
export const choices = () => ask("GET", "/api/choices");
export const forget = (name) => ask("DELETE", `/api/users${query({ name })}`);
