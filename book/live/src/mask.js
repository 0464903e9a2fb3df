// Which patches stay visible: maelib/strategies.py and maelib/masking.py, number for number.
/** `count` integers of 24 bits from the generator mulberry32, beginning after `skip` of them. */
export function seededIntegers(seed, count, skip = 0) {
  const numbers = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const a = (seed + Math.imul(0x6d2b79f5, skip + i + 1)) | 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    numbers[i] = (t ^ (t >>> 14)) >>> 8;
  }
  return numbers;
}

/** K = max(1, int(N (1 - ratio))). */
export const numVisible = (patches, ratio) => Math.max(1, Math.trunc(patches * (1 - ratio)));

/** Noise of a strategy for a grid [rows, columns]: one whole number a patch, the order is what counts. */
export function seededNoise(grid, seed = 0, strategy = 'random') {
  const [rows, columns] = grid;
  const stream = seededIntegers(seed, rows * columns);
  if (strategy === 'random') return stream;
  const [a, b, c, d] = seededIntegers(seed + 1, 4);
  const key = KEYS[strategy]?.({ rows, columns, a, b, c, d });
  if (!key) throw new Error(`unknown strategy ${strategy}`);
  return stream.map((tie, i) => {
    const value = key(Math.floor(i / columns), i % columns);
    return Math.min(value, 4095) * 4096 + Math.floor(tie / 4096);
  });
}

const KEYS = {
  block: ({ rows, columns, a, b, c, d }) => {
    const [tall, wide] = [2 + (c % 3), 2 + (d % 3)];
    return (row, column) => {
      const distance = Math.max(Math.abs(row - (a % rows)) * wide, Math.abs(column - (b % columns)) * tall);
      return 4095 - Math.min(distance, 4095);
    };
  },
  grid: ({ a, b }) => (row, column) => bayer(row + (a % 16), column + (b % 16)),
  half: ({ rows, columns, a }) => (row, column) => [row, rows - 1 - row, column, columns - 1 - column][a % 4],
};

/** Value of the 16 x 16 Bayer matrix, 0 to 255. */
function bayer(row, column) {
  let value = 0;
  for (let bit = 0; bit < 4; bit++) {
    value |= (((row ^ column) >> bit) & 1) << (7 - 2 * bit);
    value |= ((row >> bit) & 1) << (6 - 2 * bit);
  }
  return value;
}

/** All patches, those first that stay visible longest. */
export const orderOf = (noise) => [...noise.keys()].sort((i, j) => noise[i] - noise[j] || i - j);

/** Keep the first `keep` patches of an order visible: one byte a patch, 1 = hidden. */
export function hideAfter(order, keep) {
  const hidden = new Uint8Array(order.length).fill(1);
  for (const i of order.slice(0, keep)) hidden[i] = 0;
  return hidden;
}

export const countHidden = (hidden) => hidden.reduce((a, b) => a + b, 0);

/** The mask by hand: a character for each patch, "1" = hidden, or for each of `cells` x `cells` squares over them. */
export function hideByHand(text, cells, [rows, columns]) {
  const fine = text.length === rows * columns;
  const square = (row, column) => Math.floor((row * cells) / rows) * cells + Math.floor((column * cells) / columns);
  const place = (patch) => (fine ? patch : square(Math.floor(patch / columns), patch % columns));
  return Uint8Array.from({ length: rows * columns }, (_, patch) => text[place(patch)] === '1');
}

/** A mask in an address: six patches a letter. */
export function toLetters(hidden) {
  const bytes = new Uint8Array(Math.ceil(hidden.length / 8));
  hidden.forEach((h, i) => (bytes[i >> 3] |= h << (7 - (i & 7))));
  return btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** The mask back from `toLetters`; null where the text is no mask of so many patches. */
export function fromLetters(text, patches) {
  if (!/^[\w-]+$/.test(text) || text.length !== Math.ceil((Math.ceil(patches / 8) * 8) / 6)) return null;
  const bytes = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from({ length: patches }, (_, i) => (bytes.charCodeAt(i >> 3) >> (7 - (i & 7))) & 1);
}
