import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromLetters, hideAfter, hideByHand, numVisible, orderOf, seededIntegers, seededNoise, toLetters } from '../src/mask.js';
import { values } from './values.js';

test('the generator gives the same integers', () => {
  for (const { seed, numbers } of values.integers) assert.deepEqual([...seededIntegers(seed, numbers.length)], numbers);
});

test('every strategy, seed, ratio and grid hides the same patches', () => {
  assert.ok(values.masks.length >= 200);
  for (const { grid, seed, strategy, ratio, hidden } of values.masks) {
    const keep = numVisible(grid[0] * grid[1], ratio / 100);
    const found = hideAfter(orderOf(seededNoise(grid, seed, strategy)), keep).join('');
    assert.equal(found, hidden, `${grid} ${strategy} seed ${seed} ratio ${ratio}`);
  }
});

test('masks by hand', () => {
  for (const { grid, hand, cells, hidden } of values.hands)
    assert.equal(hideByHand(hand, cells, grid).join(''), hidden);
});

test('a mask is the same after its way through an address, and what is no mask is refused', () => {
  for (const { hidden } of values.hands) {
    const letters = toLetters(Uint8Array.from(hidden, Number));
    assert.match(letters, /^[\w-]+$/);
    assert.equal(fromLetters(letters, hidden.length).join(''), hidden);
    for (const wrong of ['', letters.slice(1), `${letters}A`, `${letters.slice(1)}%`]) assert.equal(fromLetters(wrong, hidden.length), null);
  }
});

test('an unknown strategy is an error', () => {
  assert.throws(() => seededNoise([4, 4], 0, 'spiral'), /spiral/);
});
