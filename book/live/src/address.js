// Picture, ratio, seed, strategy and mask stand in the fragment of the address; a picture of the reader's never does.
import { fromLetters, toLetters } from './mask.js';

/** The address of a state; `hidden` is its mask, which is written down where it was made by hand or in the game. */
export function linkTo(state, hidden, playing) {
  const bare = location.pathname + location.search;
  if (state.sample === 'own') return bare;
  const parts = { sample: state.sample };
  if (playing || state.strategy === 'hand') parts.hand = toLetters(hidden);
  else Object.assign(parts, { ratio: state.ratio, seed: state.seed, strategy: state.strategy });
  if (playing) parts.game = 1;
  return `${bare}#${new URLSearchParams(parts)}`;
}

/** The state that the address holds, checked, with `hand` as characters; null where it holds none. */
export function stateInAddress({ samples, strategies, ratioMax, seeds, grid }) {
  const parts = new URLSearchParams(location.hash.slice(1));
  const sample = parts.get('sample');
  if (!samples.includes(sample)) return null;
  const number = (key, high, other) => {
    const found = Number(parts.get(key) ?? other);
    return Number.isFinite(found) ? Math.min(high, Math.max(0, Math.trunc(found))) : other;
  };
  const hidden = parts.has('hand') && fromLetters(parts.get('hand'), grid[0] * grid[1]); // a broken one leaves the rest
  const named = strategies.includes(parts.get('strategy')) ? parts.get('strategy') : strategies[0];
  const state = { sample, ratio: number('ratio', ratioMax, 75), seed: number('seed', seeds - 1, 0), strategy: named };
  const hand = hidden ? { strategy: 'hand', hand: hidden.join('') } : {};
  return { state: { ...state, ...hand }, playing: parts.has('game') };
}
