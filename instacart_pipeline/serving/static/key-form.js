// The form for an API key: shown when the server asks for one, and whoever failed for it is asked again once there is one.

import { ask, Failed, key } from "./api.js";
import { byId, element } from "./view.js";

function form() {
  const field = Object.assign(element("input"), { id: "key", type: "password", autocomplete: "off", spellcheck: false, required: true });
  field.setAttribute("aria-describedby", "key-help key-error");
  const label = Object.assign(element("label", "", "API key"), { htmlFor: "key" });
  const help = Object.assign(element("p", "", "This server answers only who has a key. It is kept in this tab alone, until you close it."), { id: "key-help" });
  const error = Object.assign(element("p", "field-error"), { id: "key-error", role: "alert" });
  const send = Object.assign(element("button", "", "Use this key"), { type: "submit" });
  const made = element("form", "card key", element("h2", "", "An API key is needed"), help, label, element("div", "row", field, send), error);
  return Object.assign(made, { id: "key-form", hidden: true });
}

// `probe` is an address to try a key on; `opened` is called with the new key in place. Gives needsKey(error, again): whether that was it.
export function keyForm(probe, opened) {
  let waiting = null;
  document.querySelector("main").prepend(form());

  function needsKey(error, again) {
    if (!(error instanceof Failed) || error.status !== 401) return false;
    waiting = again;
    byId("key-form").hidden = false;
    byId("key-error").textContent = key.get() ? error.message : "";
    key.forget();
    byId("forget").hidden = true;
    byId("key").focus();
    return true;
  }

  byId("key-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    key.set(byId("key").value.trim());
    try {
      await ask(probe);
    } catch (error) {
      if (needsKey(error, waiting)) return; // what else fails, the page itself will tell
    }
    byId("key").value = "";
    byId("key-form").hidden = true;
    byId("forget").hidden = false;
    opened();
    waiting?.();
    waiting = null;
  });

  byId("forget").addEventListener("click", () => {
    key.forget();
    location.reload();
  });
  byId("forget").hidden = !key.get();
  return needsKey;
}
