// The page "Try it on a picture". Everything that takes time happens in the worker.

import { order } from "./random.js";
import { COUNTS, MOST, PLACES, STEPS, address, levelAt, placeOf, read } from "./state.js";
import { PIXELS, SIDE, bytes, floats, lowPass, saturation, shuffle } from "./transforms.js";
import { largest } from "./networks.js";
import { done, number, percent, question, share, verdict } from "./words.js";
import { load } from "./load.js";

/**
 * @typedef {import("./state.js").State} State
 * @typedef {{ name: string, label: string, pixels: Uint8Array }} Known
 * @typedef {{ pictures: Float32Array[], chances: number[][] }} Turn
 */

const PICTURES = 50e6; // pixels of the largest picture that is read: decoded, four bytes each
const READABLE = `The page reads JPEG, PNG, WebP and GIF of up to ${PICTURES / 1e6} million pixels.`;
const SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
];

/**
 * @param {string} name
 * @param {ParentNode} root
 * @returns {any}
 */
const find = (name, root = document) => root.querySelector(`[data-live="${name}"]`);

/**
 * Planes as a canvas shows them.
 * @param {HTMLCanvasElement} canvas
 * @param {ArrayLike<number>} values bytes: 3 planes, or 1 that is grey
 * @param {string} label what it shows
 */
function draw(canvas, values, label) {
  const image = new ImageData(SIDE, SIDE);
  const planes = values.length / PIXELS;
  for (let i = 0; i < PIXELS; i++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * i + channel] = values[(planes === 1 ? 0 : channel * PIXELS) + i];
    }
    image.data[4 * i + 3] = 255;
  }
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(image, 0, 0);
  canvas.setAttribute("aria-label", label);
}

/** Once the page has been drawn, or a moment later where nobody sees it. */
const drawn = () =>
  new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 100);
  });

