// The worker: onnxruntime-web on one thread of WebAssembly. Everything heavy is here, the page itself stays smooth.
import * as ort from 'onnxruntime-web/wasm';
import { ask, inflate, read } from './pack.js';
import { channelsFirst } from './pixels.js';
import { openPicture } from './upload.js';

const CACHE = 'maelib-live';
let session;

const TASKS = { start, paint, open: ({ file, limits }) => openPicture(file, limits) };

self.onmessage = async ({ data: { id, task, ...rest } }) => {
  try {
    self.postMessage({ id, result: await TASKS[task](rest) });
  } catch (error) {
    self.postMessage({ id, error: { kind: error?.kind ?? 'model', message: String(error?.message ?? error) } });
  }
};

async function start({ files }) {
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let loaded = 0;
  const progress = (bytes) => self.postMessage({ stage: ['downloading', (loaded += bytes), total] });
  const [wasm, graph] = await Promise.all(files.map(async (file) => inflate(await load(file.url, progress))));
  void forget(files.map((file) => file.url));
  self.postMessage({ stage: ['starting'] });
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  ort.env.wasm.wasmBinary = wasm;
  session = await ort.InferenceSession.create(graph, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
}

/** A file from the cache, else from the server; its name has its version, so it never changes. */
async function load(url, progress) {
  let cache, response;
  try {
    cache = await caches.open(CACHE);
    response = await cache.match(url);
  } catch {} // no cache outside of secure contexts
  const hit = Boolean(response);
  let blob;
  try {
    response ??= await ask(url);
    blob = await read(response, progress);
  } catch (error) {
    throw Object.assign(error, { kind: error.kind ?? (navigator.onLine ? 'server' : 'offline') });
  }
  if (cache && !hit) await cache.put(url, new Response(blob)).catch(() => {}); // a full disk is no reason to stop
  return blob;
}

/** Versions that this book no longer has leave the cache. */
async function forget(kept) {
  try {
    const cache = await caches.open(CACHE);
    const folder = new URL('.', kept[0]).href;
    for (const { url } of await cache.keys())
      if (url.startsWith(folder) && !kept.includes(url)) await cache.delete(url);
  } catch {} // as above
}

async function paint({ image, hidden }) {
  const { pixels } = await session.run({
    images: new ort.Tensor('float32', channelsFirst(image), [1, image.channels, image.height, image.width]),
    visible: indices(hidden, 0),
    hidden: indices(hidden, 1),
  });
  return pixels.data;
}

/** Where a mask is 0, or where it is 1, in raster order: a tensor (1, K) or (1, M). */
function indices(hidden, which) {
  const places = BigInt64Array.from([...hidden.keys()].filter((i) => hidden[i] === which), BigInt);
  return new ort.Tensor('int64', places, [1, places.length]);
}
