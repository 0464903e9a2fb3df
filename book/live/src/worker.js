// The worker: onnxruntime-web on one thread of WebAssembly. Everything heavy is here, the page itself stays smooth.

import * as ort from 'onnxruntime-web/wasm';
import { inflate, openPack, read } from './pack.js';
import { channelsFirst } from './pixels.js';
import { maskOf, reconstruction, scores, scoresHtml, view } from './state.js';
import { openPicture } from './upload.js';

const CACHE = 'maelib-live';
let session, about, samples;

const TASKS = { start, run, open: ({ file }) => openPicture(file, about) };

self.onmessage = async ({ data: { id, task, ...rest } }) => {
  try {
    self.postMessage({ id, result: await TASKS[task](rest) });
  } catch (error) {
    self.postMessage({ id, error: { name: error?.name, message: String(error?.message ?? error) } });
  }
};

async function start({ runtime, model, state }) {
  const files = [runtime, model, state];
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let loaded = 0;
  const progress = (bytes) => self.postMessage({ progress: [(loaded += bytes), total] });
  const [wasm, graph, pack] = await Promise.all(files.map(async (file) => inflate(await load(file.url, progress))));
  void forget(files.map((file) => file.url));
  ({ about } = openPack(pack));
  samples = Object.fromEntries(about.samples.map((name, i) => [name, openPack(pack).blob(i)]));
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(graph, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
  return about;
}

/** A file from the cache, else from the server; its name has its version, so it never changes. */
async function load(url, progress) {
  let cache, response;
  try {
    cache = await caches.open(CACHE);
    response = await cache.match(url);
  } catch {
    // no cache outside of secure contexts
  }
  const hit = Boolean(response);
  response ??= await fetch(url);
  if (!response.ok) throw new Error(`${response.status} for ${url}`);
  const blob = await read(response, progress);
  if (cache && !hit) await cache.put(url, new Response(blob)).catch(() => {}); // a full disk is no reason to stop
  return blob;
}

/** Versions that this book no longer has leave the cache. */
async function forget(kept) {
  try {
    const cache = await caches.open(CACHE);
    const folder = new URL('.', kept[0]).href;
    for (const { url } of await cache.keys()) if (url.startsWith(folder) && !kept.includes(url)) await cache.delete(url);
  } catch {
    // as above
  }
}

async function run({ state, own }) {
  const { height, width, channels } = about;
  const bytes = state.sample === 'own' ? toChannels(own, channels) : samples[state.sample];
  const original = { height, width, channels, data: Float32Array.from(bytes, (byte) => byte / 255) };
  const hidden = maskOf(state, about);
  const { pixels } = await session.run({
    images: new ort.Tensor('float32', channelsFirst(original), [1, channels, height, width]),
    visible: indices(hidden, 0),
    hidden: indices(hidden, 1),
  });
  const found = reconstruction(original, pixels.data, hidden, about);
  return {
    picture: await png(view(state.view, found, about)),
    text: scoresHtml(scores(found, about), hidden, about),
  };
}

/** Where a mask is 0, or where it is 1, in raster order: a tensor (1, K) or (1, M). */
function indices(hidden, which) {
  const places = BigInt64Array.from([...hidden.keys()].filter((i) => hidden[i] === which), BigInt);
  return new ort.Tensor('int64', places, [1, places.length]);
}

/** RGB bytes as they are, or as PIL's "L". */
function toChannels(rgb, channels) {
  if (channels === 3) return rgb;
  return Uint8Array.from({ length: rgb.length / 3 }, (_, i) => {
    const [r, g, b] = rgb.subarray(3 * i, 3 * i + 3);
    return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
  });
}

async function png({ height, width, data }) {
  const rgba = new Uint8ClampedArray(height * width * 4).fill(255);
  for (let i = 0; i < height * width; i++) rgba.set(data.subarray(3 * i, 3 * i + 3), 4 * i);
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d').putImageData(new ImageData(rgba, width, height), 0, 0);
  return new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
}
