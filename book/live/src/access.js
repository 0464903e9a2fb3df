// What ipywidgets leaves out: names, states and keys for everybody, a patch picked by a click on the picture.
/** Give every control of a place its name and keep it right. */
export function nameEverything(place, explorer) {
  for (const [role, model] of Object.entries(explorer.roles)) {
    const element = place.querySelector(`.maelib-role-${role}`);
    if (!element) continue;
    const about = model.get('tooltip') || model.get('description') || role;
    NAMERS[model.get('_model_name')]?.(element, about, model);
  }
  place.querySelector('.maelib-role-status')?.setAttribute('aria-live', 'polite');
  const quiet = () => place.querySelectorAll('[title=null]').forEach((element) => element.removeAttribute('title'));
  new MutationObserver(quiet).observe(place, { subtree: true, childList: true, attributeFilter: ['title'] });
  quiet();
}

const NAMERS = {
  ImageModel: (element, about) => element.setAttribute('alt', about),
  IntSliderModel: nameSlider,
  ToggleButtonsModel(element, about, model) {
    const group = element.querySelector('button')?.parentElement ?? element;
    group.setAttribute('role', 'group');
    group.setAttribute('aria-label', about);
    const pressed = (button, i) => button.setAttribute('aria-pressed', i === model.get('index'));
    const press = () => element.querySelectorAll('button').forEach(pressed);
    model.on('change', press); // after the view, which makes its buttons anew when a program chooses
    press();
  },
  PlayModel(element) {
    const names = ['play or pause', 'stop', 'repeat'];
    element.querySelectorAll('button').forEach((button, i) => button.setAttribute('aria-label', names[i]));
  },
};

function nameSlider(element, about) {
  element.querySelector('[role=slider]')?.setAttribute('aria-label', about);
  const readout = element.querySelector('.widget-readout');
  readout?.setAttribute('role', 'textbox');
  readout?.setAttribute('aria-label', `${about}, as a number`);
}

/** Sliders of any other widget: their label is their name. */
export function nameSliders(place) {
  for (const slider of place.querySelectorAll('.widget-slider'))
    nameSlider(slider, slider.querySelector('.widget-label')?.textContent || 'value');
}

/** A click on the picture, or a drag over it, picks the patch there, where sliders do it by row and column. */
export function pickByPointer(place, { roles }) {
  const picture = place.querySelector('.maelib-role-picture');
  if (!picture || !roles.row || !roles.column) return;
  const pick = (event) => {
    if (event.type === 'pointermove' && (!event.buttons || event.pointerType === 'touch')) return;
    const box = picture.getBoundingClientRect();
    const shares = { row: (event.clientY - box.top) / box.height, column: (event.clientX - box.left) / box.width };
    for (const [role, share] of Object.entries(shares)) {
      const [min, max, step] = ['min', 'max', 'step'].map((key) => roles[role].get(key));
      const end = max + (min ? 1 : step); // the picture's rows or columns, in the slider's unit
      const value = min + Math.round((Math.floor(share * end) - min) / step) * step;
      roles[role].set('value', Math.min(max, Math.max(min, value)));
    }
  };
  for (const name of ['pointerdown', 'pointermove']) picture.addEventListener(name, pick);
  picture.addEventListener('dragstart', (event) => event.preventDefault());
}
