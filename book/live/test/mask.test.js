import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hideByHand, hideByNoise, numVisible, seededIntegers, seededNoise } from '../src/mask.js';
import { values } from './values.js';

test('the generator gives the same integers', () => {
  for (const { seed, numbers } of values.integers) assert.deepEqual([...seededIntegers(seed, numbers.length)], numbers);
});

test('every strategy, seed, ratio and grid hides the same patches', () => {
  assert.ok(values.masks.length >= 200);
  for (const { grid, seed, strategy, ratio, hidden } of values.masks) {
    const keep = numVisible(grid[0] * grid[1], ratio / 100);
    const found = hideByNoise(seededNoise(grid, seed, strategy), keep).join('');
    assert.equal(found, hidden, `${grid} ${strategy} seed ${seed} ratio ${ratio}`);
  }
});

test('masks by hand', () => {
  for (const { grid, hand, cells, hidden } of values.hands)
    assert.equal(hideByHand(hand, cells, grid).join(''), hidden);
});

test('an unknown strategy is an error', () => {
  assert.throws(() => seededNoise([4, 4], 0, 'spiral'), /spiral/);
});
