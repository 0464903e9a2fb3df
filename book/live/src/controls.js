// Slider, buttons and words of the reconstruction explorer; they show what the pictures show.

import { linkTo } from './address.js';
import { holds } from './compare.js';
import { countHidden } from './mask.js';
import { download, openShare, pngOf } from './share.js';

export class Controls {
  /** `hands` is the explorer: its state, and what the controls do with it. */
  constructor(place, hands) {
    Object.assign(this, { place, hands, $: (selector) => place.querySelector(selector) });
    const { $, hands: { about } } = this;
    this.slider = $('input[type=range]');
    this.slider.max = about.ratioMax;
    this.slider.oninput = () => hands.slide(Number(this.slider.value));
    for (const [key, values] of [['strategy', about.strategies], ['view', about.views]])
      for (const value of values) {
        const button = Object.assign(document.createElement('button'), { type: 'button', value, textContent: value });
        button.onclick = () => (key === 'view' ? hands.choose(value) : hands.set({ strategy: value }));
        $(`[data-key=${key}]`).append(button);
      }
    $('.seed').max = about.seeds - 1;
    $('.seed').onchange = ({ target }) => this.seed(Math.min(about.seeds - 1, Math.max(0, Math.trunc(target.value) || 0)));
    $('.again').onclick = () => this.seed((hands.state.seed + 1) % about.seeds);
    $('.open-more').onclick = ({ target }) => {
      target.setAttribute('aria-expanded', !($('.more').hidden = !$('.more').hidden));
      hands.table();
    };
    $('.save').onclick = async () => download(await pngOf(hands.stage.right), 'reconstruction.png');
    $('.share').onclick = () => this.share();
    $('.verdict').onclick = ({ target }) => {
      if (target.matches('.what')) target.setAttribute('aria-expanded', !($('.db').hidden = !$('.db').hidden));
    };
    holds(place, '.paints canvas', 'original', 'The photo', (name) => hands.look(name));
    holds(place, '.peek', 'original', 'The photo', (name) => hands.look(name));
    holds(place, '.average', 'average', "The neighbours' average", (name) => hands.look(name));
  }

  /** A mask by hand has no seed: it makes room for a random one. */
  seed(seed) {
    const { hands } = this;
    hands.set({ seed, ...(hands.brushed && { strategy: 'random', ratio: hands.about.state.ratio }) });
  }

  show(hidden, ratio) {
    const { $, slider, hands: { state, camera, game, touched, addressed } } = this;
    slider.value = ratio;
    slider.style.setProperty('--at', `${(100 * slider.value) / slider.max}%`);
    slider.setAttribute('aria-valuetext', `${countHidden(hidden)} of ${hidden.length} patches hidden`);
    $('output').textContent = `${ratio} %`;
    $('.seed').value = state.seed;
    $('.verdict').setAttribute('aria-live', camera.on ? 'off' : 'polite'); // too much to listen to
    for (const tile of this.place.querySelectorAll('.tile'))
      tile.setAttribute('aria-pressed', tile.dataset.source === (camera.on ? 'live' : state.sample));
    for (const button of this.place.querySelectorAll('.choice button[value]'))
      button.setAttribute('aria-pressed', button.value === state[button.parentElement.dataset.key]);
    if (!touched || camera.on || !addressed) return;
    clearTimeout(this.later);
    this.later = setTimeout(() => history.replaceState(null, '', linkTo(state, hidden, game.on)), 300);
  }

  /** The sentence below the slider. */
  tell({ text, html = text, about = '' }) {
    this.sentence = text;
    this.$('.verdict').innerHTML = html;
    this.$('.db').innerHTML = about;
    this.$('.what')?.setAttribute('aria-expanded', !this.$('.db').hidden);
    this.place.classList.remove('waiting');
  }

  share() {
    const { hands, hands: { camera, game, state } } = this;
    if (camera.on) hands.keep(camera.picture);
    if (!hands.found) return;
    const kept = game.on && game.who === 'you' ? `I kept ${game.keep} of ${hands.count} patches. ` : '';
    const text = kept + ((game.on ? game.sentence : this.sentence) ?? '').replace(' Now beat the search.', '');
    const url = new URL(linkTo(state, hands.mask(), game.on), location.href).href;
    openShare(this.place, { found: hands.found, own: state.sample === 'own', url, text });
  }
}
