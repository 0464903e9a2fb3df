// The reconstruction explorer: one state, drawn at once on the left, painted by the model on the right.

import './reconstruction.css';
import { linkTo, stateInAddress } from './address.js';
import { Brush } from './brush.js';
import { Camera } from './camera.js';
import { holds } from './compare.js';
import { Engine, failure } from './engine.js';
import { Game } from './game.js';
import { countHidden, hideAfter, hideByHand, numVisible, orderOf, seededNoise } from './mask.js';
import { psnr } from './metrics.js';
import { Opening } from './opening.js';
import { channelsLast, fromBytes } from './pixels.js';
import markup from './reconstruction.html';
import { loadScene } from './scene.js';
import { download, openShare, pngOf } from './share.js';
import { Sources } from './sources.js';
import { put, Stage } from './stage.js';
import { averageOf, compose, scores, scoresHtml, view } from './state.js';
import { Status } from './status.js';
import { compared, EVERYTHING, NOTHING } from './verdict.js';

const AGAIN = 5000; // milliseconds until an action tries anew what has failed

class Reconstruction {
  constructor(place, engine, { about, pictures, strips }, addressed) {
    Object.assign(this, { place, engine, about, pictures, strips, own: null, found: null, touched: false, wanted: 0 });
    Object.assign(this, { busy: false, newest: 0, drawn: '', addressed });
    this.count = about.grid[0] * about.grid[1];
    this.ready = place.dataset.start ? JSON.parse(place.dataset.start) : {};
    place.innerHTML = markup;
    place.classList.add('alive');
    this.$ = (selector) => place.querySelector(selector);
    this.slider = this.$('input[type=range]');
    this.slider.max = about.ratioMax;
    this.$('.seed').max = about.seeds - 1;
    this.stage = new Stage(place, about);
    this.status = new Status(place);
    const [update, touch] = [() => this.update(), () => this.touch()];
    const say = (...words) => this.status.say(...words);
    this.brush = new Brush(place, this.stage, { flip: (...change) => this.flip(...change), hidden: () => this.mask() });
    this.camera = new Camera(place, {
      about, update, touch, say, start: () => engine.start(), excuse: (text) => this.excuse(text), freeze: (frame) => this.keep(frame),
    });
    this.game = new Game(place, {
      about, update, touch, stage: this.stage, brush: this.brush, picture: () => this.original(), sample: () => this.state.sample,
      take: (hidden) => this.takeHand(hidden), paint: (...question) => this.paint(...question), chapter: place.dataset.chapter,
    });
    this.sources = new Sources(place, pictures, {
      pick: (name) => this.pick(name), take: (file) => this.take(file), camera: () => this.openCamera(),
    });
    engine.listeners.add((...stage) => this.loading(...stage));
    this.buttons();
    this.begin();
  }

  // -- the first view --------------------------------------------------------------------------------------------------

  begin() {
    this.state = { ...this.about.state };
    const shared = this.addressed && stateInAddress(this.about);
    this.put({ ...this.ready, ...shared?.state });
    if (shared?.playing) this.game.enter(this.mask());
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    if (shared || Object.keys(this.ready).length || still) return void this.update();
    const rest = this.state.ratio;
    const show = async (ratio) => {
      const { raw } = await this.strips.at(this.state.sample, ratio).catch(() => ({ raw: this.original() }));
      if (this.touched) return;
      const hidden = hideAfter(this.order(), ratio ? numVisible(this.count, ratio / 100) : this.count);
      this.controls(hidden, Math.round(ratio));
      this.stage.see(this.original(), hidden);
      this.stage.paint(view('pasted', compose(this.original(), raw, hidden, this.about)));
    };
    this.opening = new Opening(this.$('.sees .frame'), rest, show, () => this.update());
  }

