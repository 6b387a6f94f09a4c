// The form for an API key: shown when the server asks for one, and whoever failed for it is asked again once there is one.

import { ask, Failed, key } from "./api.js";
import { byId } from "./view.js";

// `probe` is an address to try a key on; `opened` is called with the new key in place. Gives needsKey(error, again): whether that was it.
export function keyForm(probe, opened) {
  let waiting = null;

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
