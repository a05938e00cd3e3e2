// The worker: decodes pictures, runs the networks and never blocks the page. It is given the runtime and the networks by
// their bytes, or by addresses to fetch them from.

import { square } from "./crop.js";
import { drawn, factor, largest, noisy, softmax, step } from "./networks.js";
import { normals } from "./random.js";
import { SIDE, VALUES } from "./transforms.js";

/**
 * A question to the networks: what each makes of its own picture; and a map of a class. If that is null, it is the one
 * that the network says to `plain`; without that, to its picture.
 * @typedef {{ id: number, pictures: Float32Array[], plain: Float32Array | null, classes: (number | null)[],
 * samples: number }} Question
 * @typedef {{ id: number, picture: Float32Array, classes: (number | null)[], eps: number, steps: number }} Attack
 * @typedef {{ logits: Float32Array, gradient: Float32Array }} Run
 */

export const SAMPLES = 100;
const CHUNK = 2; // noisy copies in one pass: two networks' passes stay below the 30 ms between two drawings of a map
const REDRAW = 30; // milliseconds
const CLASSES = 10;
const WARM = 3; // passes of each network before the first answer
const PAUSE = 20; // milliseconds of a timer that is watched
const LATE = 4; // milliseconds by which a timer is late on a busy core
const CALM = 25; // timers in a row that were on time: nothing else is running
const PATIENCE = 1500; // milliseconds

const self_ = /** @type {any} */ (globalThis);
/** @type {any[]} */
let sessions = [];
/** @type {Float32Array} */
let noise = new Float32Array(0);
/** @type {Question | null} */
let waiting = null;
/** @type {Attack | null} */
let attack = null;
let stopped = false; // whether the reader has gone on from the attack
let busy = false;

/**
 * @param {string} kind
 * @param {object} content
 */
function say(kind, content) {
  self_.postMessage({ kind, ...content });
}

/** Let messages come in between two passes. */
const channel = new MessageChannel();
/** @type {(() => void)[]} */
const resting = [];
channel.port1.onmessage = () => resting.shift()?.();
const rest = () =>
  new Promise((resolve) => {
    resting.push(() => resolve(undefined));
    channel.port2.postMessage(0);
  });

const TOLD = 50; // milliseconds between two lines on how much has been fetched

/**
 * The bytes of each file, which may have to be fetched; says how many of all have come.
 * @param {(string | Uint8Array)[]} files
 * @returns {Promise<Uint8Array[]>}
 */
async function contents(files) {
  let bytes = 0;
  let told = -Infinity;
  return Promise.all(
    files.map(async (file) => {
      if (typeof file !== "string") return file;
      const response = await fetch(file).catch((error) => {
        throw new Error(`${file}: ${error.message}`);
      });
      if (!response.ok || !response.body) throw new Error(`${file}: ${response.status}`);
      const parts = [];
      for (const reader = response.body.getReader(); ;) {
        const { done, value } = await reader.read();
        if (done) break;
        parts.push(value);
        bytes += value.length;
        if (performance.now() - told > TOLD) {
          told = performance.now();
          say("fetched", { bytes });
        }
      }
      return new Uint8Array(await new Blob(parts).arrayBuffer());
    }),
  );
}

/**
 * runtime: onnxruntime-web's address, if it isn't part of this script; module: the address of its second half, or its
 * text; wasm, networks: what it is made of and ONNX files, or their addresses.
 * @param {import("./load.js").Start} given
 */
async function start({ runtime, wasm: engine, module, networks: files }) {
  const [wasm, ...networks] = await contents([engine, ...files]);
  if (runtime) self_.importScripts(runtime);
  const ort = self_.ort;
  ort.env.logLevel = "error";
  ort.env.wasm.numThreads = 1; // more need headers that a file has not
  ort.env.wasm.wasmBinary = wasm;
  ort.env.wasm.wasmPaths = { mjs: typeof module === "string" ? module : URL.createObjectURL(module) };
  for (const content of networks) {
    sessions.push(await ort.InferenceSession.create(content, { executionProviders: ["wasm"] }));
  }
  ort.env.wasm.wasmBinary = undefined;
  noise = normals(SAMPLES * VALUES, 1);
  // The browser compiles the runtime's loops twice, the second time better and only once they have run for a while.
  for (let turn = 0; turn < WARM; turn++) {
    for (let n = 0; n < sessions.length; n++) await pass(n, [new Float32Array(VALUES)], 0);
  }
  await calm();
  say("ready", {});
}

/**
 * Wait until the browser has compiled what it compiles beside us. On one core its threads would hold up the page, which
 * is laid out anew once the networks are ready: a task of 5 ms then took up to 200.
 */
async function calm() {
  const began = performance.now();
  for (let onTime = 0; onTime < CALM && performance.now() - began < PATIENCE;) {
    const asked = performance.now();
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    onTime = performance.now() - asked - PAUSE < LATE ? onTime + 1 : 0;
  }
}

/**
 * @param {number} network
 * @param {Float32Array[]} pictures
 * @param {number} label
 * @returns {Promise<Run>}
 */
async function pass(network, pictures, label) {
  const { Tensor } = self_.ort;
  const images = new Float32Array(pictures.length * VALUES);
  const target = new Float32Array(pictures.length * CLASSES);
  pictures.forEach((picture, i) => {
    images.set(picture, i * VALUES);
    target[i * CLASSES + label] = 1;
  });
  const given = {
    images: new Tensor("float32", images, [pictures.length, 3, SIDE, SIDE]),
    target: new Tensor("float32", target, [pictures.length, CLASSES]),
  };
  const { logits, gradient } = await sessions[network].run(given);
  return { logits: logits.data, gradient: gradient.data };
}

