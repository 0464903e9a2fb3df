// The reader's own picture, opened in their browser; nothing leaves it.
import { resizeCrop } from './resize.js';

const WHOLE = 4_000_000; // pixels up to which all are used for resampling; larger pictures the browser shrinks first

const refuse = (what) => {
  throw Object.assign(new Error(`the upload ${what}`), { kind: 'refused' }); // the file is to blame
};

/** RGB bytes at the model's size from a file; its error says in one sentence what is wrong. */
export async function openPicture(file, about) {
  const [size, most] = [file.size, about.maxBytes].map((bytes) => (bytes / 1e6).toFixed(1));
  if (!file.size) refuse('is empty: choose another file');
  if (file.size > about.maxBytes) refuse(`has ${size} MB, more than ${most} MB: make it smaller first`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const header = inspect(bytes);
  if (header?.truncated) refuse('is damaged or truncated: get it again or choose another file');
  const { width = 0, height = 0 } = header ?? {};
  if (width * height > about.maxPixels)
    refuse(`has ${width} x ${height} pixels, more than ${about.maxPixels.toLocaleString('en')}: make it smaller first`);
  const bitmap = await decode(new Blob([bytes]), width, height);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.fillStyle = 'white'; // under what is transparent
  context.fillRect(0, 0, bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
  return resizeCrop(data, bitmap.width, bitmap.height, about.width, about.height);
}

async function decode(blob, width, height) {
  const shrink = Math.sqrt(WHOLE / Math.max(width * height, 1));
  // One side only: the proportions stay, also where the camera was turned.
  const options = shrink < 1 ? { resizeHeight: Math.ceil(height * shrink), resizeQuality: 'high' } : {};
  try {
    return await createImageBitmap(blob, options);
  } catch {
    return refuse('is not a picture that this browser can open: use JPEG, PNG, WebP or GIF');
  }
}

/** Width, height and whether the end is missing, from the header of a PNG, JPEG, GIF or WebP; null for others. */
export function inspect(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = (start, length) => String.fromCharCode(...bytes.subarray(start, start + length));
  const [png, gif, webp] = [text(1, 3) === 'PNG', text(0, 3) === 'GIF', text(0, 4) === 'RIFF' && text(8, 4) === 'WEBP'];
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return inspectJpeg(bytes, view);
  if (!png && !gif && !webp) return null;
  if (bytes.length < 30 || (webp && view.getUint32(4, true) + 8 > bytes.length)) return { truncated: true };
  const size = (width, height, truncated = false) => ({ width, height, truncated });
  if (png) return size(view.getUint32(16), view.getUint32(20), !holds(bytes, 'IEND'));
  if (gif) return size(view.getUint16(6, true), view.getUint16(8, true), !bytes.subarray(-64).includes(0x3b));
  const bits = view.getUint32(21, true);
  if (text(12, 4) === 'VP8X') return size(1 + uint24(view, 24), 1 + uint24(view, 27));
  if (text(12, 4) === 'VP8L') return size(1 + (bits & 0x3fff), 1 + ((bits >> 14) & 0x3fff));
  return size(view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff);
}

const uint24 = (view, at) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);

/** Whether bytes hold some others, given as characters. */
const holds = (bytes, text) => new TextDecoder('latin1').decode(bytes).includes(text);

function inspectJpeg(bytes, view) {
  let at = 2;
  while (at + 9 < bytes.length) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff) return { truncated: true };
    if (marker === 0xff && at++) continue;
    // The end is looked for from here on: the small picture inside EXIF data has an end of its own.
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      const truncated = !holds(bytes.subarray(at), '\xff\xd9');
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5), truncated };
    }
    at += 2 + view.getUint16(at + 2);
  }
  return { truncated: true };
}
