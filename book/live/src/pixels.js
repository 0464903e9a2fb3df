// Pictures are {height, width, channels, data}, pixel by pixel, channels last; data in [0, 1]. The model's graph has channels first.

/** (H, W, C) to (C, H, W): one plane of numbers a channel, as the graph takes them. */
export function channelsFirst({ height, width, channels, data }) {
  const area = height * width;
  return Float32Array.from(data, (_, i) => data[(i % area) * channels + Math.floor(i / area)]);
}

/** The inverse of `channelsFirst`: what the graph gives, as a picture of the same shape as another. */
export function channelsLast(planes, { height, width, channels }) {
  const area = height * width;
  const data = Float32Array.from(planes, (_, i) => planes[(i % channels) * area + Math.floor(i / channels)]);
  return { height, width, channels, data };
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
