// The front page's slider: one photograph at every level of saturation, and what three networks make of it.

/**
 * @typedef {{ said: string, right: boolean, share: number, text: string, map: string }} Seen by one network
 * @typedef {{ level: string, words: string, shown: string, seen: Seen[], ways: string, spoken: string }} Frame
 */

const KEY = "saturation";

/**
 * @param {string} hash
 * @param {string[]} levels
 * @returns {number} the place of the level that an address names; -1 if it names none
 */
export function placeIn(hash, levels) {
  return levels.indexOf(new URLSearchParams(hash.replace(/^#/, "")).get(KEY) ?? "");
}

/**
 * @param {string} hash
 * @param {string} level
 * @returns {string} the address with this level; what else it holds stays
 */
export function addressOf(hash, level) {
  const held = new URLSearchParams(hash.includes("=") ? hash.replace(/^#/, "") : "");
  held.set(KEY, level);
  return `#${held}`;
}

/** @param {HTMLElement} root */
export function begin(root) {
  /** @param {string} name */
  const all = (name) => /** @type {HTMLElement[]} */ ([...root.querySelectorAll(`[data-hero="${name}"]`)]);
  /** @type {Frame[]} */
  const frames = JSON.parse(/** @type {string} */ (all("data")[0].textContent));
  const levels = frames.map(({ level }) => level);
  const slider = /** @type {HTMLInputElement} */ (all("slider")[0]);
  const columns = all("network");

  /**
   * @param {HTMLElement} column
   * @param {string} name
   */
  const part = (column, name) => /** @type {HTMLElement} */ (column.querySelector(`[data-part="${name}"]`));

  /** @param {number} place */
  function show(place) {
    const frame = frames[place];
    root.style.setProperty("--at", String(place));
    slider.value = String(place);
    slider.setAttribute("aria-valuetext", frame.words);
    for (const output of all("words")) output.textContent = frame.words;
    all("shown")[0].setAttribute("aria-label", frame.shown);
    columns.forEach((column, n) => {
      const seen = frame.seen[n];
      column.classList.toggle("wrong", !seen.right);
      part(column, "map").setAttribute("aria-label", seen.map);
      part(column, "said").innerHTML = seen.said;
      part(column, "share").style.width = `${100 * seen.share}%`;
      part(column, "text").textContent = seen.text;
    });
    all("ways")[0].textContent = frame.ways;
  }

  /** @param {number} place */
  function choose(place) {
    show(place);
    all("spoken")[0].textContent = frames[place].spoken;
    history.replaceState(null, "", addressOf(location.hash, levels[place]));
  }

  slider.addEventListener("input", () => choose(Number(slider.value)));
  for (const mark of all("mark")) mark.addEventListener("click", () => choose(Number(mark.dataset.place)));
  const arrive = () => {
    const place = placeIn(location.hash, levels);
    if (place >= 0) show(place);
  };
  window.addEventListener("hashchange", arrive);
  root.classList.add("ready");
  show(Number(slider.value));
  arrive();
}

if (typeof document !== "undefined") {
  for (const root of document.querySelectorAll('[data-hero="root"]')) begin(/** @type {HTMLElement} */ (root));
}
