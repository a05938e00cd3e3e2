// Three photographs, one distortion at a time, and what three networks make of them. The sprites of a photograph under a
// distortion are loaded when they are asked for; words and pictures change together once they are there.

/**
 * @typedef {{ slug: string, words: string, alt: string, shares: number[], ways: string }} Level
 * @typedef {{ name: string, title: string, first: number, marks: [number, string][], levels: Level[] }} Distortion
 * @typedef {[said: string, right: boolean, chance: string]} Answer
 * @typedef {{ folder: string, networks: string[], pictures: { number: number, name: string }[],
 * distortions: Distortion[], answers: Record<string, Answer[][]> }} Told
 * @typedef {{ photo: number, distortion: number, level: number }} Place
 */

const KEYS = ["photo", "distortion", "level"];

/**
 * @param {string} hash
 * @param {Told} told
 * @param {Place} begin where it stands if the address doesn't say
 * @returns {Place | undefined} where an address leads; nowhere if it names none of the keys, or something unknown
 */
export function placeIn(hash, told, begin) {
  const held = new URLSearchParams(hash.replace(/^#/, ""));
  if (!KEYS.some((key) => held.has(key))) return undefined;
  /**
   * @param {string} key
   * @param {string[]} names
   * @param {number} otherwise
   */
  const find = (key, names, otherwise) => (held.has(key) ? names.indexOf(held.get(key) ?? "") : otherwise);
  const photo = find("photo", told.pictures.map(({ name }) => name), begin.photo);
  const distortion = find("distortion", told.distortions.map(({ name }) => name), begin.distortion);
  if (photo < 0 || distortion < 0) return undefined;
  const { levels, first } = told.distortions[distortion];
  const level = find("level", levels.map(({ slug }) => slug), first);
  return level < 0 ? undefined : { photo, distortion, level };
}

/**
 * @param {string} hash
 * @param {Told} told
 * @param {Place} place
 * @returns {string} the address with this place; what else it holds stays
 */
export function addressOf(hash, told, { photo, distortion, level }) {
  const held = new URLSearchParams(hash.includes("=") ? hash.replace(/^#/, "") : "");
  held.set("photo", told.pictures[photo].name);
  held.set("distortion", told.distortions[distortion].name);
  held.set("level", told.distortions[distortion].levels[level].slug);
  return `#${held}`;
}

/**
 * @param {number} share
 * @returns {string} a share in whole per cent that isn't torn apart at the end of a line
 */
export const percent = (share) => (share < 0.005 ? "<1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);

/** @param {HTMLElement} root */
export function begin(root) {
  /** @param {string} name */
  const all = (name) => /** @type {HTMLElement[]} */ ([...root.querySelectorAll(`[data-explorer="${name}"]`)]);
  /** @type {Told} */
  const told = JSON.parse(/** @type {string} */ (all("data")[0].textContent));
  const slider = /** @type {HTMLInputElement} */ (all("slider")[0]);
  const shown = /** @type {HTMLImageElement} */ (all("shown")[0]);
  const columns = all("network");
  /** @param {string} name */
  const options = (name) => /** @type {HTMLInputElement[]} */ ([...root.querySelectorAll(`[name="explorer-${name}"]`)]);
  const [photos, distortions] = [options("photo"), options("distortion")];
  /**
   * @param {string} name
   * @returns {string} a sprite's address; JupyterLab puts another folder in the place of ours, soon after this script has
   * begun: the picture on show tells which
   */
  const addressOfSprite = (name) => shown.src.replace(/[^/?]*\.webp/, name);
  const start = { photo: 0, distortion: distortions.findIndex((one) => one.defaultChecked), level: Number(slider.defaultValue) };
  const kept = told.distortions.map(({ first }) => first); // where each distortion's slider stands
  let place = start;
  let asked = 0;
  /** @type {Map<string, Promise<unknown>>} */
  const loaded = new Map();

  /**
   * @param {string} name
   * @returns {Promise<unknown>} when a sprite can be drawn at once
   */
  function ready(name) {
    const found = loaded.get(name);
    if (found) return found;
    const image = new Image();
    image.src = addressOfSprite(name);
    const waiting = image.decode().then(() => image); // kept, so that it isn't decoded again
    waiting.catch(() => loaded.delete(name));
    loaded.set(name, waiting);
    return waiting;
  }

  /**
   * @param {HTMLElement} column
   * @param {string} name
   */
  const part = (column, name) => /** @type {HTMLElement} */ (column.querySelector(`[data-part="${name}"]`));

  /** Controls follow at once, words and pictures when the sprites are there.
   * @param {Place} next
   */
  async function show(next) {
    const turn = ++asked;
    place = next;
    kept[next.distortion] = next.level;
    control();
    const name = `${told.pictures[next.photo].number}-${told.distortions[next.distortion].name}`;
    try {
      await Promise.all([ready(`${name}-shown.webp`), ready(`${name}-maps.webp`)]);
    } catch {
      if (turn === asked) fault(`The pictures could not be loaded: ${addressOfSprite(`${name}-shown.webp`)}`);
      return false;
    }
    if (turn !== asked) return false; // the reader has moved on
    fault("");
    draw(name);
    return true;
  }

  /** @param {string} text */
  function fault(text) {
    const line = all("fault")[0];
    line.hidden = !text;
    line.textContent = text;
  }

  function control() {
    const { title, levels, marks } = told.distortions[place.distortion];
    photos[place.photo].checked = true;
    distortions[place.distortion].checked = true;
    slider.max = String(levels.length - 1);
    slider.value = String(place.level);
    slider.setAttribute("aria-valuetext", levels[place.level].words);
    for (const one of all("title")) if (one.tagName === "LABEL") one.textContent = title;
    for (const one of all("words")) if (one.tagName === "OUTPUT") one.textContent = levels[place.level].words;
    const row = all("marks")[0];
    if (row.dataset.of === title) return;
    row.dataset.of = title;
    row.replaceChildren(
      ...marks.map(([level, text]) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = text;
        button.style.setProperty("--place", String(level / (levels.length - 1)));
        button.addEventListener("click", () => choose({ level }));
        return button;
      }),
    );
  }

  /** @param {string} name */
  function draw(name) {
    const { title, levels } = told.distortions[place.distortion];
    const [level, picture] = [levels[place.level], told.pictures[place.photo]];
    root.style.setProperty("--levels", String(levels.length));
    root.style.setProperty("--at", String(place.level));
    for (const one of all("title")) one.textContent = title;
    for (const one of all("words")) one.textContent = level.words;
    all("name")[0].textContent = picture.name[0].toUpperCase() + picture.name.slice(1);
    /**
     * @param {HTMLElement} image
     * @param {string} kind
     * @param {string} alt
     */
    const put = (image, kind, alt) => {
      const address = addressOfSprite(`${name}-${kind}.webp`);
      image.setAttribute("alt", alt);
      if (/** @type {HTMLImageElement} */ (image).src !== address) image.setAttribute("src", address);
    };
    put(shown, "shown", `${picture.name}, ${level.alt}`);
    columns.forEach((column, n) => {
      const [said, right, chance] = told.answers[name][place.level][n];
      column.classList.toggle("wrong", !right);
      put(part(column, "map"), "maps", `SmoothGrad map (${told.networks[n]}), ${level.alt}`);
      const answer = document.createElement("b");
      answer.textContent = said;
      part(column, "said").replaceChildren(right ? "✓ " : "✗ ", answer, ` ${chance}`);
      part(column, "share").style.width = `${100 * level.shares[n]}%`;
      part(column, "text").textContent = `recognises ${percent(level.shares[n])} of all test pictures`;
    });
    all("ways")[0].textContent = level.ways;
    root.dataset.shown = `${name}@${level.slug}`;
  }

  /** @param {Partial<Place>} change */
  async function choose(change) {
    await go({ ...place, ...change });
  }

  /** @param {Place} next */
  async function go(next) {
    const showing = show(next);
    history.replaceState(history.state, "", addressOf(location.hash, told, next));
    if (!(await showing)) return;
    const answers = told.answers[(root.dataset.shown ?? "").split("@")[0]][next.level];
    const spoken = answers.map(([said, right], n) => `${told.networks[n]}: ${said}, ${right ? "right" : "wrong"}`);
    all("spoken")[0].textContent = spoken.join("; ");
  }

  slider.addEventListener("input", () => choose({ level: Number(slider.value) }));
  photos.forEach((one, photo) => one.addEventListener("change", () => choose({ photo })));
  distortions.forEach((one, distortion) =>
    one.addEventListener("change", () => choose({ distortion, level: kept[distortion] })),
  );
  all("reset")[0].addEventListener("click", () => {
    kept.splice(0, kept.length, ...told.distortions.map(({ first }) => first));
    go(start);
  });
  const arrive = () => {
    const found = placeIn(location.hash, told, start);
    if (found) show(found);
    return found;
  };
  window.addEventListener("hashchange", arrive);
  root.classList.add("ready");
  control();
  if (arrive()) root.scrollIntoView({ block: "start" });
}

if (typeof document !== "undefined") {
  for (const root of document.querySelectorAll('[data-explorer="root"]')) begin(/** @type {HTMLElement} */ (root));
}
