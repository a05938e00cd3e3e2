// The runtime and the networks, fetched when the reader asks for them: over http by the worker, as they are; from the
// disk, where nothing may be fetched, as scripts of base64 that are added one after the other.

/**
 * @typedef {{ base: string, vendor: string, files: Record<string, number>, parts: number }} Given
 * base, vendor: the folders of this page's files and of the runtime's, as seen from the page; files: their sizes; parts:
 * how many scripts of base64 there are
 * @typedef {{ kind: string, runtime?: string, module: string | Blob, wasm: string | Uint8Array<ArrayBuffer>,
 * networks: (string | Uint8Array<ArrayBuffer>)[] }} Start what a worker begins with: contents, or addresses of them
 */

const NETWORKS = ["normal.onnx", "pgd-linf-8.onnx"];

/**
 * A worker whose networks are ready.
 * @param {Given} given
 * @param {(share: number) => void} progress
 * @returns {Promise<Worker>}
 */
export async function load(given, progress) {
  const fromDisk = location.protocol === "file:";
  const { worker, message } = fromDisk ? await byScripts(given, progress) : byAddress(given);
  const whole = Object.values(given.files).reduce((sum, size) => sum + size, 0);
  return new Promise((resolve, reject) => {
    const fail = (/** @type {string} */ message) => {
      worker.terminate(); // what it still fetches would be counted with the next try's
      reject(new Error(message));
    };
    worker.onerror = (event) => fail(event.message || "the worker did not start");
    worker.onmessage = ({ data }) => {
      if (data.kind === "fetched") progress(data.bytes / whole);
      if (data.kind === "ready") resolve(worker);
      if (data.kind === "failed") fail(data.message);
    };
    const contents = [message.wasm, ...message.networks];
    worker.postMessage(
      message,
      contents.flatMap((one) => (typeof one === "string" ? [] : [one.buffer])),
    );
  });
}

/**
 * A worker that fetches what it needs: the page stays awake, and is drawn meanwhile.
 * @param {Given} given
 * @returns {{ worker: Worker, message: Start }}
 */
function byAddress({ base, vendor }) {
  const at = (/** @type {string} */ path) => new URL(path, location.href).href;
  const message = {
    kind: "start",
    runtime: at(`${vendor}ort.wasm.min.js`),
    module: at(`${vendor}ort-wasm-simd-threaded.mjs`),
    wasm: at(`${vendor}ort-wasm-simd-threaded.wasm`),
    networks: NETWORKS.map((name) => at(base + name)),
  };
  return { worker: new Worker(at(`${base}worker.js`)), message };
}

/**
 * @param {Given} given
 * @param {(share: number) => void} progress
 * @returns {Promise<{ worker: Worker, message: Start }>}
 */
async function byScripts({ base, parts }, progress) {
  /** @type {Record<string, string[]>} */
  const texts = {};
  /** @type {any} */ (window).atlibPart = (/** @type {string} */ name, /** @type {string} */ text) => {
    (texts[name] ??= []).push(text);
  };
  for (let i = 0; i < parts; i++) {
    await new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${base}part-${i}.js`;
      script.onload = () => resolve(undefined);
      script.onerror = () => reject(new Error(`${script.src}: not there`));
      document.head.append(script);
    });
    progress((i + 1) / parts);
  }
  // Little by little, so that the page stays awake: each part is at most a megabyte.
  /** @param {string} name */
  const blob = async (name) => {
    const pieces = [];
    for (const text of texts[name]) {
      const letters = atob(text);
      const piece = new Uint8Array(letters.length);
      for (let i = 0; i < letters.length; i++) piece[i] = letters.charCodeAt(i);
      pieces.push(piece);
      await new Promise((resolve) => setTimeout(resolve));
    }
    delete texts[name];
    return new Blob(pieces, { type: "text/javascript" });
  };
  /** @param {string} name */
  const whole = async (name) => new Uint8Array(await (await blob(name)).arrayBuffer());
  const script = new Blob([await blob("ort.wasm.min.js"), "\n", await blob("worker.js")], { type: "text/javascript" });
  const message = {
    kind: "start",
    module: await blob("ort-wasm-simd-threaded.mjs"),
    wasm: await whole("ort-wasm-simd-threaded.wasm"),
    networks: [await whole(NETWORKS[0]), await whole(NETWORKS[1])],
  };
  return { worker: new Worker(URL.createObjectURL(script)), message };
}
