// Widgets without a kernel: the classes of ipywidgets 8 on the state that stands in the page.
import * as base from '@jupyter-widgets/base';
import { ManagerBase } from '@jupyter-widgets/base-manager';
import * as controls from '@jupyter-widgets/controls';
import { Widget } from '@lumino/widgets';

const MODULES = { '@jupyter-widgets/base': base, '@jupyter-widgets/controls': controls };

export class Manager extends ManagerBase {
  async loadClass(name, module) {
    const found = MODULES[module]?.[name];
    if (!found) throw new Error(`this page has no widget ${module}.${name}`);
    return found;
  }

  async show(model, element) {
    const view = await this.create_view(model);
    Widget.attach(view.luminoWidget, element);
    return view;
  }

  _get_comm_info = async () => ({});
  _create_comm = async () => ({ on_close() {}, on_msg() {}, close() {} });
}
