// What is done to pictures, as atlib.transforms does it. A picture is 3×32×32 values, plane after plane: bytes as a
// file has them, or single-precision numbers in [0, 1] as a network takes them.

export const SIDE = 32;
export const PIXELS = SIDE * SIDE;
export const VALUES = 3 * PIXELS;

/**
 * Bytes as numbers in [0, 1].
 * @param {Uint8Array} bytes
 * @returns {Float32Array}
 */
export function floats(bytes) {
  return Float32Array.from(bytes, (byte) => byte / 255);
}

/**
 * Numbers in [0, 1] as the nearest bytes, halves to even ones as torch rounds.
 * @param {Float32Array} values
 * @returns {Uint8Array}
 */
export function bytes(values) {
  return Uint8Array.from(values, (value) => roundEven(Math.fround(value * 255)));
}

/**
 * @param {number} value
 * @returns {number} the nearest whole number, of two as near ones the even
 */
export function roundEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/**
 * What saturation makes of each byte: v → sign(2v − 1)·|2v − 1|^(2/level)/2 + 1/2.
 * @param {number} level at least 0, or Infinity; 2 changes nothing
 * @returns {Float32Array} 256 values
 */
export function saturationTable(level) {
  const exponent = Math.fround(2 / level);
  const table = new Float32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const value = Math.fround(byte / 255);
    const centred = Math.fround(2 * value - 1);
    // 1 ** Infinity is NaN in JavaScript and 1 elsewhere
    const strength = Math.abs(centred) === 1 ? 1 : Math.fround(Math.abs(centred) ** exponent);
    table[byte] = level === 2 ? value : Math.fround(Math.sign(centred) * strength + 1) / 2;
  }
  return table;
}

/**
 * @param {Uint8Array} picture
 * @param {number} level
 * @returns {Float32Array}
 */
export function saturation(picture, level) {
  const table = saturationTable(level);
  return Float32Array.from(picture, (byte) => table[byte]);
}

/**
 * Cut into count×count patches and put together in another order: place i shows what was at order[i].
 * @template {Uint8Array | Float32Array} T
 * @param {T} picture
 * @param {number} count divides 32
 * @param {number[]} order of 0 … count² − 1
 * @returns {T}
 */
export function shuffle(picture, count, order) {
  const found = picture.slice();
  const size = SIDE / count;
  for (let plane = 0; plane < 3; plane++) {
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const from = order[Math.floor(y / size) * count + Math.floor(x / size)];
        const row = Math.floor(from / count) * size + (y % size);
        const column = (from % count) * size + (x % size);
        found[plane * PIXELS + y * SIDE + x] = picture[plane * PIXELS + row * SIDE + column];
      }
    }
  }
  return /** @type {T} */ (found);
}

const COS = Float64Array.from({ length: SIDE }, (_, i) => Math.cos((2 * Math.PI * i) / SIDE));
const SIN = Float64Array.from({ length: SIDE }, (_, i) => Math.sin((2 * Math.PI * i) / SIDE));

/**
 * The Fourier transform along the rows of a square that is then turned, so that twice makes both directions.
 * @param {Float64Array} real
 * @param {Float64Array} imaginary
 * @param {number} sign −1 forwards, 1 backwards
 * @returns {[Float64Array, Float64Array]}
 */
function transformRows(real, imaginary, sign) {
  const re = new Float64Array(PIXELS);
  const im = new Float64Array(PIXELS);
  for (let y = 0; y < SIDE; y++) {
    for (let k = 0; k < SIDE; k++) {
      let a = 0;
      let b = 0;
      for (let x = 0; x < SIDE; x++) {
        const angle = (k * x) % SIDE;
        const c = COS[angle];
        const s = sign * SIN[angle];
        a += real[y * SIDE + x] * c - imaginary[y * SIDE + x] * s;
        b += real[y * SIDE + x] * s + imaginary[y * SIDE + x] * c;
      }
      re[k * SIDE + y] = a;
      im[k * SIDE + y] = b;
    }
  }
  return [re, im];
}

/**
 * Keep the frequencies up to a cut-off in units of the Nyquist frequency, and always the mean; clamped to [0, 1].
 * @param {Float32Array} picture
 * @param {number} cutoff at least 0
 * @returns {Float32Array}
 */
export function lowPass(picture, cutoff) {
  const found = new Float32Array(VALUES);
  for (let plane = 0; plane < 3; plane++) {
    const values = Float64Array.from(picture.subarray(plane * PIXELS, (plane + 1) * PIXELS));
    let [re, im] = transformRows(...transformRows(values, new Float64Array(PIXELS), -1), -1);
    for (let y = 0; y < SIDE; y++) {
      for (let x = 0; x < SIDE; x++) {
        const distance = Math.hypot(Math.min(y, SIDE - y), Math.min(x, SIDE - x)) / (SIDE / 2);
        if (distance > cutoff && x + y > 0) re[y * SIDE + x] = im[y * SIDE + x] = 0;
      }
    }
    [re, im] = transformRows(...transformRows(re, im, 1), 1);
    for (let i = 0; i < PIXELS; i++) found[plane * PIXELS + i] = Math.min(1, Math.max(0, re[i] / PIXELS));
  }
  return found;
}
