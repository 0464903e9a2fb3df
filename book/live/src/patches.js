// Pictures are {height, width, channels, data}, pixel by pixel, channels last; data in [0, 1].

/** (H, W, C) to (N, P): patches row by row, each pixel by pixel, channels last. */
export function patchify({ height, width, channels, data }, size) {
  return reorder(data, new Float32Array(height * width * channels), height, width, channels, size, false);
}

/** The inverse of `patchify`. */
export function unpatchify(patches, height, width, channels, size) {
  const data = new Float32Array(height * width * channels);
  return { height, width, channels, data: reorder(patches, data, height, width, channels, size, true) };
}

function reorder(from, to, height, width, channels, size, back) {
  const row = size * channels; // values that lie together in both orders
  let patch = 0;
  for (let y = 0; y < height; y += size)
    for (let x = 0; x < width; x += size)
      for (let line = 0; line < size; line++, patch += row) {
        const pixel = ((y + line) * width + x) * channels;
        const [start, target] = back ? [patch, pixel] : [pixel, patch];
        to.set(from.subarray(start, start + row), target);
      }
  return to;
}

/** A mask of patches as a mask of pixels, 1 = hidden. */
export function pixelMask(hidden, [rows, columns], size) {
  const mask = new Uint8Array(rows * columns * size * size);
  const width = columns * size;
  for (let y = 0; y < rows * size; y++)
    for (let x = 0; x < width; x++)
      mask[y * width + x] = hidden[Math.floor(y / size) * columns + Math.floor(x / size)];
  return mask;
}
