// What a state of the reconstruction explorer looks like: maelib/explorers/state.py, driven by its own constants (`about`).

import { gaussian } from './baseline.js';
import { hideByHand, hideByNoise, numVisible, seededNoise } from './mask.js';
import { PERFECT, psnr, ssim } from './metrics.js';
import { channelsLast, pixelMask } from './pixels.js';

/** One byte a patch, 1 = hidden. */
export function maskOf(state, about) {
  const [rows, columns] = about.grid;
  if (state.strategy === 'hand') return hideByHand(state.hand, about.hand, about.grid);
  const noise = seededNoise(about.grid, state.seed, state.strategy);
  return hideByNoise(noise, numVisible(rows * columns, state.ratio / 100));
}

/** Original, raw, pasted and masked pictures, from the pixels (C, H, W) that the model predicts. */
export function reconstruction(original, pixels, hidden, about) {
  const raw = channelsLast(pixels, original);
  return compose(original, raw, pixelMask(hidden, about.grid, about.patchSize), about);
}

function compose(original, raw, mask, about) {
  const choose = (fill) => ({
    ...original,
    data: original.data.map((value, i) => (mask[Math.floor(i / original.channels)] ? fill(i) : value)),
  });
  return { original, raw, mask, masked: choose(() => about.gray), pasted: choose((i) => raw.data[i]) };
}

/** The Gaussian average under the same mask. */
export const baselineOf = ({ original, mask }, about) => compose(original, gaussian(original, mask), mask, about);

/** A view as {height, width, data}, three bytes a pixel. */
export function view(name, found, about) {
  if (name === 'error') return errorMap(found, about);
  if (name !== 'side by side') return toBytes(found[name]);
  return tile(['original', 'masked', 'raw', 'pasted'].map((each) => toBytes(found[each])), 2, about.gap);
}

function toBytes({ height, width, channels, data }) {
  const bytes = new Uint8ClampedArray(height * width * 3); // rounds, ties to even, and clips
  for (let i = 0; i < bytes.length; i++) bytes[i] = data[channels === 3 ? i : Math.floor(i / 3)] * 255;
  return { height, width, data: bytes };
}

/** Root mean square error over the channels, in colours. */
function errorMap({ original, pasted }, about) {
  const { height, width, channels } = original;
  const bytes = new Uint8ClampedArray(height * width * 3);
  for (let pixel = 0; pixel < height * width; pixel++) {
    let square = 0;
    for (let i = pixel * channels; i < (pixel + 1) * channels; i++) square += (pasted.data[i] - original.data[i]) ** 2;
    const share = Math.min(1, Math.sqrt(square / channels) / about.errorLimit);
    const colour = Math.round(share * 255) * 3;
    for (let c = 0; c < 3; c++) bytes[pixel * 3 + c] = about.errorColours[colour + c];
  }
  return { height, width, data: bytes };
}

function tile(pictures, columns, gap) {
  const { height, width } = pictures[0];
  const rows = Math.ceil(pictures.length / columns);
  const sheet = { height: rows * (height + gap) - gap, width: columns * (width + gap) - gap };
  sheet.data = new Uint8ClampedArray(sheet.height * sheet.width * 3).fill(255);
  pictures.forEach((picture, i) => {
    const top = Math.floor(i / columns) * (height + gap);
    const left = (i % columns) * (width + gap);
    for (let y = 0; y < height; y++)
      sheet.data.set(picture.data.subarray(y * width * 3, (y + 1) * width * 3), ((top + y) * sheet.width + left) * 3);
  });
  return sheet;
}

/** PSNR and SSIM by protocol, of the model and of the average. */
export function scores(found, about) {
  const one = (r) => {
    const protocols = { pasted: { psnr: psnr(r.original, r.pasted), ssim: ssim(r.original, r.pasted) } };
    if (r.mask.includes(1)) protocols.masked = { psnr: psnr(r.original, r.raw, r.mask) };
    return protocols;
  };
  return { model: one(found), gaussian: one(baselineOf(found, about)) };
}

/** The scores as HTML, the same as state.scores_html writes. */
export function scoresHtml(found, hidden, about) {
  const count = hidden.reduce((a, b) => a + b, 0);
  const protocols = Object.keys(about.protocolTitles).filter((name) => name in found.model || name === 'masked');
  const heads = protocols.map((name) => `<th scope="col">${about.protocolTitles[name]}</th>`).join('');
  const rows = Object.entries(found).map(([who, by]) => {
    const cells = protocols.map((name) => `<td>${cell(by[name])}</td>`).join('');
    return `<tr><th scope="row">${about.rowTitles[who]}</th>${cells}</tr>`;
  });
  return (
    `<p>${count} of ${hidden.length} patches hidden (${wholeEven((100 * count) / hidden.length)} %)</p>` +
    `<table class="maelib-scores"><tr><td></td>${heads}</tr>${rows.join('')}</table>`
  );
}

const decibels = (psnr) => `${psnr.toFixed(2)} dB${psnr >= PERFECT ? ' (no error)' : ''}`;

const cell = (values) =>
  values ? `${decibels(values.psnr)}${'ssim' in values ? `, SSIM ${values.ssim.toFixed(3)}` : ''}` : '–';

/** Rounded as Python does: a tie goes to the even number. */
function wholeEven(x) {
  const low = Math.floor(x);
  if (x - low !== 0.5) return String(Math.round(x));
  return String(low % 2 ? low + 1 : low);
}
