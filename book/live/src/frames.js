// States that Python has computed when the book was built: a picture for each role, and a text.
import { mark } from './explorer.js';
import { ask, once, openPack } from './pack.js';

const packs = new Map(); // one for each address, however many explorers a page has

/** Show the frame of the explorer's present state. */
function showFrame(explorer, { about, blob }) {
  const frame = about.frames[about.controls.map((role) => explorer.raw(role)).join('|')];
  for (const [role, i] of Object.entries(frame.pictures)) explorer.picture(role, blob(i), about.format);
  explorer.roles.text.set('value', about.texts[frame.text]);
}

/** An explorer whose every state is a frame. */
export function driveByFrames(explorer, address) {
  const update = async () => {
    try {
      const pack = await once(packs, address, async () => openPack(await (await ask(address)).arrayBuffer()));
      explorer.say('');
      showFrame(explorer, pack); // the state of now, not of when the loading began
      mark(explorer.place, 'frames');
    } catch (error) {
      explorer.say('The pictures of this explorer could not be loaded. Move a control to try again.');
      mark(explorer.place, 'failed');
      console.warn(error);
    }
  };
  for (const role of Object.keys(explorer.roles))
    if (!explorer.images.includes(role) && !['text', 'status', 'play'].includes(role)) explorer.onChange(role, update);
}
