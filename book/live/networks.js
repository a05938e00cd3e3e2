// What is made of a network's logits and gradients, as atlib.attacks and atlib.saliency do it. A network's gradient is
// that of the log-odds against a class: it keeps its digits where the network is certain.

import { PIXELS, VALUES } from "./transforms.js";

/**
 * @param {ArrayLike<number>} logits
 * @returns {number[]} probabilities
 */
export function softmax(logits) {
  const values = Array.from(logits);
  const top = Math.max(...values);
  const parts = values.map((value) => Math.exp(value - top));
  const whole = parts.reduce((sum, part) => sum + part, 0);
  return parts.map((part) => part / whole);
}

/**
 * @param {ArrayLike<number>} values
 * @returns {number} the place of the largest
 */
export function largest(values) {
  return Array.from(values).reduce((best, value, i, all) => (value > all[best] ? i : best), 0);
}

/**
 * logsumexp of the other logits less the class's own.
 * @param {ArrayLike<number>} logits
 * @param {number} label
 * @returns {number}
 */
export function logOdds(logits, label) {
  const others = Array.from(logits).filter((_, i) => i !== label);
  const top = Math.max(...others);
  return top + Math.log(others.reduce((sum, value) => sum + Math.exp(value - top), 0)) - logits[label];
}

/**
 * From the gradient of the log-odds to that of log p: the factor between them.
 * @param {ArrayLike<number>} logits
 * @param {number} label
 * @returns {number} in [−1, 0]
 */
export function factor(logits, label) {
  return -1 / (1 + Math.exp(-logOdds(logits, label)));
}

/**
 * A noisy copy for SmoothGrad; not clipped.
 * @param {Float32Array} picture
 * @param {Float32Array} noise standard normal, as many values
 * @param {number} sigma as a share of the picture's own range
 * @returns {Float32Array}
 */
export function noisy(picture, noise, sigma = 0.1) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of picture) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const scale = Math.fround(Math.fround(high - low) * Math.fround(sigma));
  return picture.map((value, i) => value + Math.fround(scale * noise[i]));
}

/**
 * A signed map as it is drawn: absolute value, summed over the channels, clipped at a percentile; in [0, 1].
 * @param {ArrayLike<number>} map 3×32×32
 * @param {number} percentile as a fraction
 * @returns {Float64Array} 32×32
 */
export function drawn(map, percentile = 0.99) {
  let most = 0;
  for (let i = 0; i < VALUES; i++) most = Math.max(most, Math.abs(map[i]));
  const strength = new Float64Array(PIXELS);
  if (most === 0) return strength;
  for (let i = 0; i < VALUES; i++) strength[i % PIXELS] += Math.abs(map[i]) / most;
  const sorted = strength.slice().sort();
  const place = percentile * (PIXELS - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, PIXELS - 1);
  let top = sorted[below] + (place - below) * (sorted[above] - sorted[below]);
  // where fewer pixels than the percentile leaves out have any strength at all, they are drawn full
  if (top === 0) top = /** @type {number} */ (sorted.find((value) => value > 0));
  return strength.map((value) => Math.min(1, value / top));
}

/**
 * One step of PGD in the maximum norm: uphill along the sign, then back into the ball and into [0, 1].
 * @param {Float32Array} picture
 * @param {ArrayLike<number>} gradient of the log-odds
 * @param {Float32Array} centre
 * @param {number} eps in [0, 1]
 * @param {number} size of the step
 * @returns {Float32Array}
 */
export function step(picture, gradient, centre, eps, size) {
  const [radius, length] = [Math.fround(eps), Math.fround(size)];
  return picture.map((value, i) => {
    const moved = Math.fround(value + length * Math.sign(gradient[i]));
    const low = Math.fround(centre[i] - radius);
    const high = Math.fround(centre[i] + radius);
    return Math.min(1, Math.max(0, Math.min(Math.max(moved, low), high)));
  });
}
