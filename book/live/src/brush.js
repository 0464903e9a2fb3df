// Hide and show patches by hand: mouse, pen, finger, keyboard. The first patch decides what a stroke does.
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Brush {
  /** `hands`: flip(patches, value) hides (1) or shows (0) patches; mask() is the present mask. */
  constructor(root, stage, hands) {
    Object.assign(this, { root, stage, hands, stroke: null, value: 1 });
    this.sees = root.querySelector('.sees');
    this.button = root.querySelector('.brush');
    const { left, right } = stage;
    left.addEventListener('pointerdown', (event) => this.begin(event));
    left.addEventListener('pointermove', (event) => this.move(event));
    for (const name of ['pointerup', 'pointercancel']) left.addEventListener(name, () => (this.stroke = null));
    left.addEventListener('keydown', (event) => this.key(event));
    left.addEventListener('focus', () => left.matches(':focus-visible') && this.cursor(this.last ?? this.middle()));
    left.addEventListener('blur', () => this.cursor(-1));
    const follow = (event) => event.pointerType !== 'touch' && stage.point(stage.patchAt(event));
    right.addEventListener('pointermove', follow);
    for (const each of [left, right]) each.addEventListener('pointerleave', () => stage.point(-1));
    addEventListener('pointerdown', (event) => event.pointerType === 'touch' && root.classList.add('touch'), true);
    root.classList.toggle('touch', matchMedia('(pointer: coarse)').matches);
    this.button.onclick = () => this.mode(!this.on);
  }

  get on() {
    return this.sees.classList.contains('brushing');
  }

  /** On a phone brushing is a mode: within it no swipe scrolls, outside it none hides. */
  mode(on) {
    this.sees.classList.toggle('brushing', on);
    this.button.textContent = on ? 'done' : 'brush';
    this.button.setAttribute('aria-pressed', on);
  }

  begin(event) {
    if (event.button || (event.pointerType === 'touch' && !this.on)) return;
    event.preventDefault();
    this.stage.left.setPointerCapture(event.pointerId);
    const patch = this.stage.patchAt(event);
    if (patch < 0) return;
    this.stroke = { value: 1 - this.hands.mask()[patch], from: patch };
    this.hands.flip([patch], this.stroke.value);
  }

  /** A fast stroke leaves no holes. */
  move(event) {
    const { stage, stroke } = this;
    const patch = stage.patchAt(event);
    if (event.pointerType !== 'touch' || stroke) stage.point(patch);
    if (!stroke || patch < 0 || patch === stroke.from) return;
    const place = (i) => [i % stage.columns, Math.floor(i / stage.columns)];
    const [[x0, y0], [x1, y1]] = [place(stroke.from), place(patch)];
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0));
    const along = (i) => {
      const [x, y] = [Math.round(x0 + ((x1 - x0) * i) / steps), Math.round(y0 + ((y1 - y0) * i) / steps)];
      return y * stage.columns + x;
    };
    this.hands.flip(Array.from({ length: steps }, (_, i) => along(i + 1)), stroke.value);
    stroke.from = patch;
  }

  middle() {
    return Math.floor(this.stage.rows / 2) * this.stage.columns + Math.floor(this.stage.columns / 2);
  }

  cursor(patch) {
    if (patch < 0) this.last = this.stage.cursor < 0 ? this.last : this.stage.cursor;
    this.stage.cursor = patch;
    this.stage.wake();
  }

  key(event) {
    const { rows, columns } = this.stage;
    const [dx, dy] = ARROWS[event.key] ?? [0, 0];
    const press = event.key === ' ' || event.key === 'Enter';
    if (!press && !dx && !dy) return;
    event.preventDefault();
    let at = this.stage.cursor < 0 ? (this.last ?? this.middle()) : this.stage.cursor;
    const [x, y] = [at % columns, Math.floor(at / columns)];
    at = Math.min(rows - 1, Math.max(0, y + dy)) * columns + Math.min(columns - 1, Math.max(0, x + dx));
    this.cursor(at);
    if (press) this.value = 1 - this.hands.mask()[at];
    if (press || event.shiftKey) this.hands.flip([at], this.value);
    const state = this.hands.mask()[at] ? 'hidden' : 'visible';
    const [row, column] = [Math.floor(at / columns) + 1, (at % columns) + 1];
    this.root.querySelector('.quiet').textContent = `row ${row}, column ${column}, ${state}`;
  }
}
