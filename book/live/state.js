// What the page shows, as it stands in its address: #picture=ship&do=saturation&level=1024

/**
 * @typedef {"nothing" | "saturation" | "patches" | "low-pass" | "attack"} Operation
 * @typedef {object} State
 * @property {string} picture the name of a known picture, or "own"
 * @property {Operation} operation
 * @property {number} level of saturation
 * @property {number} patches a side
 * @property {number} draw which order of the patches
 * @property {number} cutoff
 * @property {number} eps of 255
 */

/** @type {State} */
export const START = {
  picture: "ship",
  operation: "saturation",
  level: 1024,
  patches: 4,
  draw: 1,
  cutoff: 0.3,
  eps: 8,
};

/** @type {Operation[]} */
export const OPERATIONS = ["nothing", "saturation", "patches", "low-pass", "attack"];
export const COUNTS = [1, 2, 4, 8, 16, 32];
export const STEPS = 10;
const LEAST = 2 ** -10; // levels of saturation are 0, infinity, or between this and its inverse
export const MOST = { cutoff: 1.42, eps: 64, draw: 999 };

/** Which entries of the address an operation needs, with the values that are allowed. */
const ENTRIES = {
  nothing: {},
  saturation: {
    level: (/** @type {number} */ value) => value === 0 || value === Infinity || (value >= LEAST && value <= 1 / LEAST),
  },
  patches: {
    patches: (/** @type {number} */ value) => COUNTS.includes(value),
    draw: (/** @type {number} */ value) => Number.isInteger(value) && value >= 1 && value <= MOST.draw,
  },
  "low-pass": { cutoff: (/** @type {number} */ value) => value >= 0 && value <= MOST.cutoff },
  attack: { eps: (/** @type {number} */ value) => value >= 0 && value <= MOST.eps },
};

/**
 * @param {State} state
 * @returns {string} with its #
 */
export function address(state) {
  const parts = [`picture=${state.picture}`, `do=${state.operation}`];
  for (const name of Object.keys(ENTRIES[state.operation])) {
    const value = state[/** @type {"level"} */ (name)];
    parts.push(`${name}=${value === Infinity ? "inf" : Number(value.toPrecision(6))}`);
  }
  return `#${parts.join("&")}`;
}

/**
 * The state in an address; what is missing there, or impossible, is as at the start.
 * @param {string} hash
 * @param {string[]} pictures names of known pictures
 * @returns {State}
 */
export function read(hash, pictures) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...START };
  if (pictures.includes(given.get("picture") ?? "")) state.picture = /** @type {string} */ (given.get("picture"));
  const operation = /** @type {Operation} */ (given.get("do"));
  if (OPERATIONS.includes(operation)) state.operation = operation;
  for (const [name, allowed] of Object.entries(ENTRIES[state.operation])) {
    const text = given.get(name);
    const value = text === "inf" ? Infinity : Number(text?.trim() || NaN) + 0; // + 0: no −0
    if (allowed(value)) state[/** @type {"level"} */ (name)] = value;
  }
  return state;
}

/** Places of the slider for saturation: 0, then powers of two from 1/16 to 1024 by twentieths, then infinity. */
const [LOW, HIGH, PARTS] = [-4, 10, 20];
export const PLACES = (HIGH - LOW) * PARTS + 2;

/**
 * @param {number} place
 * @returns {number} the level there
 */
export function levelAt(place) {
  if (place <= 0) return 0;
  return place >= PLACES ? Infinity : 2 ** (LOW + (place - 1) / PARTS);
}

/**
 * @param {number} level
 * @returns {number} the nearest place
 */
export function placeOf(level) {
  if (level === 0 || level === Infinity) return level && PLACES;
  return Math.min(PLACES - 1, Math.max(1, Math.round((Math.log2(level) - LOW) * PARTS) + 1));
}