/** @param {string} text base64 */
const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** @param {HTMLElement} root */
export function begin(root) {
  const given = { ...JSON.parse(find("data", root).textContent), .../** @type {any} */ (globalThis).atlibLive };
  /** @type {Known[]} */
  const known = given.pictures.map((/** @type {any} */ one) => ({ ...one, pixels: decoded(one.pixels) }));
  const names = known.map(({ name }) => name);
  /** @type {string[]} */
  const classes = given.classes;
  const cards = [...root.querySelectorAll("[data-network]")].map((card) => /** @type {HTMLElement} */ (card));
  const count = cards.length;

  /** The pictures that an address may name. */
  const reachable = () => (own ? [...names, "own"] : names);
  let state = read(location.hash, names);
  /** classes: what the networks say to it as it is; since: the first question about it
   * @type {{ pixels: Uint8Array, classes: number[] | null, since: number } | null} */
  let own = null;
  /** @type {Worker | null} */
  let worker = null;
  let asked = 0;
  let current = 0; // the question whose answer is shown; 0 while an attack runs
  let attacked = 0;
  let decoding = 0;
  /** @type {Turn[]} */
  let turns = [];
  let turn = 0;
  /** @type {boolean[] | null} */
  let guesses = null;
  /** @type {Map<number, { asked: number, probabilities?: number }>} */
  const times = new Map();
  /** For the tests: the last answers, and how long they took. */
  const seen = /** @type {any} */ ({ times, state: () => state, maps: null, chances: null });
  /** @type {any} */ (root).live = seen;

  // --- what is shown

  const original = () => (own && state.picture === "own" ? own.pixels : pictureOf(state.picture).pixels);
  const pictureOf = (/** @type {string} */ name) => known.find((one) => one.name === name) ?? known[0];
  const truth = () => (state.picture === "own" ? null : classes.indexOf(pictureOf(state.picture).label));
  const subject = () => (state.picture === "own" ? "your picture" : pictureOf(state.picture).label);

  /** The picture as the networks get it, but for an attack. */
  function changed() {
    const plain = original();
    switch (state.operation) {
      case "saturation":
        return saturation(plain, state.level);
      case "patches":
        return floats(state.patches > 1 ? shuffle(plain, state.patches, order(state.patches ** 2, state.draw)) : plain);
      case "low-pass":
        return lowPass(floats(plain), state.cutoff);
      default:
        return floats(plain);
    }
  }

  /** The class that is explained and attacked, of each network: the true one, or what it said to the plain picture. */
  function targets() {
    const label = truth();
    return label === null ? (own?.classes ?? cards.map(() => null)) : cards.map(() => label);
  }

  function showControls() {
    for (const input of root.querySelectorAll("input[name=live-picture]")) {
      const one = /** @type {HTMLInputElement} */ (input);
      one.checked = one.value === state.picture;
    }
    for (const input of root.querySelectorAll("input[name=live-operation]")) {
      const one = /** @type {HTMLInputElement} */ (input);
      one.checked = one.value === state.operation;
    }
    for (const box of root.querySelectorAll("[data-operation]")) {
      const one = /** @type {HTMLElement} */ (box);
      one.hidden = one.dataset.operation !== state.operation;
    }
    const own = find("own-choice", root);
    own.hidden = state.picture !== "own" && !own.dataset.there;
    set("level", placeOf(state.level), `${number(state.level)}`);
    set("patches", COUNTS.indexOf(state.patches), `${state.patches} × ${state.patches}`);
    set("cutoff", state.cutoff, number(state.cutoff));
    set("eps", state.eps, `${number(state.eps)}/255`);
  }

  /**
   * @param {string} name of a slider
   * @param {number} value
   * @param {string} text
   */
  function set(name, value, text) {
    const slider = find(name, root);
    if (document.activeElement !== slider || Number(slider.value) !== value) slider.value = String(value);
    slider.setAttribute("aria-valuetext", text);
    find(`${name}-text`, root).textContent = text;
  }

  function showPicture() {
    const what = subject();
    draw(find("original", root), original(), `${what}, as it is`);
    const shown = bytes(changed());
    const plain = state.operation === "nothing" || state.operation === "attack";
    draw(find("changed", root), shown, `${what}, ${plain ? "as it is" : done(state)}`);
    find("changed-box", root).hidden = plain;
    find("changed-text", root).textContent = done(state);
    find("question", root).textContent = question(state);
    find("no-evidence", root).hidden = state.picture !== "own";
    cards.forEach((card, n) => {
      find("share", card).textContent = share(given.networks[n].shares, state);
      find("attacked", card).hidden = state.operation !== "attack";
    });
    for (const label of root.querySelectorAll("[data-live=subject]")) label.textContent = what;
  }

  /**
   * @param {number[][]} chances
   */
  function showChances(chances) {
    const labels = targets();
    seen.chances = chances;
    cards.forEach((card, n) => {
      const best = largest(chances[n]);
      const top = chances[n].map((value, i) => ({ value, i })).sort((a, b) => b.value - a.value || a.i - b.i);
      const shown = top.slice(0, 3);
      const label = labels[n];
      if (label !== null && !shown.some(({ i }) => i === label))
        shown[2] = top.find(({ i }) => i === label) ?? shown[2];
      const list = find("chances", card);
      list.replaceChildren(
        ...shown.map(({ value, i }) => {
          const line = document.createElement("li");
          line.className = i === label ? "own" : i === best ? "other" : "";
          const bar = document.createElement("i");
          bar.style.width = `${100 * value}%`;
          const name = document.createElement("span");
          name.textContent = classes[i];
          const text = document.createElement("b");
          text.textContent = percent(value);
          line.append(name, text, bar);
          return line;
        }),
      );
      const mark = truth() === null ? "" : best === truth() ? " ✓" : " ✗";
      find("answer", card).textContent = `says ${classes[best]}${mark}`;
      card.classList.toggle("wrong", truth() !== null && best !== truth());
    });
  }

  /**
   * @param {{ maps: Float64Array[], done: number, classes: number[] }} told
   */
  function showMaps({ maps, done: samples, classes: labels }) {
    cards.forEach((card, n) => {
      const shown = Uint8Array.from(maps[n], (value) => Math.round(255 * value));
      draw(
        find("map", card),
        shown,
        `SmoothGrad map of the ${given.networks[n].title} network for ${classes[labels[n]]}, ${done(state)}`,
      );
      find("map-text", card).textContent = `map for “${classes[labels[n]]}”, ${samples} of ${given.samples} samples`;
    });
  }

  /** What came of the guess, as soon as the networks have answered: the reader may go on to another picture. */
  function judge() {
    if (guesses && truth() !== null) {
      const right = seen.chances.map((/** @type {number[]} */ one) => largest(one) === truth());
      find("verdict", root).textContent = verdict(guesses, right);
    }
    guesses = null;
  }

  /** What a screen reader hears once things have come to rest. */
  function tell() {
    const chances = seen.chances;
    if (!chances) return;
    const heard = cards.map((_, n) => {
      const best = largest(chances[n]);
      return `The ${given.networks[n].title} network says ${classes[best]}, ${percent(chances[n][best])}.`;
    });
    find("status", root).textContent = `${subject()}, ${done(state)}. ${heard.join(" ")}`;
  }

  // --- what is asked of the worker

  /** @param {object} message */
  const post = (message) => worker?.postMessage(message);

  /** Ask about what is shown: at once, and the attack only if a slider has been released. */
  function ask(released = true) {
    showPicture();
    if (!worker) return;
    if (state.operation === "attack") {
      if (released) attackNow();
      return;
    }
    post({ kind: "stop" }); // an attack that still runs
    const shown = changed();
    look(cards.map(() => shown));
  }

  /** @param {Float32Array[]} pictures */
  function look(pictures) {
    asked += 1;
    times.set(asked, { asked: performance.now() });
    current = asked;
    const plain = own && state.picture === "own" && !own.classes ? floats(own.pixels) : null;
    post({ kind: "ask", id: asked, pictures, plain, classes: targets(), samples: given.samples });
  }

  function attackNow() {
    const labels = targets();
    turns = [];
    current = 0;
    attacked += 1;
    seen.attack = { asked: performance.now() };
    seen.turns = null;
    post({
      kind: "attack",
      id: attacked,
      picture: floats(original()),
      classes: labels,
      eps: state.eps / 255,
      steps: STEPS,
    });
  }

  /** @param {number} at */
  function showTurn(at) {
    turn = Math.min(at, turns.length - 1);
    const { pictures, chances } = turns[turn];
    const plain = floats(original());
    const slider = find("turn", root);
    slider.max = String(Math.max(turns.length - 1, 1));
    slider.value = String(turn);
    slider.setAttribute("aria-valuetext", `step ${turn} of ${STEPS}`);
    find("turn-text", root).textContent = `${turn} of ${STEPS}`;
    cards.forEach((card, n) => {
      const title = given.networks[n].title;
      draw(
        find("attacked-picture", card),
        bytes(pictures[n]),
        `${subject()}, attacked: what the ${title} network is shown`,
      );
      // grey where nothing has changed; the whole budget is black or white
      const reach = Math.max(state.eps / 255, 1e-9);
      const change = Uint8Array.from(pictures[n], (value, i) =>
        Math.round(127.5 + (127.5 * (value - plain[i])) / reach),
      );
      draw(
        find("perturbation", card),
        change,
        `perturbation, ${title} network, after ${turn} steps; grey is no change`,
      );
    });
    showChances(chances);
  }

  /** @param {any} told */
  function hear(told) {
    if (told.kind === "probabilities" && told.ofPlain && own && told.id >= own.since) own.classes = told.classes;
    if (told.kind === "probabilities" && told.id === current) {
      const entry = times.get(told.id);
      if (entry) entry.probabilities = performance.now() - entry.asked;
      seen.logits = told.logits;
      showChances(told.chances);
      judge();
    }
    if (told.kind === "maps" && told.id === current) {
      const entry = /** @type {any} */ (times.get(told.id));
      if (entry) {
        entry.first ??= performance.now() - entry.asked;
        if (told.done >= 25) entry.quarter ??= performance.now() - entry.asked;
        if (told.done === given.samples) entry.all = performance.now() - entry.asked;
      }
      showMaps(told);
      if (told.sums) {
        seen.maps = told.sums;
        seen.complete = told.id;
        tell();
      }
    }
    if (told.kind === "step" && told.id === attacked && state.operation === "attack") {
      turns.push({ pictures: told.pictures, chances: told.chances });
      showTurn(told.turn);
      if (told.turn === told.steps) {
        seen.attack.took = performance.now() - seen.attack.asked;
        seen.turns = turns;
        look(told.pictures);
      }
    }
    if (told.kind === "picture" && told.id === decoding) took(told);
    if (told.kind === "failed") complain(`The networks stopped: ${told.message}`);
  }

  /** @param {string} line */
  function complain(line) {
    find("trouble", root).textContent = line;
  }

  // --- controls

  /**
   * @param {Partial<State>} change
   * @param {boolean} released
   */
  function go(change, released = true) {
    state = { ...state, ...change };
    guesses = null; // they were about what was shown before
    find("verdict", root).textContent = "";
    complain("");
    showControls();
    ask(released);
    if (released) history.replaceState(null, "", address(state));
  }

  /** @type {Record<string, (value: number) => Partial<State>>} */
  const sliders = {
    level: (value) => ({ level: levelAt(value) }),
    patches: (value) => ({ patches: COUNTS[value] }),
    cutoff: (value) => ({ cutoff: value }),
    eps: (value) => ({ eps: value }),
  };
  for (const [name, change] of Object.entries(sliders)) {
    const slider = find(name, root);
    const most = { level: PLACES, patches: COUNTS.length - 1, cutoff: MOST.cutoff, eps: MOST.eps }[name];
    slider.max = String(most);
    slider.addEventListener("input", () => go(change(Number(slider.value)), false));
    slider.addEventListener("change", () => {
      history.replaceState(null, "", address(state));
      if (state.operation === "attack") ask();
    });
  }
  for (const input of root.querySelectorAll("input[name=live-operation]")) {
    input.addEventListener("change", () => go({ operation: /** @type {any} */ (input).value }));
  }
  for (const input of root.querySelectorAll("input[name=live-picture]")) {
    input.addEventListener("change", () => go({ picture: /** @type {any} */ (input).value }));
  }
  find("draw", root).addEventListener("click", () => go({ draw: (state.draw % MOST.draw) + 1 }));
  find("turn", root).addEventListener("input", (/** @type {any} */ event) => {
    if (!turns.length) return;
    showTurn(Number(event.target.value));
    look(turns[turn].pictures);
  });
  find("file", root).addEventListener("change", (/** @type {any} */ event) => {
    if (event.target.files[0]) open(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  const drop = find("drop", root);
  for (const kind of ["dragover", "dragenter"]) {
    root.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  root.addEventListener("dragleave", () => drop.classList.remove("over"));
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const file = /** @type {DragEvent} */ (event).dataTransfer?.files[0];
    if (file) open(file);
  });
  addEventListener("hashchange", () => {
    // an anchor of a heading changes nothing
    if (location.hash.includes("=") && location.hash !== address(state)) go(read(location.hash, reachable()));
  });

  // --- a reader's own picture

  /** @param {File} file */
  async function open(file) {
    if (!worker) return;
    complain("");
    decoding += 1;
    const mine = decoding;
    const trouble = await unreadable(file);
    if (mine !== decoding) return;
    if (trouble) complain(`${file.name}: ${trouble}`);
    else {
      seen.file = file.name;
      post({ kind: "decode", id: mine, file });
    }
  }

  /** @param {{ picture: Uint8Array | null, message: string, width: number, height: number, altered: boolean }} told */
  function took({ picture, message, width, height, altered }) {
    if (!picture) {
      complain(`${seen.file}: this browser could not decode it (${message}). ${READABLE}`);
      return;
    }
    own = { pixels: picture, classes: null, since: asked + 1 };
    seen.own = picture;
    const choice = find("own-choice", root);
    choice.dataset.there = "yes";
    find("own-text", root).textContent = `yours, from ${width}×${height}`;
    // the networks' answers to the picture as it is come first: they are the classes that maps and attacks are for
    go({ picture: "own", operation: "nothing" });
    if (altered)
      complain(
        "To prevent fingerprinting, this browser adds noise to the pixels that a page reads. The networks see the altered picture.",
      );
  }

  // --- the guess, and the first answer

  const form = find("guess", root);
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    const answers = new FormData(form);
    const all = cards.map((_, n) => answers.get(`live-guess-${n}`));
    guesses = all.every(Boolean) ? all.map((text) => text === "yes") : null;
    find("go", root).disabled = true;
    const bar = find("progress", root);
    bar.hidden = false;
    try {
      worker = await load(given, (share) => {
        bar.value = share;
      });
    } catch (error) {
      find("go", root).disabled = false;
      bar.hidden = true;
      complain(
        `The networks could not be loaded: ${error instanceof Error ? error.message : error}. The sliders in Methods work without them.`,
      );
      return;
    }
    worker.onmessage = ({ data }) => hear(data);
    worker.onerror = ({ message }) => complain(`The networks stopped: ${message}`);
    // Piece by piece: each has to be laid out, while the browser still compiles what the networks run on.
    form.hidden = true;
    await drawn();
    find("controls", root).hidden = false;
    await drawn();
    find("bench", root).hidden = false;
    await drawn();
    find("results", root).focus();
    await drawn();
    ask();
  });

  const size = Object.values(given.files).reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one, 0);
  find("size", root).textContent = String(Math.round(size / 1e6));
  showControls();
  showPicture();
  if (!globalThis.WebAssembly?.validate?.(Uint8Array.from(SIMD))) {
    form.hidden = true;
    find("no-simd", root).hidden = false;
  }
  root.classList.add("ready");
}

/**
 * Why a file can't be taken, or "" if it looks like a picture. Its size is known before it is decoded.
 * @param {File} file
 * @returns {Promise<string>}
 */
function unreadable(file) {
  const address = URL.createObjectURL(file);
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => {
      URL.revokeObjectURL(address);
      const size = image.naturalWidth * image.naturalHeight;
      resolve(
        size > PICTURES
          ? `${image.naturalWidth}×${image.naturalHeight} pixels are too many. ${READABLE}`
          : "",
      );
    };
    image.onerror = () => {
      URL.revokeObjectURL(address);
      resolve(`not a picture that this browser can read. ${READABLE}`);
    };
    image.src = address;
  });
}

for (const root of document.querySelectorAll("[data-live=root]")) begin(/** @type {HTMLElement} */ (root));
