// What answers look like: elements made of data. Text goes in as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function element(tag, className = "", ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

// 0.92 as "92%"; what rounds to nothing is said to be more than that.
export function percent(probability) {
  const rounded = Math.round(probability * 100);
  if (probability > 0 && rounded === 0) return "<1%";
  return probability < 1 && rounded === 100 ? ">99%" : `${rounded}%`;
}

function item(candidate) {
  const name = element("span", "name", candidate.product_name);
  if (candidate.aisle) name.append(element("span", "aisle", candidate.aisle));
  const share = element("span", "share", percent(candidate.probability));
  const bar = element("span", "bar", element("i"));
  bar.setAttribute("aria-hidden", "true"); // the number says it
  bar.firstChild.style.width = `${Math.max(candidate.probability * 100, 0)}%`;
  return element("li", "", name, share, bar);
}

function items(candidates, className) {
  const list = element("ul", `items ${className}`, ...candidates.map(item));
  list.role = "list"; // Safari forgets lists without bullets
  return list;
}

export function skeleton() {
  return element("div", "skeleton", element("div"), element("div"), element("div"), element("div"));
}

export function notice(text, retry) {
  const made = element("div", "notice", text);
  made.role = "alert";
  if (retry) {
    const button = element("button", "plain", "Try again");
    button.type = "button";
    button.addEventListener("click", retry);
    made.append(button);
  }
  return made;
}

const count = (number, one, many) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export function aboutOrder(told) {
  const { order_number: number, order_hour_of_day: hour, days_since_prior_order: days } = told.order;
  const since = days === null ? "" : days === 0 ? ", on the day of the one before" : days >= 30 ? ", 30 days or more after the one before" : `, ${count(Math.round(days), "day", "days")} after the one before`;
  return `Order no. ${number}, placed at ${String(hour).padStart(2, "0")}:00${since}.`;
}

export function summary(told) {
  const products = count(told.basket.length, "product", "products");
  if (!told.basket.length) return `Predicted basket of customer ${told.user_id}: none of the products bought before.`;
  return `Predicted basket of customer ${told.user_id}: ${products}${told.none_predicted ? ", or none at all" : ""}.`;
}

export function basket(told) {
  const parts = [element("p", "aside", aboutOrder(told))];
  if (told.none_predicted) {
    const none = told.basket.length
      ? "It is also quite possible that nothing is bought again, so the prediction includes “none”."
      : told.candidates
        ? "Probably nothing is bought again: the best prediction is “none”."
        : "This customer has bought nothing before, so nothing can be bought again.";
    parts.push(element("p", "none-said", none));
  }
  if (told.basket.length) parts.push(items(told.basket, ""));
  const facts = element("p", "aside", `${count(told.basket.length, "product", "products")} of ${told.candidates.toLocaleString("en")} bought before · expected F1 ${told.expected_f1.toFixed(2)}`);
  parts.push(facts);
  if (told.others.length) {
    const left = told.candidates - told.basket.length - told.others.length;
    const which = left > 0 ? `the next ${told.others.length} by probability` : `the other ${count(told.others.length, "product", "products")}`;
    const more = element("details", "", element("summary", "", `Not predicted: ${which}`), items(told.others, "rest"));
    more.open = !told.basket.length;
    parts.push(more);
  }
  return parts;
}

function bought(product, again) {
  const line = element("li", again ? "again" : "", product.product_name);
  if (again) line.append(element("span", "quiet", " (predicted again)"));
  return line;
}

// The latest order is open to see, those before it on demand.
export function lastOrders(told) {
  const predicted = new Set(told.basket.map((one) => one.product_id));
  const orders = told.last_orders.map(({ order_number: number, products }, at) => {
    const list = element("ul", "", ...products.map((product) => bought(product, predicted.has(product.product_id))));
    list.role = "list";
    const order = element("details", "order", element("summary", "", `Order no. ${number} · ${count(products.length, "product", "products")}`), list);
    order.open = at === 0;
    return order;
  });
  if (!orders.length) return [element("p", "hint", "Nothing yet.")];
  const again = told.last_orders.some((order) => order.products.some((one) => predicted.has(one.product_id)));
  return again ? [...orders, element("p", "legend", element("span"), "predicted again")] : orders;
}

export function verdict({ probability, likely }, what = "") {
  const said = element("strong", "", likely ? "Likely to buy" : "Unlikely to buy");
  const number = element("span", "number", `${what}Probability ${probability.toFixed(4)}`);
  return element("div", `answer ${likely ? "likely" : ""}`, said, number);
}
