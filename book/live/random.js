// Draws that are the same for the same seed in every browser. They aren't torch's.

/**
 * Uniform numbers in [0, 1) from a seed (mulberry32).
 * @param {number} seed a whole number
 * @returns {() => number}
 */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/**
 * Standard normal numbers (Box and Muller's transform).
 * @param {number} count
 * @param {number} seed
 * @returns {Float32Array}
 */
export function normals(count, seed) {
  const draw = uniform(seed);
  const found = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - draw()));
    const angle = 2 * Math.PI * draw();
    found[i] = radius * Math.cos(angle);
    if (i + 1 < count) found[i + 1] = radius * Math.sin(angle);
  }
  return found;
}

/**
 * An order of 0 … count − 1; for count > 1 never the one that changes nothing.
 * @param {number} count
 * @param {number} seed
 * @returns {number[]}
 */
export function order(count, seed) {
  const draw = uniform(seed);
  const found = Array.from({ length: count }, (_, i) => i);
  do {
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(draw() * (i + 1));
      [found[i], found[j]] = [found[j], found[i]];
    }
  } while (count > 1 && found.every((value, i) => value === i));
  return found;
}
