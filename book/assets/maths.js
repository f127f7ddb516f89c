/* Sets the formulas when the reader comes near one, instead of before anything else.
   MathJax is a megabyte; a page whose first screens hold no formula opens without it. */
(() => {
  const engine = document.currentScript.dataset.engine;
  const formulas = document.querySelectorAll(".math");
  const signs = ["scroll", "keydown", "pointerdown", "beforeprint", "hashchange"];
  if (!formulas.length) return;
  let asked = false;

  function load() {
    if (asked) return;
    asked = true;
    signs.forEach((sign) => window.removeEventListener(sign, load));
    watch.disconnect();
    const script = document.createElement("script");
    script.src = engine;
    document.body.append(script);
  }

  const watch = new IntersectionObserver(
    (entries) => entries.some((entry) => entry.isIntersecting) && load(),
    { rootMargin: "400px" },
  );
  formulas.forEach((formula) => watch.observe(formula));
  signs.forEach((sign) => window.addEventListener(sign, load, { passive: true }));
  if (location.hash) load();
  // Whoever stays without moving may be about to print.
  window.addEventListener("load", () => setTimeout(load, 10_000));
})();
