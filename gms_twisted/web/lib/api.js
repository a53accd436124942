/** Logging in and out, tickets: the HTTP calls of the desk and the operator page.  See docs/desk-protocol.md. */

/** A refusal, with what the server said. */
export class ApiError extends Error {
  constructor(status, body, retryAfter) {
    super(body?.message || `The server answered ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.code = body?.exception ?? "";
    this.retryAfter = retryAfter;
  }
}

let csrf = "";

async function request(method, path, body) {
  let response;
  try {
    response = await fetch(new URL(`../desk/api/${path}`, import.meta.url), {
      method,
      headers: {
        ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(csrf ? { "X-Gms-Csrf": csrf } : {}),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    throw new ApiError(0, { message: error instanceof Error ? error.message : String(error) });
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    // A proxy's own page: the status says enough.
  }
  if (!response.ok) throw new ApiError(response.status, answer, Number(response.headers.get("Retry-After")) || 0);
  if (typeof answer?.csrf === "string") csrf = answer.csrf;
  return answer;
}

export const me = () => request("GET", "me");
export const login = (name, password) => request("POST", "login", { name, password });
export const link = (token) => request("GET", `link/${encodeURIComponent(token)}`);
export const claim = (details) => request("POST", "claim", details);
export const ticket = () => request("POST", "ticket", {});
export const password = (old, fresh) => request("POST", "password", { old, new: fresh });

export async function logout() {
  const answer = await request("POST", "logout", {});
  csrf = "";
  return answer;
}
