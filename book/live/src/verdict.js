// The sentence below the slider: how the model does beside the average of the neighbours.

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
  const about = `A decibel (dB) says how close a painting is to the photo: 3 dB closer is half the squared error. Here the
    ${gap > 0 ? 'model' : 'average'} has ${less} % less of it. The neighbours' average learns nothing: it fills each hidden
    pixel with a blur of the visible ones around it.`;
  return { text, html, about };
}

export const NOTHING = 'Nothing is hidden, so nothing is painted.';
export const EVERYTHING = 'Leave at least one patch: from nothing, nothing can be painted.';
