// The reconstruction explorer: one state, drawn at once on the left, painted by the model on the right.
import { stateInAddress } from './address.js';
import { Brush } from './brush.js';
import { Camera } from './camera.js';
import { Controls } from './controls.js';
import { failure } from './engine.js';
import { mark } from './explorer.js';
import { Game } from './game.js';
import { countHidden, hideAfter, hideByHand, numVisible, orderOf, seededNoise } from './mask.js';
import { psnr } from './metrics.js';
import { Opening } from './opening.js';
import { channelsLast, fromBytes } from './pixels.js';
import markup from './reconstruction.html';
import { Stage } from './stage.js';
import { averageOf, compose, compared, EVERYTHING, NOTHING, scores, scoresHtml, view } from './state.js';
import { Status } from './status.js';

const AGAIN = 5000; // milliseconds until an action tries anew what has failed

export class Reconstruction {
  /** `place` may hold the state to start with; the `addressed` one of a page has its state in the address. */
  constructor(place, engine, { about, pictures, strips }, addressed) {
    Object.assign(this, { place, engine, about, pictures, strips, addressed, touched: false, busy: false });
    Object.assign(this, { state: { ...about.state }, own: null, found: null, wanted: 0, newest: 0 });
    this.count = about.grid[0] * about.grid[1];
    place.innerHTML = markup;
    place.classList.add('alive');
    this.stage = new Stage(place, about);
    this.status = new Status(place);
    this.controls = new Controls(place, this);
    this.brush = new Brush(place, this.stage, this);
    this.camera = new Camera(place, this);
    this.game = new Game(place, this);
    engine.listeners.add((...stage) => this.loading(...stage));
    if (addressed) addEventListener('hashchange', () => this.restore());
    this.begin(place.dataset.start ? JSON.parse(place.dataset.start) : null);
  }

  // -- the state --
  begin(given) {
    if (given) this.put(given);
    if (this.restore() || given || matchMedia('(prefers-reduced-motion: reduce)').matches) return void this.update();
    const show = async (ratio) => {
      const { raw } = await this.strips.at(this.state.sample, ratio).catch(() => ({ raw: this.original() }));
      if (this.touched) return;
      const hidden = hideAfter(this.order(), ratio ? numVisible(this.count, ratio / 100) : this.count);
      this.controls.show(hidden, Math.round(ratio));
      this.stage.see(this.original(), hidden);
      this.stage.paint(view('pasted', compose(this.original(), raw, hidden, this.about)));
    };
    mark(this.place, 'rest');
    this.opening = new Opening(this.stage.left, this.state.ratio, show, () => this.update());
  }

  /** Take over what the address says; whether it says anything. */
  restore() {
    const shared = this.addressed && stateInAddress(this.about);
    if (!shared) return false;
    if (this.game.on) this.game.leave();
    this.camera.stop();
    this.opening?.stop();
    this.put(shared.state);
    if (shared.playing) this.game.enter(this.mask());
    else void this.update();
    return true;
  }

  /** Take over a state with the keys of Python's; `hand` is read in either form. */
  put({ hand = '', ...rest }) {
    Object.assign(this.state, rest);
    this.brushed = null;
    if (this.state.strategy === 'hand') this.takeHand(hideByHand(hand, this.about.hand, this.about.grid));
  }

  /** The reader has done something: the model may be fetched, and the newest action wins. */
  touch() {
    this.opening?.stop();
    this.touched = true;
    this.status.action++;
  }

  set(state) {
    this.touch();
    this.put(state);
    return this.update();
  }

  slide(ratio) {
    this.touch();
    if (this.brushed) this.visible = numVisible(this.count, ratio / 100);
    else this.state.ratio = ratio;
    return this.update();
  }

  choose(name) {
    this.state.view = name;
    this.look();
    this.controls.show(this.mask(), Number(this.controls.slider.value));
  }

