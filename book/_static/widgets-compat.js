// Loaded before the widgets' embed.js. It looks for its icon fonts where the page lies unless it is told:
window.__jupyter_widgets_assets_path__ = document.currentScript.src.replace(/widgets-compat\.js.*$/, "vendor/");

// and it typesets labels by MathJax 2's queue, which MathJax 3 hasn't got.
addEventListener("load", () => {
  const mathjax = window.MathJax;
  if (mathjax && !mathjax.Hub) {
    mathjax.Hub = { Queue: (call) => mathjax.typesetPromise && mathjax.typesetPromise([call[2]]) };
  }
});

// On a page without contents at its side, Bootstrap would watch every link, and fail at an anchor with a dot.
addEventListener("DOMContentLoaded", () => {
  if (!document.querySelector(".bd-toc-nav")) document.body.removeAttribute("data-bs-spy");
});
