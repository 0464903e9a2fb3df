// The reconstruction explorer: precomputed pictures first, then the model. The rules are those of the Python class.

import { escape } from './explorer.js';
import { loadFrames, showFrame } from './frames.js';

const CONTROLS = ['sample', 'view', 'ratio', 'strategy', 'seed'];

export class Reconstruction {
  constructor(explorer, engine, frames) {
    Object.assign(this, { explorer, engine, frames, own: null, quiet: false, busy: false, stale: false });
    this.cells = explorer.roles.hand.get('children');
    for (const role of CONTROLS) explorer.onChange(role, () => this.changed(role));
    for (const cell of this.cells) cell.on('change:value', () => this.changed('hand'));
    explorer.onClick('renew', () => this.renew());
    explorer.onClick('clear', () => this.clear());
    explorer.roles.upload.on('change:value', () => this.uploaded());
    engine.listeners.add((loaded, total) => this.busy && this.progress(loaded, total));
  }

  /** The name of what a selection is at, null for none. */
  chosen(role) {
    const model = this.explorer.roles[role];
    return model.get('index') === null ? null : this.options(role)[model.get('index')];
  }

  /** Labels are the values, less what makes them readable. */
  options(role) {
    return this.explorer.roles[role].get('_options_labels').map((label) => (role === 'sample' ? label.replaceAll(' ', '_') : label));
  }

  choose(role, name) {
    this.explorer.roles[role].set('index', name === null ? null : this.options(role).indexOf(name));
  }

  state() {
    return {
      sample: this.chosen('sample') ?? 'own',
      view: this.chosen('view'),
      ratio: this.explorer.raw('ratio'),
      strategy: this.chosen('strategy'),
      seed: this.explorer.raw('seed'),
      hand: this.cells.map((cell) => (cell.get('value') ? '1' : '0')).join(''),
    };
  }

  /** Set several controls at once, as `choose` does in Python. */
  set(state) {
    this.together(() => {
      for (const [role, value] of Object.entries(state)) {
        if (role === 'hand') this.cells.forEach((cell, i) => cell.set('value', value[i] === '1'));
        else if (this.explorer.roles[role].has('index')) this.choose(role, value);
        else this.explorer.roles[role].set('value', value);
      }
    });
  }

  together(change) {
    this.quiet = true;
    try {
      change();
    } finally {
      this.quiet = false;
    }
    this.update();
  }

  changed(role) {
    if (role === 'sample' && this.chosen('sample') !== null) this.own = null;
    if (role === 'strategy') {
      const byHand = this.chosen('strategy') === 'hand';
      for (const other of ['ratio', 'seed', 'play']) this.explorer.roles[other].set('disabled', byHand);
    }
    if (this.quiet) return;
    if (role === 'hand') this.together(() => this.choose('strategy', 'hand'));
    else this.update();
  }

  renew() {
    this.together(() => {
      const seed = this.explorer.roles.seed;
      if (this.chosen('strategy') === 'hand') this.choose('strategy', 'random');
      seed.set('value', (seed.get('value') + 1) % (seed.get('max') + 1));
    });
  }

  clear() {
    this.together(() => {
      for (const cell of this.cells) cell.set('value', false);
      if (this.chosen('strategy') === 'hand') this.choose('strategy', 'random');
    });
  }

  /** Hide or show the square under a point of the picture, given in shares of its width and height. */
  toggleAt(x, y, width, height) {
    const side = Math.sqrt(this.cells.length);
    const gap = this.chosen('view') === 'side by side' ? Number(this.explorer.place.dataset.gap) : null;
    const cell = (share, size) => {
      let at = share * size;
      let length = size;
      if (gap !== null) {
        length = (size - gap) / 2;
        if (at >= length && at < length + gap) return -1; // between two pictures
        if (at >= length) at -= length + gap;
      }
      return Math.min(side - 1, Math.floor((at / length) * side));
    };
    const [column, row] = [cell(x, width), cell(y, height)];
    if (column < 0 || row < 0) return;
    const model = this.cells[row * side + column];
    model.set('value', !model.get('value'));
  }

  uploaded() {
    const file = this.explorer.roles.upload.get('value')[0];
    if (!file) return;
    this.explorer.roles.upload.set('value', []);
    this.take(new Blob([file.content], { type: file.type }));
  }

  /** Show a picture of the reader's; it stays in this page. */
  async take(file) {
    try {
      this.busy = true;
      const own = await this.engine.open(file);
      this.busy = false;
      this.together(() => {
        this.own = own;
        this.choose('sample', null);
      });
    } catch (error) {
      this.busy = false;
      if (error.name === 'ImageError') this.explorer.say(escape(error.message));
      else this.failed(error);
      this.explorer.mark('refused');
    }
  }

  /** Bring the picture up to the controls: the newest state wins, those in between are left out. */
  async update() {
    this.stale = true;
    if (this.busy) return void this.preview();
    this.busy = true;
    try {
      while (this.stale) {
        this.stale = false;
        await this.show();
      }
    } catch (error) {
      this.failed(error);
    } finally {
      this.busy = false;
    }
  }

  async show() {
    const state = this.state();
    if (state.strategy === 'hand' && !state.hand.includes('0')) {
      this.explorer.say('every square is hidden: leave at least one visible, the model has nothing to go on');
      return this.explorer.mark('refused');
    }
    if (!this.engine.ready) this.preview();
    const { picture, text } = await this.engine.run(state, this.own);
    this.explorer.picture('picture', picture, 'png');
    this.explorer.text(text);
    this.explorer.say('');
    this.explorer.mark('model');
  }

  /** What was computed beforehand, while the model is on its way or where it cannot run. */
  async preview(change) {
    const pack = await loadFrames(this.frames).catch(() => null);
    if (!pack || this.engine.ready) return false;
    const shown = showFrame(this.explorer, pack, change);
    if (shown) this.explorer.mark('preview');
    return shown;
  }

  progress(loaded, total) {
    const [have, all] = [loaded, total].map((bytes) => (bytes / 1e6).toFixed(1));
    const bar = this.explorer.place.querySelector('.maelib-role-status progress');
    if (!bar)
      this.explorer.say(`Loading the model, once: <progress aria-label="model" max="${total}"></progress> <span></span>`);
    const place = this.explorer.place.querySelector('.maelib-role-status');
    place.querySelector('progress').value = loaded;
    place.querySelector('span').textContent = `${have} of ${all} MB`;
  }

  async failed(error) {
    const near = Math.round(this.explorer.raw('ratio') / 5) * 5;
    await this.preview({ ratio: near });
    this.explorer.say(
      `The model cannot run in this browser (${escape(error.message)}). The ratio slider still shows the first picture at ` +
        'every fifth ratio, computed beforehand; everything else needs a recent browser, or the notebook.',
    );
    this.explorer.mark('failed');
  }
}
