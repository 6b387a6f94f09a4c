// A text field with a list of what was found, by the ARIA pattern of an editable combobox with list autocomplete.

const PAUSE = 120; // milliseconds without a key before the server is asked

export class Combobox {
  // `search(text, signal)` gives the options [{value, text, note}] (and `none`, said if there is none); `choose(option)` takes one.
  constructor(input, list, { search, choose, none, failed }) {
    Object.assign(this, { input, list, search, choose, none, failed, options: [], at: -1, asked: null, timer: 0 });
    input.addEventListener("input", () => this.later());
    input.addEventListener("focus", () => input.select());
    input.addEventListener("click", () => this.closed && this.find());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take(Number(option.dataset.at));
    });
  }

  get closed() {
    return this.list.hidden;
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.find(), PAUSE);
  }

  async find() {
    clearTimeout(this.timer);
    this.asked?.abort();
    const asked = (this.asked = new AbortController());
    try {
      const options = await this.search(this.input.value.trim(), asked.signal);
      if (asked.signal.aborted) return;
      this.show(options);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.close();
      this.failed(error);
    }
  }

  show(options) {
    this.options = options;
    this.list.replaceChildren(
      ...options.map((option, at) => {
        const line = document.createElement("li");
        line.id = `${this.list.id}-${at}`;
        line.role = "option";
        line.dataset.at = at;
        line.setAttribute("aria-selected", "false");
        const text = document.createElement("span");
        text.textContent = option.text;
        const note = document.createElement("small");
        note.textContent = option.note ?? "";
        line.append(text, note);
        return line;
      }),
    );
    if (!options.length) {
      const nothing = document.createElement("li");
      nothing.className = "none";
      nothing.role = "option";
      nothing.setAttribute("aria-disabled", "true");
      nothing.setAttribute("aria-selected", "false");
      nothing.textContent = this.none(this.input.value.trim());
      this.list.append(nothing);
    }
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.mark(-1);
  }

  close() {
    clearTimeout(this.timer);
    this.asked?.abort();
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.mark(-1);
  }

  mark(at) {
    this.list.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    this.at = at;
    const line = at >= 0 ? this.list.children[at] : null;
    if (!line) return this.input.removeAttribute("aria-activedescendant");
    line.setAttribute("aria-selected", "true");
    line.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", line.id);
  }

  take(at) {
    const option = this.options[at];
    if (!option) return;
    this.input.value = option.text;
    this.close();
    this.choose(option);
  }

  async key(event) {
    const last = this.options.length - 1;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const down = event.key === "ArrowDown";
      if (this.closed) {
        await this.find();
        if (!this.closed && this.options.length) this.mark(down ? 0 : last);
      } else if (this.options.length) {
        this.mark(down ? (this.at < last ? this.at + 1 : 0) : this.at > 0 ? this.at - 1 : last);
      }
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (!this.closed && this.at >= 0) return this.take(this.at);
      await this.find(); // what was typed last may not have been looked for yet
      const typed = this.input.value.trim().toLowerCase();
      const exact = this.options.findIndex((option) => option.text.toLowerCase() === typed || String(option.value) === typed);
      if (exact >= 0 || this.options.length === 1) this.take(Math.max(exact, 0));
    } else if (event.key === "Escape" && !this.closed) {
      event.preventDefault();
      this.close();
    }
  }
}
