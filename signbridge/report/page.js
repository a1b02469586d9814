// Draw every picture that the page holds, in the colours of its scheme, and again when the scheme changes.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const darkColours = JSON.parse(document.getElementById("dark-colours").textContent);

  // The colours of a specification; its data are left as they are.
  const recoloured = (part) => {
    if (typeof part === "string") return darkColours[part] ?? part;
    if (Array.isArray(part)) return part.map(recoloured);
    if (part === null || typeof part !== "object") return part;
    const entries = Object.entries(part);
    return Object.fromEntries(entries.map(([key, value]) => [key, key === "datasets" ? value : recoloured(value)]));
  };

  const config = () => {
    const css = getComputedStyle(document.documentElement);
    const [text, line, faint] = ["--text", "--line", "--faint"].map((name) => css.getPropertyValue(name).trim());
    const words = { labelColor: text, titleColor: text, labelFontSize: 11, titleFontSize: 11.5, titleFontWeight: "normal" };
    return {
      background: "transparent",
      font: "system-ui, sans-serif",
      axis: { ...words, gridColor: faint, domainColor: line, tickColor: line },
      legend: { ...words, orient: "bottom" },
      view: { stroke: null },
      text: { color: text },
    };
  };

  const draw = async (script) => {
    const place = document.getElementById(script.dataset.place);
    const spec = JSON.parse(script.textContent);
    // `ast`: an interpreter reads the expressions, so that the page needs no right to run code made of text.
    const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, config: config() };
    options.tooltip = { theme: dark.matches ? "dark" : "light" };
    place.vega?.finalize();
    place.vega = await vegaEmbed(place, dark.matches ? recoloured(spec) : spec, options);
  };

  // One after the other, the first screen first; a change of scheme begins anew.
  let round = 0;
  const drawAll = async () => {
    const mine = ++round;
    for (const script of document.querySelectorAll("script[data-place]")) {
      if (mine !== round) return;
      await draw(script);
    }
    document.documentElement.dataset.drawn = String(mine);
  };

  // What hangs below a link must be open to be read on paper.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((twin) => (twin.open = true)));
  dark.addEventListener("change", drawAll);
  drawAll();
})();
