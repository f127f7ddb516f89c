// Wires one explorer: unpacks its frames, then shows the one that its controls name.
// The page's HTML is made by initlab/_static_page.py, which calls this with the id.
(async (id) => {
  const root = document.getElementById(id);
  const frame = root.querySelector(".frame");
  const spoken = root.querySelector(".spoken");
  const controls = root.querySelector(".controls");
  if (!("DecompressionStream" in window)) {
    const reason = document.createElement("p");
    reason.textContent = "The controls of this figure need a browser of 2023 or later.";
    controls.replaceWith(reason);
    return;
  }
  const inputs = [...controls.querySelectorAll("input, select")];
  const packed = atob(root.querySelector(".packed").textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const data = await new Response(plain).json();
  const count = (input) => (input.options ? input.options.length : +input.max + 1);

  function show() {
    const state = inputs.reduce((sum, input) => sum * count(input) + +input.value, 0);
    const lines = data.frames[data.states[state]].map((line) => data.lines[line]);
    frame.innerHTML = lines.join("\n").replaceAll("@@", `${id}-`);
    frame.setAttribute("aria-label", data.descriptions[state]);
    spoken.textContent = data.descriptions[state];
    for (const input of inputs.filter((each) => each.type === "range")) {
      const text = JSON.parse(input.dataset.texts)[input.value];
      input.setAttribute("aria-valuetext", text);
      input.nextElementSibling.textContent = text;
    }
  }

  controls.addEventListener("input", show);
  controls.hidden = false;
})
