// The model, in a worker of its own: started by whoever needs it first, shared by all explorers of a page.

export class Engine {
  constructor(files) {
    this.files = files; // addresses and sizes in bytes: worker, runtime, model, state
    this.waiting = new Map();
    this.listeners = new Set();
    this.next = 0;
  }

  /** Load everything, once; listeners hear `(loaded, total)` in bytes. */
  start() {
    this.started ??= this.load().catch((error) => {
      this.worker?.terminate();
      this.started = undefined;
      throw error;
    });
    return this.started;
  }

  async load() {
    if (!globalThis.WebAssembly || !globalThis.Worker || !globalThis.OffscreenCanvas || !globalThis.DecompressionStream)
      throw new Error('it is too old');
    this.worker = new Worker(this.files.worker, { type: 'module' });
    this.worker.onmessage = ({ data }) => this.receive(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || 'its worker did not start'));
      this.waiting.clear();
    };
    const { runtime, model, state } = this.files;
    this.about = await this.ask({ task: 'start', runtime, model, state });
    this.ready = true;
  }

  receive({ id, result, error, progress }) {
    if (progress) return this.listeners.forEach((listener) => listener(...progress));
    const { resolve, reject } = this.waiting.get(id) ?? {};
    this.waiting.delete(id);
    if (error) reject?.(Object.assign(new Error(error.message), { name: error.name }));
    else resolve?.(result);
  }

  ask(message) {
    const id = ++this.next;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...message, id });
    });
  }

  async run(state, own) {
    await this.start();
    return this.ask({ task: 'run', state, own });
  }

  async open(file) {
    await this.start();
    return this.ask({ task: 'open', file });
  }
}