  /** Take over a state with the keys of Python's; `hand` is read in either form. */
  put({ hand, ...rest }) {
    Object.assign(this.state, rest);
    this.brushed = null;
    if (this.state.strategy === 'hand') this.takeHand(hideByHand(hand, this.about.hand, this.about.grid));
  }

  set(state) {
    this.touch();
    this.put(state);
    return this.update();
  }

  touch() {
    this.opening?.stop();
    this.touched = true;
    this.status.action++;
  }

  // -- what is hidden --------------------------------------------------------------------------------------------------

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

  flip(patches, value) {
    this.touch();
    if (this.game.on) this.game.set(patches, value);
    else {
      const hidden = this.mask();
      for (const patch of patches) hidden[patch] = value;
      this.takeHand(hidden);
    }
    if (this.camera.on) this.camera.dance(false);
    this.update();
  }

  original() {
    return this.camera.picture ?? (this.state.sample === 'own' ? this.own : this.pictures[this.state.sample]);
  }

  // -- one painting after the other, the newest wins -------------------------------------------------------------------

  /** Bring both pictures up to the state. */
  async update() {
    this.wanted++;
    this.asked = { original: this.original(), hidden: this.mask() };
    const { original, hidden } = this.asked;
    if (!this.camera.on || !this.engine.ready) this.stage.see(original, hidden);
    this.controls(hidden, this.brushed ? Math.round((100 * countHidden(hidden)) / this.count) : this.state.ratio);
    if (!hidden.includes(0)) return this.nothing();
    const hopeless = this.failed && performance.now() - this.failed.at < AGAIN;
    if (hopeless) return this.give(this.failed);
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
    this.mark('model');
  }

  /** The second picture, in the chosen view or in one that is held. */
  look(name = this.state.view) {
    const { found } = this;
    if (!found) return;
    if (name === 'average') found.average ??= averageOf(found).pasted;
    this.stage.paint(view(name, found, this.about), this.camera.on);
  }

  measure() {
    const { found } = this;
    if (this.camera.on && performance.now() - (this.told ?? 0) < 500) return; // twice a second is enough to read
    this.told = performance.now();
    if (!found.mask.includes(1)) return this.tell({ text: NOTHING });
    found.average ??= averageOf(found).pasted;
    this.tell(compared(psnr(found.original, found.pasted), psnr(found.original, found.average)));
    this.table();
  }

  table() {
    const { found } = this;
    if (this.$('.more').hidden || !found) return;
    this.$('.table').innerHTML = scoresHtml(scores(found), found.hidden, this.about);
  }

  tell({ text, html = text, about = '' }) {
    this.sentence = text;
    this.$('.verdict').innerHTML = html;
    this.$('.db').innerHTML = about;
    this.$('.what')?.setAttribute('aria-expanded', !this.$('.db').hidden);
    this.place.classList.remove('waiting');
  }

  // -- without the model -----------------------------------------------------------------------------------------------

  /** A stored painting, else the average of the neighbours, which the model must beat; dimmed where it is not exact. */
  async preview(hidden) {
    const [mine, original] = [this.wanted, this.original()];
    const { sample, strategy, seed, ratio } = this.state;
    const plain = strategy === 'random' && !seed && sample !== 'own' && !this.game.on && !this.camera.on;
    const stored = plain ? await this.strips.at(sample, ratio).catch(() => null) : null;
    if (mine !== this.wanted || this.found?.hidden === hidden) return;
    const bare = compose(original, original, hidden, this.about);
    const average = averageOf(bare).pasted;
    this.found = { ...compose(original, stored?.raw ?? average, hidden, this.about), hidden, average };
    for (const name of ['dim', 'waiting']) this.place.classList.toggle(name, !stored?.exact && hidden.includes(1));
    this.look();
    if (!hidden.includes(1)) this.tell({ text: NOTHING });
    else if (stored?.exact) this.tell(compared(stored.psnr, psnr(original, average)));
    else if (!this.touched) this.offer();
    this.mark('preview');
  }

