// What the page shows before the model is there: the shipped pictures, and stored paintings of each.

import { openPack, read } from './pack.js';
import { fromBytes } from './pixels.js';

/** `about` of the model, and the shipped pictures by name: each picture has its `address` for a thumbnail. */
export async function loadScene(files) {
  const response = await fetch(files.scene.url);
  if (!response.ok) throw new Error(`${response.status} for ${files.scene.url}`);
  const { about, blob } = openPack(await (await read(response)).arrayBuffer());
  const pictures = {};
  for (const [i, name] of about.samples.entries()) {
    const file = new Blob([blob(i)], { type: 'image/webp' });
    const [picture] = await tiles(file, about);
    pictures[name] = Object.assign(picture, { address: URL.createObjectURL(file) });
  }
  return { about, pictures, strips: new Strips(files, about) };
}

class Strips {
  constructor(files, about) {
    Object.assign(this, { files, about, loaded: new Map() });
  }

  load(name) {
    if (!this.loaded.has(name)) {
      const loading = fetch(this.files[`strip-${name}`].url).then(async (response) => {
        if (!response.ok) throw new Error(`${response.status} for the strip of ${name}`);
        return tiles(await response.blob(), this.about);
      });
      loading.catch(() => this.loaded.delete(name)); // so that the next move tries again
      this.loaded.set(name, loading);
    }
    return this.loaded.get(name);
  }

  /** The painting of a picture at a ratio in per cent; between two stored ones a mixture of them, which is not `exact`. */
  async at(name, ratio) {
    const frames = await this.load(name);
    const { ratios } = this.about;
    const low = Math.max(0, ratios.findLastIndex((stored) => stored <= ratio));
    const high = Math.min(low + 1, ratios.length - 1);
    const part = Math.min(1, Math.max(0, (ratio - ratios[low]) / (ratios[high] - ratios[low] || 1)));
    const data = frames[low].data.map((value, i) => value + part * (frames[high].data[i] - value));
    const psnr = this.about.paintings[name][low];
    return { exact: part === 0 && ratio >= ratios[0], psnr, raw: { ...frames[low], data } };
  }
}

/** A file with pictures of the model's size below one another. */
async function tiles(file, about) {
  const bitmap = await createImageBitmap(file);
  const canvas = Object.assign(document.createElement('canvas'), { width: bitmap.width, height: bitmap.height });
  const pen = canvas.getContext('2d', { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  return Array.from({ length: bitmap.height / about.height }, (_, i) =>
    fromBytes(pen.getImageData(0, i * about.height, about.width, about.height).data, 4, about),
  );
}
