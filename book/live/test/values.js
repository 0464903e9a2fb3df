// What the tests compare with: values that Python has made a moment ago (tests/test_live_units.py).
import { readFileSync } from 'node:fs';

if (!process.env.LIVE_VALUES) throw new Error('run these tests through pytest tests/test_live_units.py, which makes the values');
export const values = JSON.parse(readFileSync(process.env.LIVE_VALUES, 'utf8'));
export const picture = ({ height, width, channels, data }) => ({ height, width, channels, data: Float32Array.from(data) });

/** Largest difference of two arrays of one length. */
export function difference(a, b) {
  if (a.length !== b.length) return Infinity;
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]));
  return most;
}
