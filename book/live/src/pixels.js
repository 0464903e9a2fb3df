// Pictures are {height, width, channels, data}, pixel by pixel, data in [0, 1]. The model's graph has channels first.
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
  const width = columns * size;
  const patch = (i) => Math.floor(i / width / size) * columns + Math.floor((i % width) / size);
  return Uint8Array.from({ length: rows * size * width }, (_, i) => hidden[patch(i)]);
}

/** One picture where a mask of pixels is 0, another where it is 1. */
export function paste(original, fill, mask) {
  const { channels } = original;
  const data = original.data.map((value, i) => (mask[Math.floor(i / channels)] ? fill.data[i] : value));
  return { ...original, data };
}

/** Bytes, `step` of them a pixel, red first, as a picture of the model's shape; one channel as PIL's "L" has it. */
export function fromBytes(bytes, step, { height, width, channels }) {
  const data = new Float32Array(height * width * channels);
  for (let i = 0; i < height * width; i++) {
    const [r, g, b] = [bytes[i * step], bytes[i * step + 1], bytes[i * step + 2]];
    if (channels === 3) data.set([r / 255, g / 255, b / 255], 3 * i);
    else data[i] = ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16) / 255;
  }
  return { height, width, channels, data };
}

/** As three bytes a pixel: rounds, ties to even, and clips. */
export function toBytes({ height, width, channels, data }) {
  const bytes = new Uint8ClampedArray(height * width * 3);
  for (let i = 0; i < bytes.length; i++) bytes[i] = data[channels === 3 ? i : Math.floor(i / 3)] * 255;
  return { height, width, data: bytes };
}
