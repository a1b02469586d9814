// Draw the charts in the colours of their scheme, offer each chart and table as files, and unfold what is asked for.
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

  const config = (onPaper) => {
    const css = getComputedStyle(document.documentElement);
    const seen = ["--text", "--line", "--faint"].map((name) => css.getPropertyValue(name).trim());
    const [text, line, faint] = onPaper ? ["#1b1f24", "#9aa1ab", "#e2e5e9"] : seen;
    const words = { labelColor: text, titleColor: text, labelFontSize: 11, titleFontSize: 11.5, titleFontWeight: "normal" };
    return {
      background: onPaper ? "#ffffff" : "transparent",
      font: "system-ui, sans-serif",
      axis: { ...words, gridColor: faint, domainColor: line, tickColor: line },
      legend: { ...words, orient: "bottom" },
      view: { stroke: null },
      text: { color: text },
    };
  };

  // `ast`: an interpreter reads the expressions, so that the page needs no right to run code made of text.
  const embedded = (place, spec, onPaper) => {
    const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, config: config(onPaper) };
    options.tooltip = { theme: dark.matches ? "dark" : "light" };
    return vegaEmbed(place, dark.matches && !onPaper ? recoloured(spec) : spec, options);
  };

  const draw = async (script) => {
    const place = document.getElementById(script.dataset.place);
    place.vega?.finalize();
    place.querySelector(".live")?.remove();
    const live = place.appendChild(Object.assign(document.createElement("div"), { className: "live" }));
    live.setAttribute("aria-hidden", "true"); // its place is named and described as one picture
    place.vega = await embedded(live, JSON.parse(script.textContent), false);
    place.dataset.live = "";
  };

  // One after the other, the first screen first; a change of scheme begins anew. What is folded has no width yet.
  let round = 0;
  const drawAll = async () => {
    const mine = ++round;
    for (const script of document.querySelectorAll("script[data-place]")) {
      const place = document.getElementById(script.dataset.place);
      if (mine !== round) return;
      if (script.closest("details:not([open])")) delete place.dataset.live;
      else await draw(script);
    }
    document.documentElement.dataset.drawn = String(mine);
  };
  const drawMissing = async (below) => {
    for (const script of below.querySelectorAll("script[data-place]"))
      if (!("live" in document.getElementById(script.dataset.place).dataset)) await draw(script);
  };

  // Files: a chart as it looks on paper, and its data; a table for a spreadsheet and for LaTeX -------------------------

  const save = (name, type, content) => {
    const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  };

  const onPaper = async (spec, take) => {
    const place = document.body.appendChild(Object.assign(document.createElement("div"), { className: "paper" }));
    const drawn = await embedded(place, spec, true);
    const taken = await take(drawn.view);
    drawn.finalize();
    place.remove();
    return taken;
  };

  const csv = (rows) => rows.map((row) => row.map((cell) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(",")).join("\r\n") + "\r\n";

  // Every table of the specification's data, less images and what places a mark on an axis or a name at a line's end.
  const dataOf = (spec) => {
    const records = Object.entries(spec.datasets).flatMap(([name, rows]) => (name === "ends" ? [] : rows));
    const used = (name) => !["place", "left", "right", "reads", "costs", "colour"].includes(name);
    const names = [...new Set(records.flatMap(Object.keys))].filter(
      (name) => used(name) && !records.some((row) => String(row[name]).startsWith("data:")),
    );
    return [names, ...records.map((row) => names.map((name) => String(row[name] ?? "")))];
  };

  const chartFiles = {
    SVG: (spec, name) => onPaper(spec, (view) => view.toSVG()).then((svg) => save(`${name}.svg`, "image/svg+xml", svg)),
    PNG: (spec, name) =>
      onPaper(spec, (view) => view.toCanvas(3))
        .then((canvas) => new Promise((done) => canvas.toBlob(done)))
        .then((png) => save(`${name}.png`, "image/png", png)),
    CSV: (spec, name) => save(`${name}.csv`, "text/csv", csv(dataOf(spec))),
  };

  const cellsOf = (table) =>
    [...table.rows].map((row) => [...row.cells].map((cell) => (cell.querySelector("img")?.alt ?? cell.textContent).trim()));

  const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };
  Object.assign(TEX, { "−": "$-$", "–": "--", "\u00a0": "~", "\u202f": "\\,", "\u2009": "\\,", "…": "\\ldots{}" });
  Object.assign(TEX, { "“": "``", "”": "''", "’": "'", "₀": "$_0$", "→": "$\\to$", "±": "$\\pm$", "×": "$\\times$" });
  const inTex = (text) => text.replace(/[\\{}$&#_%~^−–\u00a0\u202f\u2009…“”’₀→±×]/g, (c) => TEX[c] ?? `\\${c}`).replace(/\s*\n\s*/g, " ");

  const latex = (table, name) => {
    const [head, ...body] = cellsOf(table).map((row) => `${row.map(inTex).join(" & ")} \\\\`);
    const right = [...(table.tBodies[0].rows[0]?.cells ?? [])].map((cell) => (/^[−\d]/.test(cell.textContent.trim()) ? "r" : "l"));
    return [
      "% needs \\usepackage{booktabs}",
      "\\begin{table}",
      "\\centering",
      `\\caption{${inTex(table.caption.textContent)}}`,
      `\\label{tab:${name}}`,
      `\\begin{tabular}{${right.join("")}}`,
      "\\toprule", head, "\\midrule", ...body, "\\bottomrule",
      "\\end{tabular}",
      "\\end{table}", "",
    ].join("\n");
  };

  const tableFiles = {
    CSV: (table, name) => save(`${name}.csv`, "text/csv", csv(cellsOf(table))),
    LaTeX: (table, name) => save(`${name}.tex`, "application/x-tex", latex(table, name)),
  };

  // Buttons, which only a script can serve.
  const offer = (files, of, source, name) => {
    const group = Object.assign(document.createElement("p"), { className: "take" });
    group.append(`${of} as `);
    for (const [kind, make] of Object.entries(files)) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: kind });
      button.setAttribute("aria-label", `Download the ${of.toLowerCase()} ${name} as ${kind}`);
      button.addEventListener("click", () => make(source(), name));
      group.append(button);
    }
    return group;
  };
  const page = location.pathname.split("/").pop().replace(/\.html?$/, "") || "page";
  for (const script of document.querySelectorAll("script[data-place]")) {
    const name = `${page}-${script.dataset.place.replace(/-chart$/, "")}`;
    script.after(offer(chartFiles, "Chart", () => JSON.parse(script.textContent), name));
  }
  document.querySelectorAll(".box > table").forEach((table, place) => {
    const name = `${page}-table-${place + 1}`;
    table.parentElement.before(offer(tableFiles, "Table", () => table, name));
  });

  // A table that scrolls says so.
  const sized = new ResizeObserver((boxes) => {
    for (const { target: box } of boxes) {
      const ways = [box.scrollHeight > box.clientHeight + 1 ? "down" : "", box.scrollWidth > box.clientWidth + 1 ? "sideways" : ""];
      const said = ways.filter(Boolean).join(" and ");
      const before = box.previousElementSibling?.classList.contains("scrolls") ? box.previousElementSibling : null;
      if (!said) before?.remove();
      else {
        const note = before ?? Object.assign(document.createElement("p"), { className: "scrolls" });
        note.textContent = `Scroll ${said}: there is more.`;
        if (!before) box.before(note);
      }
    }
  });
  document.querySelectorAll(".box").forEach((box) => sized.observe(box));

  // Settings that hold a word ------------------------------------------------------------------------------------------

  for (const field of document.querySelectorAll("input[data-searches]")) {
    const rows = [...document.getElementById(field.dataset.searches).tBodies[0].rows];
    field.closest("[hidden]").hidden = false;
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      const left = rows.filter((row) => !row.hidden).length;
      document.getElementById(`${field.id}-hits`).textContent = `${left} of ${rows.length}`;
    });
  }

  // Folds: one is opened by a link to it, all by a button and for paper --------------------------------------------------

  const folds = [...document.querySelectorAll("details.fold")];
  for (const fold of folds) fold.addEventListener("toggle", () => fold.open && drawMissing(fold));
  const reveal = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = target && (target.closest("details.fold") ?? target.querySelector(":scope > details.fold"));
    if (fold) fold.open = true;
  };
  addEventListener("hashchange", reveal);
  document.querySelector(".contents")?.addEventListener("click", () => setTimeout(reveal));
  const all = document.getElementById("unfold");
  if (all) {
    all.hidden = false;
    all.addEventListener("click", () => {
      const open = folds.some((fold) => !fold.open);
      for (const fold of folds) fold.open = open;
      all.textContent = open ? "Fold all" : "Unfold all";
    });
  }
  let forPaper = [];
  addEventListener("beforeprint", () => {
    forPaper = folds.filter((fold) => !fold.open);
    for (const fold of forPaper) fold.open = true;
  });
  addEventListener("afterprint", () => forPaper.splice(0).forEach((fold) => (fold.open = false)));

  // When the file was written is known to the file alone: a page that says it itself would differ at each run.
  const written = document.getElementById("written");
  if (written) written.textContent = ` This file is of ${new Date(document.lastModified).toLocaleString()}.`;

  dark.addEventListener("change", drawAll);
  reveal();
  drawAll();
})();
