// PSNR and SSIM as scikit-image computes them, on pictures in [0, 1].

export const PERFECT = 100; // dB, for a picture without any error

/** Peak signal-to-noise ratio in dB; `where` scores the pixels where it is 1. */
export function psnr(original, other, where = null) {
  const { channels } = original;
  let [total, count] = [0, 0];
  for (let pixel = 0; pixel < original.height * original.width; pixel++) {
    if (where && !where[pixel]) continue;
    for (let i = pixel * channels; i < (pixel + 1) * channels; i++) total += (original.data[i] - other.data[i]) ** 2;
    count += channels;
  }
  const error = count ? total / count : 0;
  return error < 10 ** (-PERFECT / 10) ? PERFECT : -10 * Math.log10(error);
}

/** Structural similarity: uniform 7 x 7 windows, sample covariance, mean over channels, borders left out. */
export function ssim(original, other, side = 7) {
  const { height, width, channels } = original;
  const count = side * side;
  const [c1, c2] = [0.01 ** 2, 0.03 ** 2];
  let total = 0;
  for (let channel = 0; channel < channels; channel++) {
    const x = plane(original, channel);
    const y = plane(other, channel);
    const [sx, sy, sxx, syy, sxy] = [x, y, times(x, x), times(y, y), times(x, y)].map((p) =>
      windowSums(p, height, width, side),
    );
    let sum = 0;
    for (let i = 0; i < sx.length; i++) {
      const [mx, my] = [sx[i] / count, sy[i] / count];
      const vx = (sxx[i] - count * mx * mx) / (count - 1);
      const vy = (syy[i] - count * my * my) / (count - 1);
      const vxy = (sxy[i] - count * mx * my) / (count - 1);
      sum += ((2 * mx * my + c1) * (2 * vxy + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2));
    }
    total += sum / sx.length;
  }
  return total / channels;
}

function plane({ height, width, channels, data }, channel) {
  return Float64Array.from({ length: height * width }, (_, i) => data[i * channels + channel]);
}

const times = (a, b) => a.map((value, i) => value * b[i]);

/** Sums over every window that lies inside, by a summed-area table. */
function windowSums(values, height, width, side) {
  const table = new Float64Array((height + 1) * (width + 1));
  const at = (y, x) => y * (width + 1) + x;
  for (let y = 1; y <= height; y++)
    for (let x = 1; x <= width; x++)
      table[at(y, x)] =
        values[(y - 1) * width + x - 1] + table[at(y - 1, x)] + table[at(y, x - 1)] - table[at(y - 1, x - 1)];
  const sums = new Float64Array((height - side + 1) * (width - side + 1));
  let i = 0;
  for (let y = side; y <= height; y++)
    for (let x = side; x <= width; x++)
      sums[i++] = table[at(y, x)] - table[at(y - side, x)] - table[at(y, x - side)] + table[at(y - side, x - side)];
  return sums;
}
