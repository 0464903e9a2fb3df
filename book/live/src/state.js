// What a state of the reconstruction explorer looks like: maelib/explorers/state.py, by its own constants (`about`).
import { gaussian } from './baseline.js';
import { countHidden, hideAfter, hideByHand, numVisible, orderOf, seededNoise } from './mask.js';
import { PERFECT, psnr, ssim } from './metrics.js';
import { paste, pixelMask, toBytes } from './pixels.js';

/** One byte a patch, 1 = hidden. */
export function maskOf(state, about) {
  const [rows, columns] = about.grid;
  if (state.strategy === 'hand') return hideByHand(state.hand, about.hand, about.grid);
  const noise = seededNoise(about.grid, state.seed, state.strategy);
  return hideAfter(orderOf(noise), numVisible(rows * columns, state.ratio / 100));
}

/** A picture, what fills its hidden patches, the two together, and which pixels are hidden. */
export function compose(original, raw, hidden, about) {
  const mask = pixelMask(hidden, about.grid, about.patchSize);
  return { original, raw, mask, pasted: paste(original, raw, mask) };
}

/** The Gaussian average under the same mask. */
export function averageOf({ original, mask }) {
  const raw = gaussian(original, mask);
  return { original, raw, mask, pasted: paste(original, raw, mask) };
}

/** A view as {height, width, data}, three bytes a pixel. */
export const view = (name, found, about) => (name === 'error' ? errorMap(found, about) : toBytes(found[name]));

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

/** PSNR and SSIM by protocol, of the model and of the average. */
export function scores(found) {
  const one = (r) => {
    const protocols = { pasted: { psnr: psnr(r.original, r.pasted), ssim: ssim(r.original, r.pasted) } };
    if (r.mask.includes(1)) protocols.masked = { psnr: psnr(r.original, r.raw, r.mask) };
    return protocols;
  };
  return { model: one(found), gaussian: one(averageOf(found)) };
}

/** The scores as HTML, the same as state.scores_html writes. */
export function scoresHtml(found, hidden, about) {
  const count = countHidden(hidden);
  const first = `<p>${count} of ${hidden.length} patches hidden (${wholeEven((100 * count) / hidden.length)} %)</p>`;
  if (!count) return `${first}<p>Nothing is hidden, so nothing is painted and nothing is scored.</p>`;
  const protocols = Object.keys(about.protocolTitles).filter((name) => name in found.model || name === 'masked');
  const heads = protocols.map((name) => `<th scope="col">${about.protocolTitles[name]}</th>`).join('');
  const rows = Object.entries(found).map(([who, by]) => {
    const cells = protocols.map((name) => `<td>${cell(by[name])}</td>`).join('');
    return `<tr><th scope="row">${about.rowTitles[who]}</th>${cells}</tr>`;
  });
  return `${first}<table class="maelib-scores"><tr><td></td>${heads}</tr>${rows.join('')}</table>`;
}

const decibels = (psnr) => `${psnr.toFixed(2)} dB${psnr >= PERFECT ? ' (no error)' : ''}`;

const cell = (values) =>
  values ? `${decibels(values.psnr)}${'ssim' in values ? `, SSIM ${values.ssim.toFixed(3)}` : ''}` : '–';

/** Rounded as Python does: a tie goes to the even number. */
const wholeEven = (x) => String(x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/** One plain sentence for two scores in dB, and the same with its words as controls. */
export function compared(model, plain) {
  const gap = model - plain;
  const size = Math.abs(gap).toFixed(1);
  if (size === '0.0') return { text: "The model and the neighbours' average are equally close." };
  const text = `The model ${gap > 0 ? 'beats' : 'loses to'} the neighbours' average by ${size} dB.`;
  const html = text
    .replace(/beats|loses to/, (word) => `<b class="${gap > 0 ? '' : 'loses'}">${word}</b>`)
    .replace("neighbours' average", '<button type="button" class="average" title="hold to see it">$&</button>')
    .replace(' dB', ' <button type="button" class="what" aria-expanded="false">dB</button>');
  const less = Math.round(100 * (1 - 10 ** (-Math.abs(gap) / 10)));
  const about = `A decibel (dB) says how close a painting is to the photo: 3 dB closer is half the squared error.
    Here the ${gap > 0 ? 'model' : 'average'} has ${less} % less of it. The neighbours' average learns nothing:
    it fills each hidden pixel with a blur of the visible ones around it.`;
  return { text, html, about };
}

export const NOTHING = 'Nothing is hidden, so nothing is painted.';
export const EVERYTHING = 'Leave at least one patch: from nothing, nothing can be painted.';
