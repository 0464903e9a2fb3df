// The model, in a worker of its own: started by the first real action in the page, shared by all its explorers.
const fail = (kind, message) => Object.assign(new Error(message), { kind });

export class Engine {
  constructor(files) {
    this.files = files; // addresses and sizes in bytes: worker, runtime, model
    this.waiting = new Map();
    this.listeners = new Set();
    this.next = 0;
    this.line = Promise.resolve();
  }

  /** Bytes that the first use costs. */
  get size() {
    return this.files.runtime.size + this.files.model.size;
  }

  /** Load runtime and model, once; listeners hear ('downloading', loaded, total) in bytes, then ('starting'). */
  start() {
    this.started ??= this.load().catch((error) => {
      this.started = undefined;
      throw error;
    });
    return this.started;
  }

  async load() {
    await this.ask({ task: 'start', files: [this.files.runtime, this.files.model] });
    this.ready = true;
  }

  receive({ id, result, error, stage }) {
    if (stage) return this.listeners.forEach((listener) => listener(...stage));
    const { resolve, reject } = this.waiting.get(id) ?? {};
    this.waiting.delete(id);
    if (!error) return resolve?.(result);
    reject?.(fail(/memory|allocat/i.test(error.message) ? 'memory' : error.kind, error.message));
  }

  /** The worker begins with the first question; one that broke is left behind. */
  ask(message) {
    if (!globalThis.WebAssembly || !globalThis.Worker || !globalThis.OffscreenCanvas || !globalThis.DecompressionStream)
      return Promise.reject(fail('browser', 'the browser is too old'));
    this.worker ??= this.spawn();
    const id = ++this.next;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...message, id });
    });
  }

  spawn() {
    const worker = new Worker(this.files.worker.url, { type: 'module' });
    worker.onmessage = ({ data }) => this.receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      this.worker = this.started = this.ready = undefined;
      const error = fail(navigator.onLine ? 'server' : 'offline', event.message || 'the worker did not start');
      for (const { reject } of this.waiting.values()) reject(error);
      this.waiting.clear();
    };
    return worker;
  }

  /** What the model predicts for every pixel (C, H, W); questions are answered in turn. */
  paint(image, hidden) {
    const answer = this.line.then(() => this.start()).then(() => this.ask({ task: 'paint', image, hidden }));
    this.line = answer.catch(() => {});
    return answer;
  }

  /** A file as RGB bytes at the model's size; the error's kind is `refused` where the file is to blame. */
  open(file, limits) {
    return this.ask({ task: 'open', file, limits });
  }
}

const FAILURES = {
  offline: 'You seem to be offline, so the model cannot come.',
  server: 'The model could not be fetched.',
  browser: 'This browser cannot run the model.',
  memory: 'There is too little memory left for the model. Close other tabs.',
  model: 'The model stopped unexpectedly.',
};

/** A failure as a sentence to the reader. */
export const failure = ({ kind }) => FAILURES[kind] ?? FAILURES.model;
