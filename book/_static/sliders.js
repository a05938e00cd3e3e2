// The state of every slider is in the page's address, #saturation=inf&patches=4, so that it can be sent to somebody; and
// a screen reader hears a slider's name and its value in words. The controls are those of atlib/report/controls.py, which
// tell their keys and the names of their options in data-controls. What other scripts keep in the address stays.

(() => {
  const controls = []; // those that have been drawn: key, options' names, where it begins, node
  let waiting = Promise.resolve(); // one box after the other
  let arrived = false; // whether the page has been scrolled to the first control that the address names

  /** The place where a control stands; -1 while it is drawn anew. */
  function placeOf({ node }) {
    const handle = node.querySelector(".noUi-handle");
    if (handle) return Math.round(Number(handle.getAttribute("aria-valuenow")));
    return [...node.querySelectorAll("button")].findIndex((button) => button.classList.contains("mod-active"));
  }

  /** Moves a control as a reader would, in one go, and waits for the frame that it leads to. */
  async function move({ names, node }, place) {
    if (placeOf({ node }) === place) return;
    const box = node.closest(".atlib-all");
    const frame = box.querySelector("[data-frame]");
    const base = node.querySelector(".noUi-base");
    if (base) {
      const { left, width, top } = base.getBoundingClientRect();
      const at = { clientX: left + (width * place) / (names.length - 1), clientY: top + 1, bubbles: true };
      base.dispatchEvent(new MouseEvent("mousedown", { ...at, buttons: 1 }));
      document.documentElement.dispatchEvent(new MouseEvent("mouseup", at));
    } else {
      node.querySelectorAll("button")[place]?.click();
    }
    // the widgets fail if they are asked for a frame while they draw another
    for (let waited = 0; waited < 100 && box.querySelector("[data-frame]") === frame; waited++) await pause();
    await pause();
  }

  const pause = () => new Promise((done) => setTimeout(done, 20));

  /** What the address holds: key=value, joined by &. An anchor of a heading holds nothing. */
  const held = () => new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  /** Controls to where the address says; if `all`, those that it doesn't name to where they begin. */
  async function follow(some, all) {
    const said = held();
    for (const control of some) {
      if (!all && !said.has(control.key)) continue;
      const place = control.names.indexOf(said.get(control.key) ?? control.names[control.start]);
      if (place >= 0) await move(control, place); // a control stays if it has no such option
    }
  }

  /** The address to what the controls show. No entry is added to the history. */
  function write() {
    const said = held();
    for (const { key, names, start, node } of controls) {
      const place = placeOf({ node });
      if (place === start) said.delete(key);
      else if (place >= 0) said.set(key, names[place]);
    }
    const text = String(said);
    const hash = text ? `#${text}` : "";
    if (hash !== location.hash && (hash || location.hash.includes("="))) {
      history.replaceState(history.state, "", location.href.split("#")[0] + hash);
    }
  }

  /** Names and words for screen readers, which the widgets leave out. */
  function describe({ node }) {
    const set = (element, name, value) => {
      if (element.getAttribute(name) !== value) element.setAttribute(name, value);
    };
    const label = node.querySelector(".widget-label")?.textContent ?? "";
    const handle = node.querySelector(".noUi-handle");
    if (handle) {
      set(handle, "aria-label", label);
      set(handle, "aria-valuetext", node.querySelector(".widget-readout").textContent);
    } else {
      set(node, "role", "group");
      set(node, "aria-label", label);
      for (const button of node.querySelectorAll("button")) {
        set(button, "aria-pressed", String(button.classList.contains("mod-active")));
      }
    }
  }

  /** Takes up the controls of a box of widgets once all of it has been drawn. */
  function adopt(about) {
    const box = about.closest(".atlib-all");
    const found = JSON.parse(about.dataset.controls).map(([key, names, start]) => {
      return { key, names, start, node: box?.querySelector(`.atlib-key-${CSS.escape(key)}`) };
    });
    const drawn = ({ node }) => node?.querySelector(".noUi-handle, button");
    if (!found.every(drawn) || !box.querySelector(".atlib-reset") || !box.querySelector("[data-frame]")) return;
    about.removeAttribute("data-controls");
    box.querySelector(".atlib-reset").addEventListener("click", async () => {
      for (const control of found) await move(control, control.start);
    });
    for (const control of found) describe(control);
    const said = held();
    if (!arrived && found.some(({ key }) => said.has(key))) {
      arrived = true;
      box.scrollIntoView({ block: "start" });
    }
    waiting = waiting.then(async () => {
      for (let some = 0; some < 5; some++) await pause(); // until the widgets have told each other that they are shown
      await follow(found, false); // the others may have been moved by a quick reader
      controls.push(...found);
      for (const control of found) {
        describe(control);
        const changed = () => {
          describe(control);
          write();
        };
        const attributeFilter = ["class", "aria-valuenow", "aria-valuetext"];
        new MutationObserver(changed).observe(control.node, { subtree: true, childList: true, attributeFilter });
      }
      write();
    });
  }

  new MutationObserver(() => document.querySelectorAll(".atlib-about[data-controls]").forEach(adopt)).observe(
    document.documentElement,
    { childList: true, subtree: true },
  );
  // back, forward, or an address typed by hand; an anchor of a heading moves nothing
  addEventListener("hashchange", () => {
    if (location.hash.includes("=")) waiting = waiting.then(() => follow(controls, true));
  });
})();
