// On paper: light colours whatever the window shows, and the solutions open.
(() => {
  const root = document.documentElement;
  let theme, folded;
  addEventListener("beforeprint", () => {
    theme ??= root.dataset.theme;
    folded ??= [...document.querySelectorAll("details:not([open])")];
    root.dataset.theme = "light";
    for (const details of folded) details.open = true;
  });
  addEventListener("afterprint", () => {
    if (theme) root.dataset.theme = theme;
    for (const details of folded ?? []) details.open = false;
    theme = folded = undefined;
  });
})();
