// Slider, buttons and words of the reconstruction explorer; they show what the pictures show.
import { linkTo } from './address.js';
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
    const bounded = (seed) => Math.min(about.seeds - 1, Math.max(0, Math.trunc(seed) || 0));
    $('.seed').onchange = ({ target }) => this.seed(bounded(target.value));
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
    this.sources(place, hands);
    holds(place, '.paints canvas', 'original', 'The photo', (name) => hands.look(name));
    holds(place, '.peek', 'original', 'The photo', (name) => hands.look(name));
    holds(place, '.average', 'average', "The neighbours' average", (name) => hands.look(name));
  }

  /** Which picture: the shipped ones as thumbnails, the reader's own by button or by dropping it, the camera. */
  sources(root, hands) {
    const bar = root.querySelector('.sources');
    for (const [name, { address }] of Object.entries(hands.pictures)) {
      const title = name.replaceAll('_', ' ');
      const tile = Object.assign(document.createElement('button'), { type: 'button', className: 'tile', title });
      tile.setAttribute('aria-label', title);
      tile.dataset.source = name;
      tile.style.backgroundImage = `url(${address})`;
      tile.onclick = () => hands.pick(name);
      bar.append(tile);
    }
    const file = root.querySelector('input[type=file]');
    root.querySelector('.own').onclick = () => file.click();
    root.querySelector('.cam').onclick = () => hands.film();
    file.onchange = () => {
      if (file.files[0]) hands.take(file.files[0]);
      file.value = ''; // so that the same file can be chosen again
    };
    for (const kind of ['dragover', 'dragleave', 'drop'])
      root.addEventListener(kind, (event) => {
        event.preventDefault();
        root.classList.toggle('drop', kind === 'dragover');
        if (kind === 'drop' && event.dataTransfer.files[0]) hands.take(event.dataTransfer.files[0]);
      });
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
    if (camera.on) hands.pick('own', camera.picture);
    if (!hands.found) return;
    const kept = game.on && game.who === 'you' ? `I kept ${game.keep} of ${hands.count} patches. ` : '';
    const text = kept + ((game.on ? game.sentence : this.sentence) ?? '').replace(' Now beat the search.', '');
    const url = new URL(linkTo(state, hands.mask(), game.on), location.href).href;
    openShare(this.place, { found: hands.found, own: state.sample === 'own', url, text });
  }
}

/** While `selector` inside the root is held, `look(view)` shows a view under its title; `look()` ends it. */
function holds(root, selector, view, title, look) {
  const caption = root.querySelector('.paints b');
  const own = caption.textContent;
  const peek = (on) => (event) => {
    if (!event.target.closest?.(selector) || (event.key && event.key !== ' ' && event.key !== 'Enter')) return;
    if (event.key) event.preventDefault();
    if (on === (caption.dataset.held === view)) return;
    caption.dataset.held = on ? view : '';
    caption.textContent = on ? title : own;
    look(on ? view : undefined);
  };
  for (const name of ['pointerdown', 'keydown']) root.addEventListener(name, peek(true));
  for (const name of ['pointerup', 'pointercancel', 'pointerout', 'keyup', 'focusout'])
    root.addEventListener(name, peek(false));
  root.addEventListener('contextmenu', (event) => event.target.closest(selector) && event.preventDefault());
}
