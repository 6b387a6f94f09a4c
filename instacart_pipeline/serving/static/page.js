// The page: what is asked when, and where the answer goes. How answers look stands in view.js.

import { ask } from "./api.js";
import { Combobox } from "./combobox.js";
import { keyForm } from "./key-form.js";
import { basket, byId, element, lastOrders, notice, skeleton, summary, verdict } from "./view.js";

const NAMES = [
  "up_orders", "user_mean_days_since_prior", "user_period", "user_distinct_products", "user_reorder_ratio", "user_total_products",
  "up_average_cart_position", "up_first_order", "user_orders", "up_last_order", "prod_orders", "prod_reorder_probability",
  "prod_reorder_times", "prod_reorder_ratio", "user_average_basket", "up_order_rate", "up_orders_since_last_order",
  "up_order_rate_since_first_order",
];
const EXAMPLE = "9,9.4,94,31,0.62,78,2.4,1,10,10,24018,0.61,2.9,0.66,7.8,0.9,0,0.9";
const LISTED = 100; // candidates asked for with a basket
const HEALTH_EVERY = 15_000;

let shown = null; // the basket on the page
let asking = new AbortController();

const needsKey = keyForm("/v1/users?limit=1", () => {
  byId("customer").focus();
  begin();
});

async function health() {
  const status = byId("status");
  let text;
  let fine = true;
  try {
    const told = await ask("/health/reorder");
    const day = new Date(`${told.day}T00:00:00`).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
    text = `Data of ${day} · model version ${told.model.version}`;
    byId("customer-hint").textContent = `${told.users.toLocaleString("en")} customers have an order under way.`;
  } catch (error) {
    fine = false;
    text = error.status === 0 ? "Not connected" : "The model can’t be asked at the moment";
  }
  status.classList.toggle("ok", fine);
  status.classList.toggle("bad", !fine);
  if (byId("status-text").textContent !== text) byId("status-text").textContent = text;
}

async function showBasket(user) {
  asking.abort();
  const asked = (asking = new AbortController());
  const body = byId("basket-body");
  byId("basket").setAttribute("aria-busy", "true");
  const slow = setTimeout(() => body.replaceChildren(skeleton()), 150); // most answers come sooner
  try {
    const told = await ask(`/v1/users/${user}/basket?limit=${LISTED}`, { signal: asked.signal });
    shown = told;
    body.replaceChildren(...basket(told));
    byId("last-body").replaceChildren(...lastOrders(told));
    byId("last").hidden = false;
    byId("live").textContent = summary(told);
    byId("product").disabled = false;
    byId("product-hint").textContent = `How likely is it in the next order of customer ${user}? The model speaks about products bought before.`;
    history.replaceState(null, "", `#customer=${user}`);
  } catch (error) {
    if (error.name === "AbortError") return;
    shown = null;
    byId("last").hidden = true;
    byId("product").disabled = true;
    if (!needsKey(error, () => showBasket(user))) body.replaceChildren(notice(error.message, error.status === 404 ? null : () => showBasket(user)));
    else body.replaceChildren();
  } finally {
    clearTimeout(slow);
    if (asked === asking) byId("basket").setAttribute("aria-busy", "false");
  }
  byId("product").value = "";
  byId("product-verdict").replaceChildren();
}

async function findUsers(text, signal) {
  const digits = text.replace(/\D/g, "").slice(0, 19);
  if (text && !digits) return [];
  const { users } = await ask(`/v1/users?limit=30&search=${digits}`, { signal });
  return users.map((user) => ({ value: user.user_id, text: String(user.user_id), note: `order no. ${user.order_number} · ${user.candidates} products` }));
}

new Combobox(byId("customer"), byId("customer-list"), {
  search: findUsers,
  choose: (option) => showBasket(option.value),
  none: (text) => `No customer’s number begins with ${text}.`,
  failed: (error) => needsKey(error, null) || byId("basket-body").replaceChildren(notice(error.message)),
});

// First what the customer has bought before, then the whole shop.
async function findProducts(text, signal) {
  const own = [...(shown?.basket ?? []), ...(shown?.others ?? [])].filter((one) => one.product_name.toLowerCase().includes(text.toLowerCase()));
  const known = new Set(own.map((one) => one.product_id));
  const all = text ? (await ask(`/v1/products?limit=30&search=${encodeURIComponent(text)}`, { signal })).products : [];
  const options = own.slice(0, 30).map((one) => ({ value: one.product_id, text: one.product_name, note: "bought before" }));
  return options.concat(all.filter((one) => !known.has(one.product_id)).map((one) => ({ value: one.product_id, text: one.product_name, note: one.aisle })));
}

async function tryProduct(option) {
  const place = byId("product-verdict");
  const user = shown?.user_id;
  if (!user) return;
  try {
    const told = await ask(`/v1/users/${user}/products/${option.value}/probability`);
    place.replaceChildren(verdict(told, `${told.product_name} · `));
  } catch (error) {
    if (needsKey(error, () => tryProduct(option))) return;
    place.replaceChildren(error.code === "never_bought" ? element("p", "said", error.message) : notice(error.message, () => tryProduct(option)));
  }
}

new Combobox(byId("product"), byId("product-list"), {
  search: findProducts,
  choose: tryProduct,
  none: (text) => (text ? `No product’s name holds “${text}”.` : "Type a part of a product’s name."),
  failed: (error) => needsKey(error, null) || byId("product-verdict").replaceChildren(notice(error.message)),
});

async function tryVector() {
  const field = byId("vector");
  const place = byId("vector-verdict");
  byId("vector-error").textContent = "";
  field.removeAttribute("aria-invalid");
  try {
    const { predictions } = await ask("/v1/probability", { method: "POST", body: field.value, headers: { "Content-Type": "text/csv" } });
    place.replaceChildren(...predictions.map((one, at) => verdict(one, predictions.length > 1 ? `Row ${at + 1} · ` : "")));
  } catch (error) {
    place.replaceChildren();
    if (needsKey(error, tryVector)) return;
    if (error.status >= 400 && error.status < 500) {
      byId("vector-error").textContent = error.message;
      field.setAttribute("aria-invalid", "true");
      field.focus();
    } else place.replaceChildren(notice(error.message, tryVector));
  }
}

byId("vector-form").addEventListener("submit", (event) => {
  event.preventDefault();
  tryVector();
});
byId("vector-example").addEventListener("click", () => {
  byId("vector").value = EXAMPLE;
  tryVector();
});
byId("vector-names").append(...NAMES.map((name) => element("li", "", name)));

function fromAddress() {
  const user = new URLSearchParams(location.hash.slice(1)).get("customer");
  if (!/^[1-9]\d{0,18}$/.test(user ?? "") || String(shown?.user_id) === user) return;
  byId("customer").value = user;
  showBasket(user);
}
window.addEventListener("hashchange", fromAddress);

async function begin() {
  health();
  fromAddress();
  try {
    const { users } = await ask("/v1/users?limit=5");
    byId("chips")?.replaceChildren(
      ...users.map((user) => {
        const chip = element("button", "", String(user.user_id));
        chip.type = "button";
        chip.setAttribute("aria-label", `Customer ${user.user_id}`);
        chip.addEventListener("click", () => {
          byId("customer").value = user.user_id;
          byId("customer").focus();
          showBasket(user.user_id);
        });
        return chip;
      }),
    );
  } catch (error) {
    if (!needsKey(error, null) && byId("chips")) byId("basket-body").replaceChildren(notice(error.message, () => location.reload()));
  }
}

begin();
setInterval(() => document.hidden || health(), HEALTH_EVERY);