  // -- what is hidden --
  /** All patches, those first that stay visible longest; after brushing "hide more" goes on from there. */
  order() {
    const { seed, strategy } = this.state;
    const plain = orderOf(seededNoise(this.about.grid, seed, this.brushed ? 'random' : strategy));
    return this.brushed ? [0, 1].flatMap((h) => plain.filter((i) => this.brushed[i] === h)) : plain;
  }

  mask() {
    if (this.game.on) return this.game.hidden.slice();
    const order = this.camera.on && this.camera.dancing ? this.camera.order(performance.now()) : this.order();
    return hideAfter(order, this.brushed ? this.visible : numVisible(this.count, this.state.ratio / 100));
  }

  takeHand(hidden) {
    this.brushed = Uint8Array.from(hidden);
    this.visible = this.count - countHidden(hidden);
    this.state.strategy = 'hand';
  }

  /** Hide (1) or show (0) some patches. */
  flip(patches, value) {
    this.touch();
    if (this.game.on) this.game.set(patches, value);
    else {
      const hidden = this.mask();
      for (const patch of patches) hidden[patch] = value;
      this.takeHand(hidden);
    }
    this.camera.dance(this.camera.dancing && !this.camera.on);
    void this.update();
  }

  original() {
    return this.camera.picture ?? (this.state.sample === 'own' ? this.own : this.pictures[this.state.sample]);
  }

  // -- one painting after the other, the newest wins --
  /** Bring both pictures up to the state. */
  async update() {
    this.wanted++;
    const [original, hidden] = [this.original(), this.mask()];
    this.asked = { original, hidden };
    if (!this.camera.on || !this.engine.ready) this.stage.see(original, hidden);
    this.controls.show(hidden, this.brushed ? Math.round((100 * countHidden(hidden)) / this.count) : this.state.ratio);
    if (!hidden.includes(0)) return this.nothing();
    if (this.failed && performance.now() - this.failed.at < AGAIN) return this.give(this.failed);
    if (!this.touched || !this.engine.ready) void this.preview(hidden);
    if (this.touched && !this.busy) await this.answer();
  }

  async answer() {
    this.busy = true;
    try {
      for (let done; done !== this.wanted; ) {
        await this.engine.start();
        done = this.wanted;
        const job = { ...this.asked, began: performance.now() };
        if (!job.hidden.includes(0)) continue; // said already
        this.place.classList.add('busy');
        const slow = setTimeout(() => this.camera.on || this.status.say('painting'), 250);
        const raw = await this.paint(job.original, job.hidden).finally(() => clearTimeout(slow));
        const other = done !== this.wanted && job.original !== this.asked.original && !this.camera.on;
        if (!other && this.asked.hidden.includes(0)) this.show(job, raw);
      }
    } catch (error) {
      console.info(error);
      await this.give(Object.assign(error, { at: performance.now() }));
    } finally {
      this.busy = false;
      this.place.classList.remove('busy');
    }
  }

  async paint(original, hidden) {
    return channelsLast(await this.engine.paint(original, hidden), original);
  }

  show({ original, hidden, began }, raw) {
    this.failed = null;
    this.found = { ...compose(original, raw, hidden, this.about), hidden };
    this.place.classList.remove('dim', 'waiting');
    this.status.say('');
    if (this.camera.on) this.stage.see(original, hidden, true); // both pictures of one moment
    this.look();
    this.place.dataset.latency = (performance.now() - began).toFixed(1);
    if (this.camera.on) this.camera.counted();
    if (this.game.on) this.game.judge(psnr(original, this.found.pasted));
    else this.measure();
    mark(this.place, 'model');
  }

  /** The second picture, in the chosen view or in one that is held. */
  look(name = this.state.view) {
    if (!this.found) return;
    if (name === 'average') this.found.average ??= averageOf(this.found).pasted;
    this.stage.paint(view(name, this.found, this.about), this.camera.on);
  }

  measure() {
    const { found } = this;
    if (this.camera.on && performance.now() - (this.told ?? 0) < 500) return; // twice a second is enough to read
    this.told = performance.now();
    if (found.mask.includes(1)) {
      found.average ??= averageOf(found).pasted;
      this.controls.tell(compared(psnr(found.original, found.pasted), psnr(found.original, found.average)));
    } else this.controls.tell({ text: NOTHING });
    this.table();
  }