/**
 * Probabilities at once, then the maps, both networks' samples in turn. A newer question ends this one, but not before
 * it has drawn a first map: else nothing would be drawn while a slider is dragged.
 * @param {Question} question
 */
async function answer(question) {
  const { id, pictures, plain, samples } = question;
  const began = performance.now();
  const runs = /** @type {Run[]} */ ([]);
  for (let n = 0; n < sessions.length; n++) runs.push(await pass(n, [pictures[n]], question.classes[n] ?? 0));
  const classes = /** @type {number[]} */ ([]);
  for (let n = 0; n < sessions.length; n++) {
    classes.push(question.classes[n] ?? largest((plain ? await pass(n, [plain], 0) : runs[n]).logits));
  }
  const chances = runs.map((run) => softmax(run.logits));
  say("probabilities", { id, chances, logits: runs.map((run) => run.logits), classes, ofPlain: plain !== null });
  const sums = pictures.map(() => new Float64Array(VALUES));
  let drew = -Infinity;
  for (let done = 0; done < samples;) {
    const count = Math.min(CHUNK, samples - done);
    for (let n = 0; n < sessions.length; n++) {
      const copies = Array.from({ length: count }, (_, i) =>
        noisy(pictures[n], noise.subarray((done + i) * VALUES, (done + i + 1) * VALUES)),
      );
      const { logits, gradient } = await pass(n, copies, classes[n]);
      for (let i = 0; i < count; i++) {
        const weight = factor(logits.subarray(i * CLASSES, (i + 1) * CLASSES), classes[n]);
        for (let k = 0; k < VALUES; k++) sums[n][k] += weight * gradient[i * VALUES + k];
      }
    }
    done += count;
    const now = performance.now();
    if (now - drew >= REDRAW || done === samples) {
      drew = now;
      const sum = done === samples ? { sums } : {};
      say("maps", { id, done, classes, maps: sums.map((one) => drawn(one)), took: now - began, ...sum });
    }
    await rest();
    if (waiting || attack) return;
  }
}

/**
 * PGD on each network by itself; what it has after each step.
 * @param {Attack} wanted
 */
async function climb({ id, picture, classes: given, eps, steps }) {
  const began = performance.now();
  const classes = [];
  for (let n = 0; n < sessions.length; n++) classes.push(given[n] ?? largest((await pass(n, [picture], 0)).logits));
  const size = (2.5 * eps) / steps; // attacks.default_step
  const pictures = sessions.map(() => picture);
  for (let turn = 0; turn <= steps; turn++) {
    const runs = /** @type {Run[]} */ ([]);
    for (let n = 0; n < sessions.length; n++) runs.push(await pass(n, [pictures[n]], classes[n]));
    const took = performance.now() - began;
    const chances = runs.map((run) => softmax(run.logits));
    say("step", { id, turn, steps, pictures: pictures.slice(), chances, took });
    if (turn < steps) pictures.forEach((one, n) => (pictures[n] = step(one, runs[n].gradient, picture, eps, size)));
    await rest();
    if (attack || stopped) return;
  }
}

async function work() {
  if (busy) return;
  busy = true;
  try {
    while (waiting || attack) {
      if (attack) {
        const wanted = attack;
        attack = null;
        stopped = false;
        await climb(wanted);
      } else if (waiting) {
        const question = waiting;
        waiting = null;
        await answer(question);
      }
    }
  } catch (error) {
    say("failed", { message: String(error) });
  } finally {
    busy = false;
  }
}

/**
 * A picture file as bytes, upright as its EXIF entry says, on white where it is transparent; its colour profile is
 * ignored.
 * @param {{ id: number, file: Blob }} given
 */
async function decode({ id, file }) {
  try {
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    const { width, height } = bitmap;
    const picture = square(width, height, (x, y, w, h) => pixels(bitmap, x, y, w, h));
    bitmap.close();
    say("picture", { id, picture, width, height, altered: alters() });
  } catch (error) {
    say("picture", { id, picture: null, message: error instanceof Error ? error.message : String(error) });
  }
}

/**
 * @param {CanvasImageSource} source
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 */
function pixels(source, x, y, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
  context.imageSmoothingEnabled = false;
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, x, y, width, height, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}

/** Whether this browser disturbs the pixels that a page reads back, as some do against fingerprinting. */
function alters() {
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
  const known = new ImageData(SIDE, SIDE);
  known.data.forEach((_, i) => (known.data[i] = i % 4 === 3 ? 255 : (i * 37) % 256));
  context.putImageData(known, 0, 0);
  return context.getImageData(0, 0, SIDE, SIDE).data.some((value, i) => value !== known.data[i]);
}

self_.onmessage = (/** @type {MessageEvent} */ { data }) => {
  if (data.kind === "start") start(data).catch((error) => say("failed", { message: error.message ?? String(error) }));
  if (data.kind === "decode") decode(data);
  if (data.kind === "ask") {
    waiting = data;
    work();
  }
  if (data.kind === "stop") {
    attack = null;
    stopped = true;
  }
  if (data.kind === "attack") {
    attack = data;
    waiting = null;
    work();
  }
};
