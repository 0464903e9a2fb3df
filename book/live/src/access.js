// What ipywidgets leaves out: names, states and keys for everybody, a click on the picture, dropping, saving.

const ENLARGE = 4; // of the picture that is saved, as in the notebook

/** Give every control of a place its name and keep it right. */
export function nameEverything(place, explorer) {
  for (const [role, model] of Object.entries(explorer.roles)) {
    const element = place.querySelector(`.maelib-role-${role}`);
    if (!element) continue;
    const about = model.get('tooltip') || model.get('description') || role;
    NAMERS[model.get('_model_name')]?.(element, about, model);
  }
  const status = place.querySelector('.maelib-role-status');
  status?.setAttribute('aria-live', 'polite');
}

const NAMERS = {
  ImageModel: (element, about) => element.setAttribute('alt', about),
  IntSliderModel(element, about) {
    element.querySelector('[role=slider]')?.setAttribute('aria-label', about);
    const readout = element.querySelector('.widget-readout');
    readout?.setAttribute('role', 'textbox');
    readout?.setAttribute('aria-label', `${about}, as a number`);
  },
  ToggleButtonsModel(element, about, model) {
    const group = element.querySelector('button')?.parentElement ?? element;
    group.setAttribute('role', 'group');
    group.setAttribute('aria-label', about);
    const press = () =>
      element.querySelectorAll('button').forEach((button, i) => button.setAttribute('aria-pressed', String(i === model.get('index'))));
    model.on('change', press); // after the view, which makes its buttons anew when a program chooses
    press();
  },
  FileUploadModel: (element) => element.setAttribute('aria-label', 'open or drop your picture'),
  GridBoxModel: nameGrid,
  PlayModel(element) {
    const names = ['play or pause', 'stop', 'repeat'];
    element.querySelectorAll('button').forEach((button, i) => button.setAttribute('aria-label', names[i]));
  },
};

/** Sliders of any other widget: their label is their name. */
export function nameSliders(place) {
  for (const handle of place.querySelectorAll('[role=slider]')) {
    const slider = handle.closest('.widget-slider');
    const name = slider?.querySelector('.widget-label')?.textContent || 'value';
    handle.setAttribute('aria-label', name);
    slider?.querySelector('.widget-readout')?.setAttribute('role', 'textbox');
    slider?.querySelector('.widget-readout')?.setAttribute('aria-label', `${name}, as a number`);
  }
}

/** The mask by hand: one stop for the tab key, arrows inside, each square with its place as its name. */
function nameGrid(element, about, model) {
  const buttons = [...element.querySelectorAll('button')];
  const side = Math.sqrt(buttons.length);
  element.setAttribute('role', 'group');
  element.setAttribute('aria-label', 'mask by hand, a pressed square is hidden; arrow keys move');
  buttons.forEach((button, i) => {
    const cell = model.get('children')[i];
    const press = () => button.setAttribute('aria-pressed', String(cell.get('value')));
    cell.on('change:value', press);
    press();
    button.setAttribute('aria-label', cell.get('tooltip'));
    button.tabIndex = i ? -1 : 0;
    button.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -side, ArrowDown: side }[event.key];
      if (!step) return;
      event.preventDefault();
      const sideways = Math.abs(step) === 1;
      const next = i + step;
      const stays = sideways ? Math.floor(next / side) === Math.floor(i / side) : next >= 0 && next < buttons.length;
      if (next < 0 || !stays) return;
      button.tabIndex = -1;
      buttons[next].tabIndex = 0;
      buttons[next].focus();
    });
  });
}

/** Click the picture to hide a square, drop a file to open it, save what is shown. */
export function openPictures(place, driver) {
  const picture = place.querySelector('.maelib-role-picture');
  picture.addEventListener('click', (event) => {
    const box = picture.getBoundingClientRect();
    const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    driver.toggleAt(...share, picture.naturalWidth, picture.naturalHeight);
  });
  place.addEventListener('dragover', (event) => {
    event.preventDefault();
    place.classList.add('maelib-drop');
  });
  for (const name of ['dragleave', 'drop']) place.addEventListener(name, () => place.classList.remove('maelib-drop'));
  place.addEventListener('drop', (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) driver.take(file);
  });
  place.addEventListener('click', (event) => {
    const link = event.target.closest?.('a[download]');
    if (!link) return;
    event.preventDefault();
    save(picture, link.download);
  });
}

function save(picture, name) {
  const canvas = document.createElement('canvas');
  canvas.width = picture.naturalWidth * ENLARGE;
  canvas.height = picture.naturalHeight * ENLARGE;
  const context = canvas.getContext('2d');
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }, 'image/png');
}