  table() {
    const [place, { found }] = [this.place.querySelector('.scores'), this];
    if (found && place.checkVisibility()) place.innerHTML = scoresHtml(scores(found), found.hidden, this.about);
  }

  // -- without the model --
  /** A stored painting, else the average of the neighbours, which the model must beat; dimmed where it is not exact. */
  async preview(hidden) {
    const [mine, original] = [this.wanted, this.original()];
    const { sample, strategy, seed, ratio } = this.state;
    const plain = strategy === 'random' && !seed && sample !== 'own' && !this.game.on && !this.camera.on;
    const stored = plain ? await this.strips.at(sample, ratio).catch(() => null) : null;
    if (mine !== this.wanted || this.found?.hidden === hidden) return;
    const average = averageOf(compose(original, original, hidden, this.about)).pasted;
    this.found = { ...compose(original, stored?.raw ?? average, hidden, this.about), hidden, average };
    for (const name of ['dim', 'waiting']) this.place.classList.toggle(name, !stored?.exact && hidden.includes(1));
    this.look();
    if (!hidden.includes(1)) this.controls.tell({ text: NOTHING });
    else if (stored?.exact) this.controls.tell(compared(stored.psnr, psnr(original, average)));
    else if (!this.touched) {
      const offer = `paint it (${Math.round(this.engine.size / 1e6)} MB)`;
      this.status.say('not painted yet', null, offer, () => this.pick(this.state.sample));
    }
    mark(this.place, 'preview');
  }

  /** Nothing can be painted: what is at hand is shown, with the reason. */
  async give(error) {
    this.failed = error;
    await this.preview(this.mask());
    const never = error.kind === 'browser';
    const again = () => {
      this.failed = never ? { ...error, at: Infinity, told: true } : null;
      void this.update();
    };
    const text = `${failure(error)} The slider still shows stored paintings.`;
    if (!error.told) this.status.say(text, null, never ? 'OK' : 'try again', again);
    mark(this.place, 'failed');
  }

  loading(what, loaded, total) {
    if (!this.busy && !this.opens) return; // another explorer of the page has asked
    const mb = (bytes) => Math.round(bytes / 1e6);
    if (what === 'starting') this.status.say('starting the model', 1);
    else this.status.say(`downloading ${mb(loaded)} of ${mb(total)} MB`, loaded / total);
  }

  nothing() {
    this.found = null;
    this.stage.paint(null);
    if (this.game.on) return this.status.say('');
    this.place.classList.add('waiting');
    this.status.say(EVERYTHING, null);
    mark(this.place, 'refused');
  }

  /** A file or a camera was refused: pictures and controls stay as they were. */
  excuse(text) {
    this.status.say(text, null, 'OK', () => this.update());
    mark(this.place, 'refused');
  }

  // -- whose picture --
  /** The newest choice wins, whatever opens first. */
  async take(file) {
    const mine = ++this.newest;
    this.touch();
    this.opens = true;
    void this.engine.start().catch(() => {});
    try {
      const bytes = await this.engine.open(file, this.about);
      if (mine === this.newest) this.pick('own', fromBytes(bytes, 3, this.about));
    } catch (error) {
      const { kind, message } = error;
      const text = kind === 'refused' ? `${message[0].toUpperCase()}${message.slice(1)}.` : failure(error);
      if (mine === this.newest) this.excuse(text);
    } finally {
      if (mine === this.newest) this.opens = false;
    }
  }

  /** A shipped picture, or `own`, the reader's. */
  pick(name, own = this.own) {
    this.own = own;
    this.newest++;
    this.camera.stop();
    this.touch();
    this.state.sample = name;
    if (this.game.on) this.game.enter();
    else void this.update();
  }

  film() {
    this.newest++;
    if (this.game.on) this.game.leave();
    void this.camera.start();
  }
}
