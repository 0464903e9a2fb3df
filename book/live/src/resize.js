// A picture at the model's size as PIL's ImageOps.fit(..., BICUBIC) makes it: the middle, resampled with antialiasing.
/** The middle of width x height that has the proportions of the target: [left, top, right, bottom], fractions too. */
export function middle(width, height, toWidth, toHeight) {
  const ratio = toWidth / toHeight;
  const wide = width / height >= ratio;
  const [w, h] = wide ? [ratio * height, height] : [width, width / ratio];
  const [left, top] = [(width - w) / 2, (height - h) / 2];
  return [left, top, left + w, top + h];
}

/** RGBA bytes to RGB bytes of toWidth x toHeight. */
export function resizeCrop(rgba, width, height, toWidth, toHeight) {
  const [left, top, right, bottom] = middle(width, height, toWidth, toHeight);
  const across = weights(width, left, right, toWidth);
  const down = weights(height, top, bottom, toHeight);
  const narrow = new Uint8ClampedArray(height * toWidth * 3); // rounds; PIL too keeps bytes between its two passes
  for (let y = 0; y < height; y++)
    for (let x = 0; x < toWidth; x++)
      for (let c = 0; c < 3; c++)
        narrow[(y * toWidth + x) * 3 + c] = sum(across[x], (i) => rgba[(y * width + i) * 4 + c]);
  const small = new Uint8ClampedArray(toHeight * toWidth * 3);
  for (let y = 0; y < toHeight; y++)
    for (let x = 0; x < toWidth; x++)
      for (let c = 0; c < 3; c++)
        small[(y * toWidth + x) * 3 + c] = sum(down[y], (i) => narrow[(i * toWidth + x) * 3 + c]);
  return small;
}

const sum = ({ first, values }, at) => values.reduce((total, value, i) => total + value * at(first + i), 0);

/** For each target pixel the source pixels that it is made of. */
function weights(size, from, to, count) {
  const scale = (to - from) / count;
  const stretch = Math.max(1, scale);
  return Array.from({ length: count }, (_, i) => {
    const centre = from + (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
    const end = Math.min(size, Math.trunc(centre + 2 * stretch + 0.5));
    const values = Array.from({ length: end - first }, (_, j) => bicubic((first + j - centre + 0.5) / stretch));
    const total = values.reduce((a, b) => a + b, 0);
    return { first, values: values.map((v) => v / total) };
  });
}

/** Keys' cubic with a = -1/2. */
function bicubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
}
