// The fill that learns nothing: maelib.evaluation.baselines.gaussian.
/** A Gaussian-weighted average of the visible pixels, for every pixel; `hidden` is a mask of pixels. */
export function gaussian(picture, hidden) {
  const { height, width, channels, data } = picture;
  const size = Math.max(height, width);
  const kernel = gaussianKernel(size === 64 ? 3 : (10 * size) / 224);
  const visible = Float64Array.from(hidden, (h) => 1 - h);
  const weight = blur(visible, height, width, kernel);
  const filled = new Float32Array(data.length);
  const seen = visible.reduce((a, b) => a + b, 0);
  for (let channel = 0; channel < channels; channel++) {
    const plane = visible.map((v, i) => v * data[i * channels + channel]);
    const mean = plane.reduce((a, b) => a + b, 0) / seen;
    const total = blur(plane, height, width, kernel);
    for (let i = 0; i < total.length; i++)
      filled[i * channels + channel] = weight[i] > 1e-6 ? total[i] / weight[i] : mean;
  }
  return { height, width, channels, data: filled };
}

function gaussianKernel(sigma) {
  const radius = Math.ceil(4 * sigma);
  const weight = (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2));
  const kernel = Float64Array.from({ length: 2 * radius + 1 }, weight);
  const sum = kernel.reduce((a, b) => a + b, 0);
  return kernel.map((value) => value / sum);
}

/** Two passes, nothing beyond the border. */
function blur(plane, height, width, kernel) {
  const rows = pass(plane, kernel, height, width, 1, width);
  return pass(rows, kernel, width, height, width, 1);
}

function pass(plane, kernel, lines, length, step, jump) {
  const radius = (kernel.length - 1) / 2;
  const out = new Float64Array(plane.length);
  for (let line = 0; line < lines; line++)
    for (let i = 0; i < length; i++) {
      let sum = 0;
      for (let j = Math.max(0, i - radius); j <= Math.min(length - 1, i + radius); j++)
        sum += kernel[j - i + radius] * plane[line * jump + j * step];
      out[line * jump + i * step] = sum;
    }
  return out;
}
