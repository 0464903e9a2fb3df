// A card with before and after, drawn here; a link that holds the state, never a photo.
import { paste } from './pixels.js';
import { canvasOf, put } from './stage.js';
import { view } from './state.js';

const TILE = [0.894, 0.91, 0.929]; // of a hidden patch, as in the light page

/** Offer a file to be kept. */
export function download(blob, name) {
  const link = Object.assign(document.createElement('a'), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const pngOf = (canvas) => new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));

/** Open the dialog for what is shown; `own` says that the photo is the reader's. */
export function openShare(root, { found, own, url, text }) {
  const dialog = root.querySelector('dialog');
  const card = dialog.querySelector('canvas');
  const $ = (name) => dialog.querySelector(name);
  draw(card, found, text);
  $('.note').textContent = own
    ? 'Your photo is not in the link: it stays on this device. The card has it; share that only if you like.'
    : 'The link opens this picture with these patches.';
  $('.copy').textContent = 'copy link';
  $('.copy').onclick = async () => {
    try {
      await navigator.clipboard.writeText(url);
      $('.copy').textContent = 'copied';
    } catch {
      $('.note').textContent = url; // to be copied by hand
    }
  };
  $('.keep').onclick = async () => download(await pngOf(card), 'seeing-the-unseen.png');
  $('.close').onclick = () => dialog.close();
  dialog.showModal();
}

function draw(card, found, text) {
  const { original, mask } = found;
  const pen = card.getContext('2d');
  const small = canvasOf(original);
  const scale = 448 / Math.max(original.width, original.height);
  const write = (words, x, y, size, weight, colour) => {
    pen.font = `${weight} ${size}px system-ui, sans-serif`;
    pen.fillStyle = colour;
    pen.fillText(words, x, y, 992);
  };
  pen.fillStyle = '#fbfbf9';
  pen.fillRect(0, 0, card.width, card.height);
  pen.imageSmoothingEnabled = false;
  const tile = { data: original.data.map((_, i) => TILE[i % original.channels]) };
  const sees = { ...found, sees: paste(original, tile, mask) };
  for (const [name, x] of [['sees', 104], ['pasted', 648]]) {
    put(small, view(name, sees));
    pen.drawImage(small, x, 62, original.width * scale, original.height * scale);
  }
  write('what the model sees', 104, 46, 24, 400, '#48566b');
  write('what it paints', 648, 46, 24, 400, '#48566b');
  write('→', 588, 296, 24, 400, '#48566b');
  write(text, 104, 562, 30, 600, '#222832');
  write('Seeing the Unseen: masked autoencoders from scratch', 104, 602, 22, 400, '#48566b');
}
