// Choose what to keep: a quarter of the patches, judged by what the model paints from them (`pasted`).
import { countHidden, hideAfter, numVisible, orderOf, seededIntegers } from './mask.js';
import { psnr } from './metrics.js';
import { compose } from './state.js';
import { drawHill } from './hill.js';

const RATIO = 0.75;
const TRIES = 100; // random picks of a picture without a table
export const pickSeed = (i) => i * 1009; // of the i-th random pick, as in the tables

export class Game {
  /** `hands` is the explorer, which paints what this one keeps. */
  constructor(root, hands) {
    Object.assign(this, { root, hands, on: false });
    this.$ = (selector) => root.querySelector(selector);
    this.count = hands.about.grid[0] * hands.about.grid[1];
    this.keep = numVisible(this.count, RATIO);
    this.nothing = new Uint8Array(this.count).fill(1);
    this.$('.play').onclick = () => {
      if (hands.camera.on) hands.pick('own', hands.camera.picture);
      this.enter();
    };
    this.$('.leave').onclick = () => this.leave(true);
    this.$('.clear').onclick = () => this.take(this.nothing);
    this.$('.lucky').onclick = () => this.take(this.random(pickSeed(Math.floor(Math.random() * 1e6))), 'random');
    this.$('.found').onclick = () => this.take(Uint8Array.from(this.data.search.hidden, Number), 'search');
  }

  get left() {
    return this.keep - (this.count - countHidden(this.hidden));
  }

  random(seed) {
    return hideAfter(orderOf(seededIntegers(seed, this.count)), this.keep);
  }

  enter(hidden = null) {
    const { hands, hands: { about } } = this;
    Object.assign(this, { on: true, hidden: hidden ?? this.nothing, who: 'you', score: null });
    this.data = about.game?.[hands.state.sample] ?? { tried: [] };
    this.values = this.data.quantiles ?? this.data.tried;
    this.mode(true);
    hands.stage.veil = true;
    if (!hidden) hands.touch();
    if (this.data.tried) void this.tryRandom(hands.original());
    this.judge(null);
    void hands.update();
  }

  leave(again) {
    this.on = false;
    this.mode(false);
    this.hands.stage.veil = false;
    if (this.left < this.keep) this.hands.takeHand(this.hidden); // the slider goes on from the reader's choice
    if (again) this.hands.update();
  }

  mode(on) {
    const { $, root } = this;
    root.classList.toggle('game', on);
    root.classList.remove('full');
    for (const each of ['.again', '.play', '.open-more', '.slide']) $(each).hidden = on;
    for (const each of ['.game-only', '.hill']) $(each).hidden = !on;
    if (on) $('.more').hidden = $('.db').hidden = true;
    $('.open-more').setAttribute('aria-expanded', false);
    $('.found').hidden = !this.data.search;
    $('.sees b').textContent = on ? 'Keep what tells most' : 'What the model sees';
    if (!on) $('.sees .hint').textContent = 'brush to change';
    if (root.classList.contains('touch')) this.hands.brush.mode(on);
  }

  /** Some patches; a full hand says so. */
  set(patches, value) {
    this.hidden = this.hidden.slice();
    for (const patch of patches) {
      if (!value && !this.left && this.hidden[patch]) {
        this.root.classList.add('nope');
        setTimeout(() => this.root.classList.remove('nope'), 300);
      } else this.hidden[patch] = value;
    }
    this.who = 'you';
    this.judge(null);
  }

  take(hidden, who = 'you') {
    Object.assign(this, { hidden, who });
    this.hands.touch();
    this.judge(null);
    this.hands.update();
  }

  /** What the painting is worth, by the random picks and the search; null while it is not there. */
  judge(score) {
    const { left, keep, count, $ } = this;
    this.score = score;
    this.sentence = score === null ? '' : this.verdict(score);
    this.root.classList.toggle('full', !left);
    $('.sees .hint').textContent = `${left} left`;
    const invitation = `You may keep ${keep} of ${count} patches. Brush over those that tell most.`;
    $('.verdict').textContent = left === keep ? invitation : left ? `${left} left to keep.` : this.sentence;
    const link = ` <a href="${this.root.dataset.chapter}">Why random? Chapter 02</a>`;
    if (!left && score !== null) $('.verdict').insertAdjacentHTML('beforeend', link);
    this.draw();
  }

  verdict(score) {
    const { values, data, who } = this;
    const total = (data.masks ?? values.length).toLocaleString('en');
    const below = values.filter((value) => value < score).length;
    const share = data.quantiles ? Math.max(0, below - 1) : Math.floor((100 * below) / (values.length || 1));
    const better = `etter than ${share >= 100 ? 'all' : `${share} % of`} ${total} random masks.`;
    if (who !== 'you') return `${who === 'search' ? 'Found by a search' : 'Picked blindly'}: b${better}`;
    if (data.search && score > data.search.psnr + 0.01) return `B${better.slice(0, -1)}, and better than the search.`;
    if (data.search && share >= 100) return `B${better} Now beat the search.`;
    return below ? `B${better}` : `All ${total} random masks did better. Try edges, and spread them out.`;
  }

  draw() {
    const [{ values, data, score, left, keep }, you] = [this, { you: 'you', random: 'blind', search: '' }[this.who]];
    const picks = `${(data.masks ?? values.length).toLocaleString('en')} random masks`;
    drawHill(this.$('.hill'), { values, search: data.search?.psnr, score: left === keep ? null : score, you, picks });
  }

  /** A photo of the reader's: random masks, painted while one watches. */
  async tryRandom(original) {
    const { data, hands } = this;
    for (let i = 1; i <= TRIES && this.on && this.data === data; i++) {
      const hidden = this.random(pickSeed(i));
      const raw = await hands.paint(original, hidden).catch(() => null);
      if (!raw) return;
      data.tried.push(psnr(original, compose(original, raw, hidden, hands.about).pasted));
      this.root.dataset.tried = i;
      if (this.on && this.data === data) this.score === null ? this.draw() : this.judge(this.score);
    }
  }
}
