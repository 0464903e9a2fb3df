import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resizeCrop } from '../src/resize.js';
import { inspect } from '../src/upload.js';
import { difference, values } from './values.js';

test('pictures of any shape are resized and cropped as PIL does', () => {
  for (const { width, height, to, rgba, rgb } of values.fits)
    assert.ok(difference(resizeCrop(rgba, width, height, to[0], to[1]), rgb) <= 1, `${width} x ${height}`);
});

test('the size stands in the header, whatever the format', () => {
  for (const { format, width, height, bytes } of values.files) {
    const found = inspect(Uint8Array.from(Buffer.from(bytes, 'base64')));
    assert.deepEqual([found.width, found.height, Boolean(found.truncated)], [width, height, false], format);
  }
});

test('a truncated file is noticed', () => {
  for (const { format, bytes } of values.files) {
    const whole = Buffer.from(bytes, 'base64');
    const found = inspect(Uint8Array.from(whole.subarray(0, Math.floor(whole.length * 0.6))));
    assert.ok(found.truncated, format);
  }
});

test('what is no picture has no header', () => {
  assert.equal(inspect(new TextEncoder().encode('no picture at all, only some words')), null);
});