  offer() {
    const size = `paint it (${Math.round(this.engine.size / 1e6)} MB)`;
    this.status.say('not painted yet', null, size, () => this.set({ ...this.state, hand: this.mask().join('') }));
  }

  /** Nothing can be painted: what is at hand is shown, with the reason. */
  async give(error) {
    this.failed = error;
    await this.preview(this.mask());
    const never = error.kind === 'browser';
    const hint = error.kind === 'model' ? '' : ' The slider still shows stored paintings.';
    this.status.say(failure(error) + hint, null, never ? 'OK' : 'try again', () => {
      this.failed = never ? { ...error, at: Infinity, told: true } : null;
      void this.update();
    });
    if (error.told) this.status.say('');
    this.mark('failed');
  }

  loading(what, loaded, total) {
    if (!this.busy && !this.opening_file) return;
    const mb = (bytes) => Math.round(bytes / 1e6);
    if (what === 'starting') this.status.say('starting the model', 1);
    else this.status.say(`downloading ${mb(loaded)} of ${mb(total)} MB`, loaded / total);
  }

  nothing() {
    this.found = null;
    this.stage.blank();
    if (this.game.on) return this.status.say('');
    this.place.classList.add('waiting');
    this.status.say(EVERYTHING, null);
    this.mark('refused');
  }

  /** A file or a camera was refused: pictures and controls stay as they were. */
  excuse(text) {
    this.status.say(text, null, 'OK', () => this.update());
    this.mark('refused');
  }

  // -- controls show what the pictures show ----------------------------------------------------------------------------

  controls(hidden, ratio) {
    const { slider, state, $ } = this;
    slider.value = ratio;
    slider.style.setProperty('--at', `${(100 * slider.value) / slider.max}%`);
    $('output').textContent = `${ratio} %`;
    slider.setAttribute('aria-valuetext', `${countHidden(hidden)} of ${this.count} patches hidden`);
    $('.seed').value = state.seed;
    $('.verdict').setAttribute('aria-live', this.camera.on ? 'off' : 'polite');
    this.sources.mark(this.camera.on ? 'live' : state.sample);
    for (const button of this.place.querySelectorAll('.choice button[value]'))
      button.setAttribute('aria-pressed', button.value === state[button.parentElement.dataset.key]);
    if (!this.touched || this.camera.on || !this.addressed) return;
    clearTimeout(this.later);
    this.later = setTimeout(() => history.replaceState(null, '', linkTo(state, this.mask(), this.game.on)), 300);
  }

  buttons() {
    const { $, about } = this;
    for (const [key, values] of [['strategy', about.strategies], ['view', about.views]])
      for (const value of values) {
        const button = Object.assign(document.createElement('button'), { type: 'button', value, textContent: value });
        button.onclick = () => (key === 'view' ? this.choose(value) : this.set({ strategy: value }));
        $(`[data-key=${key}]`).append(button);
      }
    this.slider.oninput = () => {
      const ratio = Number(this.slider.value);
      if (!this.brushed) return this.set({ ratio });
      this.touch();
      this.visible = numVisible(this.count, ratio / 100);
      this.update();
    };
    const plain = () => (this.brushed ? { strategy: 'random', ratio: about.state.ratio } : {});
    $('.again').onclick = () => this.set({ seed: (this.state.seed + 1) % about.seeds, ...plain() });
    $('.seed').onchange = ({ target }) => {
      const seed = Math.min(about.seeds - 1, Math.max(0, Math.trunc(Number(target.value)) || 0));
      this.set({ seed, ...plain() });
    };
    $('.open-more').onclick = ({ target }) => {
      $('.more').hidden = !$('.more').hidden;
      target.setAttribute('aria-expanded', !$('.more').hidden);
      this.table();
    };
    $('.save').onclick = () => this.save();
    $('.play').onclick = () => {
      if (this.camera.on) this.keep(this.camera.picture);
      this.game.enter();
    };
    $('.share').onclick = () => this.share();
    $('.verdict').onclick = ({ target }) => {
      if (!target.matches('.what')) return;
      $('.db').hidden = !$('.db').hidden;
      target.setAttribute('aria-expanded', !$('.db').hidden);
    };
    const look = (name) => this.look(name);
    holds(this.place, '.paints canvas', 'original', 'The photo', look);
    holds(this.place, '.peek', 'original', 'The photo', look);
    holds(this.place, '.average', 'average', "The neighbours' average", look);
    if (this.addressed) addEventListener('hashchange', () => this.restore());
  }

