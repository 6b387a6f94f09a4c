// Asking the API: the key, and errors in the words of the server.

const KEY = "reorder-api-key";

export class Failed extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

// The JSON answer to a request. Throws Failed, or AbortError when `signal` says so.
export async function ask(path, { signal, method = "GET", body, headers = {} } = {}) {
  const given = { Accept: "application/json", ...headers };
  if (key.get()) given["X-API-Key"] = key.get();
  let answer;
  try {
    answer = await fetch(path, { method, body, signal, headers: given });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(0, "offline", "The server can’t be reached. Is it still running?");
  }
  let told;
  try {
    told = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed(answer.status, "unreadable", `The server answered ${answer.status}, in a form this page can’t read.`);
  }
  if (!answer.ok) {
    throw new Failed(answer.status, told.error?.code ?? "", told.error?.message ?? told.trouble?.join(" ") ?? "The request failed.");
  }
  return told;
}
