import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gaussian } from '../src/baseline.js';
import { psnr, ssim } from '../src/metrics.js';
import { channelsFirst, channelsLast, pixelMask } from '../src/pixels.js';
import { averageOf, compose, maskOf, scores, scoresHtml, view } from '../src/state.js';
import { difference, picture, values } from './values.js';

test('channels first is the order of Python, channels last its inverse', () => {
  for (const { image, planes } of values.planes) {
    const original = picture(image);
    const found = channelsFirst(original);
    assert.equal(difference(found, Float32Array.from(planes)), 0);
    assert.deepEqual(channelsLast(found, original), original);
  }
});

test('PSNR and SSIM are those of scikit-image', () => {
  for (const { a, b, where, psnr: p, masked, ssim: s } of values.metrics) {
    const [x, y] = [picture(a), picture(b)];
    assert.ok(Math.abs(psnr(x, y) - p) < 1e-3, `PSNR ${psnr(x, y)}, scikit-image ${p}`);
    assert.ok(Math.abs(psnr(x, y, where) - masked) < 1e-3);
    assert.ok(Math.abs(ssim(x, y) - s) < 1e-4, `SSIM ${ssim(x, y)}, scikit-image ${s}`);
  }
});

test('the Gaussian average is that of Python', () => {
  for (const { image, hidden, filled } of values.baseline)
    assert.ok(difference(gaussian(picture(image), hidden).data, filled) < 1e-5);
});

test('masks of patches become masks of pixels', () => {
  assert.deepEqual([...pixelMask([1, 0], [1, 2], 2)], [1, 1, 0, 0, 1, 1, 0, 0]);
});

test('views, scores and text of whole states', () => {
  for (const { about, state, original, pixels, views, text } of values.states) {
    const hidden = maskOf(state, about);
    const shown = picture(original);
    const found = compose(shown, channelsLast(Float32Array.from(pixels), shown), hidden, about);
    found.average = averageOf(found).pasted;
    for (const [name, { height, width, data }] of Object.entries(views)) {
      const made = view(name, found, about);
      assert.deepEqual([made.height, made.width], [height, width]);
      assert.ok(difference(made.data, data) <= (name === 'error' ? 4 : 1), `${name}: ${difference(made.data, data)}`);
    }
    assert.equal(scoresHtml(scores(found), hidden, about), text);
  }
});
