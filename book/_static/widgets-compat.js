// Loaded before the widgets' embed.js. It looks for its icon fonts where the page lies unless it is told:
window.__jupyter_widgets_assets_path__ = document.currentScript.src.replace(/widgets-compat\.js.*$/, "vendor/");

// and it typesets labels by MathJax 2's queue, which MathJax 3 hasn't got.
addEventListener("load", () => {
  const mathjax = window.MathJax;
  if (mathjax && !mathjax.Hub) {
    mathjax.Hub = { Queue: (call) => mathjax.typesetPromise && mathjax.typesetPromise([call[2]]) };
  }
});

// The widgets' sliders have no name for a screen reader: it gets the label that stands beside them.
new MutationObserver(() => {
  for (const handle of document.querySelectorAll(".widget-slider .noUi-handle:not([aria-label])")) {
    const label = handle.closest(".widget-slider").querySelector(".widget-label")?.textContent;
    if (label) handle.setAttribute("aria-label", label);
  }
}).observe(document.documentElement, { childList: true, subtree: true });

// On a page without contents at its side, Bootstrap would watch every link, and fail at an anchor with a dot.
addEventListener("DOMContentLoaded", () => {
  if (!document.querySelector(".bd-toc-nav")) document.body.removeAttribute("data-bs-spy");
});
