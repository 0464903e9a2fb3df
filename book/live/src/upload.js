// The reader's own picture, opened in their browser; nothing leaves it.

import { resizeCrop } from './resize.js';

const WHOLE = 4_000_000; // pixels up to which a picture is resampled from all of them; larger ones are halved first by the browser

class ImageError extends Error {
  kind = 'refused'; // the file is to blame
}

/** RGB bytes at the model's size from a file; ImageError says in one sentence what is wrong. */
export async function openPicture(file, about) {
  if (!file.size) throw new ImageError('the upload is empty: choose another file');
  if (file.size > about.maxBytes)
    throw new ImageError(`the upload has ${mb(file.size)} MB, more than ${mb(about.maxBytes)} MB: make it smaller first`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const header = inspect(bytes);
  if (header?.truncated) throw new ImageError('the upload is damaged or truncated: get it again or choose another file');
  const { width = 0, height = 0 } = header ?? {};
  if (width * height > about.maxPixels)
    throw new ImageError(
      `the upload has ${width} x ${height} pixels, more than ${about.maxPixels.toLocaleString('en')}: make it smaller first`,
    );
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
    throw new ImageError('the upload is not a picture that this browser can open: use JPEG, PNG, WebP or GIF');
  }
}

const mb = (bytes) => (bytes / 1e6).toFixed(1);

/** Width, height and whether the end is missing, from the header of a PNG, JPEG, GIF or WebP; null for others. */
export function inspect(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = (start, length) => String.fromCharCode(...bytes.subarray(start, start + length));
  const short = bytes.length < 30;
  if (text(1, 3) === 'PNG')
    return short ? { truncated: true } : { width: view.getUint32(16), height: view.getUint32(20), truncated: !endsWith(bytes, 'IEND') };
  if (text(0, 3) === 'GIF')
    return short ? { truncated: true } : { width: view.getUint16(6, true), height: view.getUint16(8, true), truncated: !bytes.subarray(-64).includes(0x3b) };
  if (text(0, 4) === 'RIFF' && text(8, 4) === 'WEBP') {
    if (short || view.getUint32(4, true) + 8 > bytes.length) return { truncated: true };
    const kind = text(12, 4);
    if (kind === 'VP8X') return { width: 1 + uint24(view, 24), height: 1 + uint24(view, 27) };
    if (kind === 'VP8L') return { width: 1 + (view.getUint32(21, true) & 0x3fff), height: 1 + ((view.getUint32(21, true) >> 14) & 0x3fff) };
    return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  }
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return inspectJpeg(bytes, view);
  return null;
}

const uint24 = (view, at) => view.getUint16(at, true) | (view.getUint8(at + 2) << 16);

function endsWith(bytes, name) {
  const codes = [...name].map((c) => c.charCodeAt(0));
  for (let i = bytes.length - codes.length; i >= 0; i--) if (codes.every((code, j) => bytes[i + j] === code)) return true;
  return false;
}

function inspectJpeg(bytes, view) {
  let at = 2;
  while (at + 9 < bytes.length) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff) return { truncated: true };
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    const frame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (frame) return { width: view.getUint16(at + 7), height: view.getUint16(at + 5), truncated: !hasEnd(bytes, at) };
    at += 2 + view.getUint16(at + 2);
  }
  return { truncated: true };
}

function hasEnd(bytes, after) {
  // Not before: the small picture inside EXIF data has an end of its own.
  for (let i = bytes.length - 2; i > after; i--) if (bytes[i] === 0xff && bytes[i + 1] === 0xd9) return true;
  return false;
}