  choose(name) {
    this.state.view = name;
    this.look();
    this.controls(this.mask(), Number(this.slider.value));
  }

  restore() {
    const shared = stateInAddress(this.about);
    if (!shared) return;
    if (this.game.on) this.game.leave();
    this.camera.stop();
    this.opening?.stop();
    this.put(shared.state);
    if (shared.playing) this.game.enter(this.mask());
    else void this.update();
  }

  save() {
    const { height, width, data } = view(this.state.view, this.found, this.about);
    const [small, large] = [1, 4].map((n) => Object.assign(document.createElement('canvas'), { width: n * width, height: n * height }));
    put(small, { data });
    const pen = large.getContext('2d');
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, 0, 0, large.width, large.height);
    return pngOf(large).then((blob) => download(blob, 'reconstruction.png'));
  }

  share() {
    if (this.camera.on) this.keep(this.camera.picture);
    if (!this.found) return;
    const { game } = this;
    const kept = `I kept ${game.keep} of ${this.count} patches. ${(game.sentence ?? '').replace(' Now beat the search.', '')}`;
    const text = game.on && game.who === 'you' ? kept : game.on ? game.sentence : this.sentence ?? '';
    const url = new URL(linkTo(this.state, this.mask(), game.on), location.href).href;
    openShare(this.place, { found: this.found, own: this.state.sample === 'own', url, text });
  }

  // -- whose picture ---------------------------------------------------------------------------------------------------

  /** The newest choice wins, whatever opens first. */
  async take(file) {
    const mine = ++this.newest;
    this.touch();
    this.opening_file = true;
    void this.engine.start().catch(() => {});
    try {
      const bytes = await this.engine.open(file, this.about);
      if (mine === this.newest) this.keep(fromBytes(bytes, 3, this.about));
    } catch (error) {
      if (mine === this.newest) this.excuse(error.kind === 'refused' ? upper(error.message) : failure(error));
    } finally {
      if (mine === this.newest) this.opening_file = false;
    }
  }

  keep(picture) {
    this.own = picture;
    this.pick('own');
  }

  pick(name) {
    this.newest++;
    this.camera.stop();
    this.touch();
    this.state.sample = name;
    if (this.game.on) this.game.enter();
    else void this.update();
  }

  openCamera() {
    this.newest++;
    if (this.game.on) this.game.leave();
    void this.camera.start();
  }

  /** For tests and style sheets: how far the explorer is. */
  mark(state) {
    this.place.dataset.state = state;
    this.place.dataset.count = 1 + Number(this.place.dataset.count ?? 0);
  }
}

const upper = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

async function start() {
  const places = [...document.querySelectorAll('.maelib-pair')];
  const manifest = JSON.parse(document.getElementById('maelib-live').textContent);
  const address = ({ name, size }) => ({ url: new URL(manifest.root + name, document.baseURI).href, size });
  const files = Object.fromEntries(Object.entries(manifest.files).map(([key, file]) => [key, address(file)]));
  const engine = new Engine(files);
  try {
    const scene = await loadScene(files);
    for (const place of places) place.driver = new Reconstruction(place, engine, scene, place === places[0]);
  } catch (error) {
    console.error(error); // the plain picture stays
  }
}

void start();
