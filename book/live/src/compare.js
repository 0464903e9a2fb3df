// Hold the painting, or a word of the sentence, to see something else in its place.

/** While `selector` inside the root is held, `look(view)` shows a view under its title; `look()` puts everything back. */
export function holds(root, selector, view, title, look) {
  const caption = root.querySelector('.paints b');
  const own = caption.textContent;
  const peek = (on) => (event) => {
    if (!event.target.closest?.(selector) || (event.key && event.key !== ' ' && event.key !== 'Enter')) return;
    if (event.key) event.preventDefault();
    if (on === (caption.dataset.held === view)) return;
    caption.dataset.held = on ? view : '';
    caption.textContent = on ? title : own;
    look(on ? view : undefined);
  };
  for (const name of ['pointerdown', 'keydown']) root.addEventListener(name, peek(true));
  for (const name of ['pointerup', 'pointercancel', 'pointerout', 'keyup', 'focusout'])
    root.addEventListener(name, peek(false));
  root.addEventListener('contextmenu', (event) => event.target.closest(selector) && event.preventDefault());
}
