// One explorer: its widgets by role, and what shows a result.
const ROLE = 'maelib-role-';

export class Explorer {
  /** `model` is the root widget, `place` the element that it stands in. */
  constructor(model, place) {
    this.place = place;
    this.name = place.dataset.explorer;
    this.roles = {};
    this.walk(model);
    this.images = Object.keys(this.roles).filter((role) => this.roles[role].get('_model_name') === 'ImageModel');
  }

  walk(model) {
    for (const name of model.get('_dom_classes') ?? [])
      if (name.startsWith(ROLE)) this.roles[name.slice(ROLE.length)] = model;
    for (const child of model.get('children') ?? []) this.walk(child);
  }

  /** What a control is at: the index of a selection, the value of anything else. */
  raw(role) {
    const model = this.roles[role];
    return model.has('index') ? model.get('index') : model.get('value');
  }

  /** Call back when a control changes, whoever changed it. */
  onChange(role, callback) {
    const model = this.roles[role];
    model.on(`change:${model.has('index') ? 'index' : 'value'}`, callback);
  }

  picture(role, bytes, format) {
    this.roles[role].set({ format, value: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) });
  }

  /** A sentence of ours to the reader. */
  say(html) {
    this.roles.status.set('value', html ? `<p role="status">${html}</p>` : '');
  }
}

/** For tests and style sheets: how far an explorer is. */
export function mark({ dataset }, state) {
  Object.assign(dataset, { state, count: 1 + Number(dataset.count ?? 0) });
}
