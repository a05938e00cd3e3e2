// From a decoded picture of any size to 32×32 bytes, as atlib.data.square does it: the short side is resized to 32 with
// Pillow's antialiased bilinear filter, in Pillow's own whole-number arithmetic, and the middle is cut out.

import { PIXELS, SIDE, VALUES, roundEven } from "./transforms.js";

const BITS = 22; // of Pillow's coefficients after the point
const LONGEST = 16; // times the short side: how much of a strip's long side is resized

/**
 * @typedef {{ first: number, weights: number[] }} Tap the source pixels of one result, and what each counts
 */

/**
 * The filter along one direction: results from `from` on, SIDE of them, of a source that is resized to `size`.
 * @param {number} length of the source
 * @param {number} size to which all of it would be resized
 * @param {number} from
 * @returns {Tap[]}
 */
export function taps(length, size, from) {
  const scale = length / size;
  const wide = Math.max(scale, 1); // the triangle covers at least a pixel of the source
  return Array.from({ length: SIDE }, (_, i) => {
    const middle = (from + i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(middle - wide + 0.5));
    const last = Math.min(length, Math.trunc(middle + wide + 0.5));
    const parts = [];
    for (let x = first; x < last; x++) {
      parts.push(Math.max(0, 1 - Math.abs((x - middle + 0.5) * (1 / wide))));
    }
    const whole = parts.reduce((sum, part) => sum + part, 0);
    return { first, weights: parts.map((part) => Math.trunc(0.5 + (part / whole) * 2 ** BITS)) };
  });
}

/**
 * Where the square lies: what is cut from a strip first, then the size that the rest is resized to, then the middle.
 * @param {number} width
 * @param {number} height
 */
export function geometry(width, height) {
  const short = Math.min(width, height);
  const limit = LONGEST * short;
  /** @param {number} length */
  const along = (length) => {
    const kept = length > limit ? limit + ((length - limit) % 2) : length;
    const strip = width > limit || height > limit ? Math.min(length, kept) : length;
    const size = short === SIDE ? strip : Math.max(SIDE, Math.trunc((SIDE * strip) / short));
    return { offset: roundEven((length - strip) / 2), length: strip, size, from: roundEven((size - SIDE) / 2) };
  };
  return { x: along(width), y: along(height) };
}

/**
 * A picture's square, read a band of rows at a time, so that a large one is never held twice.
 * @param {number} width
 * @param {number} height
 * @param {(x: number, y: number, width: number, height: number) => Uint8ClampedArray | Uint8Array} read RGBA of a part
 * @returns {Uint8Array} 3×32×32
 */
export function square(width, height, read) {
  const { x, y } = geometry(width, height);
  const across = taps(x.length, x.size, x.from);
  const down = taps(y.length, y.size, y.from);
  const left = across[0].first;
  const right = Math.max(...across.map((tap) => tap.first + tap.weights.length));
  const bottom = Math.max(...down.map((tap) => tap.first + tap.weights.length));
  const rows = bottom - down[0].first;
  const narrow = new Uint8Array(rows * 3 * SIDE); // resized across
  const band = Math.max(1, Math.floor(2 ** 20 / (right - left)));
  for (let start = 0; start < rows; start += band) {
    const count = Math.min(band, rows - start);
    const part = read(x.offset + left, y.offset + down[0].first + start, right - left, count);
    for (let row = 0; row < count; row++) {
      for (let i = 0; i < SIDE; i++) {
        const { first, weights } = across[i];
        for (let channel = 0; channel < 3; channel++) {
          let sum = 2 ** (BITS - 1);
          let place = (row * (right - left) + first - left) * 4 + channel;
          for (const weight of weights) {
            sum += part[place] * weight;
            place += 4;
          }
          narrow[((start + row) * 3 + channel) * SIDE + i] = clip(sum);
        }
      }
    }
  }
  const found = new Uint8Array(VALUES);
  for (let i = 0; i < SIDE; i++) {
    const { first, weights } = down[i];
    for (let channel = 0; channel < 3; channel++) {
      for (let column = 0; column < SIDE; column++) {
        let sum = 2 ** (BITS - 1);
        weights.forEach((weight, k) => {
          sum += narrow[((first - down[0].first + k) * 3 + channel) * SIDE + column] * weight;
        });
        found[channel * PIXELS + i * SIDE + column] = clip(sum);
      }
    }
  }
  return found;
}

/** @param {number} sum with BITS binary places */
function clip(sum) {
  return Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
}
