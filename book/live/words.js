// The page's sentences that depend on what is shown.

/**
 * @typedef {import("./state.js").State} State
 * @typedef {Record<string, Record<string, number>>} Shares of test pictures, by distortion and level
 */

/**
 * @param {number} value a probability or share
 * @returns {string} as people read it
 */
export function percent(value) {
  if (value > 0 && value < 0.005) return "<1\u00a0%";
  return value > 0.995 && value < 1 ? ">99\u00a0%" : `${Math.round(100 * value)}\u00a0%`;
}

/**
 * @param {number} level
 * @returns {string}
 */
export function number(level) {
  return level === Infinity
    ? "∞"
    : String(Number(level.toPrecision(Math.max(level < 1 ? 2 : 3, Math.floor(Math.log10(level || 1)) + 1))));
}

/**
 * What has been done to the picture.
 * @param {State} state
 * @returns {string}
 */
export function done(state) {
  switch (state.operation) {
    case "saturation":
      return state.level === 2 ? "saturation 2, which changes nothing" : `saturation ${number(state.level)}`;
    case "patches":
      return state.patches === 1
        ? "one patch, which changes nothing"
        : `${state.patches}×${state.patches} patches, shuffled`;
    case "low-pass":
      return `low-pass filter, cut-off ${number(state.cutoff)}`;
    case "attack":
      return `attack, up to ${number(state.eps)}/255 per colour value`;
    default:
      return "as it is";
  }
}

/**
 * The question before the first answer.
 * @param {State} state
 * @returns {string}
 */
export function question(state) {
  /** @type {Record<string, string>} */
  const how = {
    nothing: "this picture",
    saturation: "this picture when it is saturated",
    patches: "this picture when it is cut into patches and shuffled",
    "low-pass": "this picture without its fine detail",
    attack: "this picture after an attack on that network",
  };
  return `What will each network call ${how[state.operation]}?`;
}

/**
 * The share of test pictures that a network recognises at this level, or at the measured ones around it.
 * @param {Shares} shares
 * @param {State} state
 * @returns {string}
 */
export function share(shares, state) {
  const clean = shares.clean[""];
  /** @type {Record<string, [string, number]>} */
  const places = {
    saturation: ["saturation", state.level],
    patches: ["patch-shuffle", state.patches],
    "low-pass": ["low-pass", state.cutoff],
    attack: ["pgd-linf", state.eps],
  };
  const whole = state.operation === "low-pass" && state.cutoff ** 2 >= 2; // no frequency of a picture lies above √2
  const [name, level] = (!whole && places[state.operation]) || ["clean", 0];
  const known = Object.entries({ ...shares[name] }).map(([at, value]) => ({
    at: at === "inf" ? Infinity : Number(at),
    value,
  }));
  if (name === "clean") return `It recognises ${percent(clean)} of the test pictures as they are.`;
  if (name === "pgd-linf") {
    const measured = known.map(({ at, value }) => `${percent(value)} after an attack of 40 steps at ${at}/255`);
    return `It recognises ${percent(clean)} of the test pictures as they are, ${measured.join(", ")}.`;
  }
  const exact = known.find(({ at }) => at === level || Math.abs(at - level) < 1e-6 * level);
  if (exact) return `It recognises ${percent(exact.value)} of the test pictures at this level.`;
  const below = known.filter(({ at }) => at < level).sort((a, b) => b.at - a.at)[0];
  const above = known.filter(({ at }) => at > level).sort((a, b) => a.at - b.at)[0];
  const place = (/** @type {string} */ at) =>
    ({ saturation: `at level ${at}`, "patch-shuffle": `in ${at}×${at} patches`, "low-pass": `at cut-off ${at}` })[name];
  const [first, second] = [below, above].filter(Boolean);
  const start = `It recognises ${percent(first.value)} of the test pictures ${place(number(first.at))}`;
  if (!second) return `${start}, the nearest that was measured.`;
  return `${start} and ${percent(second.value)} ${place(number(second.at))}; nothing was measured in between.`;
}

/**
 * What came of the guess, and that it is an anecdote; the same number of networks as of guesses, two.
 * @param {boolean[]} guesses whether each network was expected to recognise the picture
 * @param {boolean[]} right whether it did
 * @returns {string}
 */
export function verdict(guesses, right) {
  const hits = guesses.filter((guess, i) => guess === right[i]).length;
  const told = ["Neither answer is what you guessed.", "You guessed one of the two answers.", "You guessed both answers."];
  return `${told[hits]} This is one picture; what counts is the share of 10,000 below each answer.`;
}
