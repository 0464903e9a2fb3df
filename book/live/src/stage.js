// The two pictures: what is drawn, how it moves, and which patch the reader points at.
import { toBytes } from './pixels.js';

const CALM = matchMedia('(prefers-reduced-motion: reduce)');
const NARROW = 620; // CSS pixels below which the pictures stand below each other, as in reconstruction.css
const WIDEST = 520;

export class Stage {
  constructor(root, about) {
    this.root = root;
    [this.rows, this.columns] = about.grid;
    this.count = this.rows * this.columns;
    [this.left, this.right] = root.querySelectorAll('.frame > canvas');
    this.original = this.shown = this.goal = null; // pictures
    this.cover = new Float32Array(this.count); // how far each patch is covered now, and where that goes
    this.hidden = new Uint8Array(this.count);
    this.hover = this.cursor = -1;
    this.veil = false; // in the game the photograph shines through
    this.small = [0, 1].map(() => canvasOf(about));
    root.style.setProperty('--aspect', this.columns / this.rows);
    new ResizeObserver(() => this.layout()).observe(root.querySelector('.pair'));
    new MutationObserver(() => this.colours()).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.colours());
    this.colours();
    this.layout();
  }

  /** Sides are whole device pixels for each patch, so that all patches look alike. */
  layout() {
    const width = this.root.querySelector('.pair').clientWidth;
    const room = width < NARROW ? width : Math.min(WIDEST, (width - 32) / 2);
    this.patch = Math.floor((room * (devicePixelRatio || 1)) / this.columns); // device pixels
    this.root.style.setProperty('--size', `${(this.patch * this.columns) / (devicePixelRatio || 1)}px`);
    for (const canvas of [this.left, this.right])
      if (canvas.width !== this.patch * this.columns)
        [canvas.width, canvas.height] = [this.patch * this.columns, this.patch * this.rows];
    this.draw();
  }

  colours() {
    const style = getComputedStyle(this.root);
    const of = (name) => style.getPropertyValue(name).trim();
    this.ink = { tile: of('--tile'), seam: of('--seam'), mark: of('--mark'), hover: of('--act'), veil: of('--veil') };
    this.draw();
  }

  see(original, hidden, calm = false) {
    this.original = original;
    this.hidden = hidden;
    put(this.small[0], toBytes(original));
    if (calm || CALM.matches) this.cover.set(hidden);
    this.wake();
  }

  /** Three bytes a pixel, {height, width, data}; null for nothing. */
  paint(bytes, calm = false) {
    this.goal = bytes && Float32Array.from(bytes.data);
    this.settled = calm || CALM.matches || !this.shown || !bytes;
    if (this.settled) this.shown = this.goal?.slice(); // a copy: what is shown moves, pictures must not
    this.wake();
  }

  point(patch) {
    if (patch !== this.hover) this.wake();
    this.hover = patch;
  }

  wake() {
    this.awake ||= requestAnimationFrame((now) => this.step(now, now));
  }

  step(now, before) {
    let moving = false;
    const share = Math.min(1, Math.max(now - before, 8) / 130);
    for (let i = 0; i < this.count; i++) {
      const gap = this.hidden[i] - this.cover[i];
      if (!gap) continue;
      this.cover[i] = Math.abs(gap) <= share ? this.hidden[i] : this.cover[i] + Math.sign(gap) * share;
      moving = true;
    }
    if (this.goal && !this.settled) {
      let most = 0;
      for (let i = 0; i < this.goal.length; i++) {
        const gap = this.goal[i] - this.shown[i];
        most = Math.max(most, Math.abs(gap));
        this.shown[i] += gap * Math.min(1, share * 1.6);
      }
      this.settled = most < 1;
      if (this.settled) this.shown.set(this.goal);
      else moving = true;
    }
    this.draw();
    this.awake = moving ? requestAnimationFrame((next) => this.step(next, now)) : 0;
  }

  draw() {
    if (!this.original || !this.ink) return;
    const [pen, brush] = [this.left, this.right].map((canvas) => canvas.getContext('2d'));
    pen.imageSmoothingEnabled = brush.imageSmoothingEnabled = false;
    pen.drawImage(this.small[0], 0, 0, this.left.width, this.left.height);
    for (let i = 0; i < this.count; i++) if (this.cover[i]) this.tile(pen, i, this.cover[i]);
    pen.globalAlpha = 1;
    if (this.shown) {
      put(this.small[1], { data: this.shown });
      brush.drawImage(this.small[1], 0, 0, this.right.width, this.right.height);
    } else brush.clearRect(0, 0, this.right.width, this.right.height);
    for (const [patch, wide, colour] of [[this.hover, 1, this.ink.hover], [this.cursor, 2, this.ink.mark]])
      if (patch >= 0) for (const each of [pen, brush]) this.outline(each, patch, colour, wide);
  }

  /** A tile of the page's own colour grows over a patch. */
  tile(pen, i, cover) {
    const [[x, y], side] = [this.corner(i), this.patch];
    const pad = Math.round((side * 0.65 * (1 - cover)) / 2);
    pen.globalAlpha = this.veil ? cover * 0.72 : cover;
    pen.fillStyle = this.veil ? this.ink.veil : this.ink.seam;
    pen.fillRect(x + pad, y + pad, side - 2 * pad, side - 2 * pad);
    if (this.veil) return;
    pen.fillStyle = this.ink.tile;
    pen.fillRect(x + pad, y + pad, side - 2 * pad - 1, side - 2 * pad - 1);
  }

  corner(patch) {
    return [(patch % this.columns) * this.patch, Math.floor(patch / this.columns) * this.patch];
  }

  outline(pen, patch, colour, wide) {
    for (const [style, width] of [['#fffc', 2 + 2 * wide], [colour, 2 * wide]]) {
      Object.assign(pen, { strokeStyle: style, lineWidth: width * (devicePixelRatio || 1) });
      pen.strokeRect(...this.corner(patch), this.patch, this.patch);
    }
  }

  /** The patch under a pointer, -1 outside. */
  patchAt({ target, clientX, clientY }) {
    const box = target.getBoundingClientRect();
    const column = Math.floor(((clientX - box.left) / box.width) * this.columns);
    const row = Math.floor(((clientY - box.top) / box.height) * this.rows);
    const inside = row >= 0 && column >= 0 && row < this.rows && column < this.columns;
    return inside ? row * this.columns + column : -1;
  }
}

/** A canvas of the model's size. */
export const canvasOf = ({ width, height }) => Object.assign(document.createElement('canvas'), { width, height });

/** Draw three bytes a pixel on a canvas of the same size. */
export function put(canvas, { data }) {
  const image = new ImageData(canvas.width, canvas.height);
  for (let i = 0, j = 0; i < data.length; i += 3, j += 4) {
    for (let c = 0; c < 3; c++) image.data[j + c] = data[i + c];
    image.data[j + 3] = 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}
