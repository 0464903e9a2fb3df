// What the page shows before the model is there: the shipped pictures, and stored paintings of each.
import { ask, once, openPack } from './pack.js';
import { fromBytes } from './pixels.js';
import { canvasOf } from './stage.js';

/** `about` of the model, and the shipped pictures by name: each picture has its `address` for a thumbnail. */
export async function loadScene(files) {
  const { about, blob } = openPack(await (await ask(files.scene.url)).arrayBuffer());
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
    const { url } = this.files[`strip-${name}`];
    return once(this.loaded, name, async () => tiles(await (await ask(url)).blob(), this.about));
  }

  /** The painting of a picture at a ratio in per cent; between two stored ones a mixture, which is not `exact`. */
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
  const pen = canvasOf(bitmap).getContext('2d', { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  return Array.from({ length: bitmap.height / about.height }, (_, i) =>
    fromBytes(pen.getImageData(0, i * about.height, about.width, about.height).data, 4, about),
  );
}
