// A reader points at a patch of an image and reads its words under each lens; a slider goes through the layers.
// All text comes from data, so it is put in as text, never as markup.
"use strict";

(() => {
  const explorer = document.getElementById("patch-words-explorer");
  if (!explorer) return;
  const data = JSON.parse(document.getElementById("patch-words-data").textContent);
  const find = (selector) => explorer.querySelector(selector);
  const [stage, enlarged, grid, slider] = [".stage", ".enlarged", ".cells", "input[type=range]"].map(find);
  const thumbnails = [...explorer.querySelectorAll(".hands img")];
  const last = data.patches.length - 1;

  // `kept` was clicked, tapped or gone to; `pointed` lies below the mouse, and is shown as long as it does.
  const now = { image: 0, layer: 0, lens: data.lenses.length - 1, kept: data.patches.length >> 1, pointed: null };
  const shown = () => now.pointed ?? now.kept;

  const element = (tag, className = "", text = "") => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };

  // The words of a patch under a lens, nearest first.
  const words = (patch, lens) => {
    const said = data.said[now.image][lens];
    const start = (now.layer * data.patches.length + patch) * data.k;
    const found = [];
    for (let place = start; place < start + data.k; place++) {
      if (said.word[place] < 0) continue;
      found.push({
        word: data.words[said.word[place]],
        holds: data.holds[now.image]?.includes(said.word[place]) ?? false,
        score: (said.score[place] / 100).toFixed(2).replace("-", "\u2212"),
        context: data.contexts[said.context?.[place]],
        textSite: data.text_sites[said.text_site?.[place]],
      });
    }
    return found;
  };
  const holds = (patch, lens) => words(patch, lens).some((one) => one.holds);

  const nameOf = (patch) => {
    if (!data.cells) return `patch ${data.patches[patch] + 1}`;
    const [row, column] = data.cells[patch];
    return `patch row ${row + 1}, column ${column + 1}`;
  };

  // --- The cells ---------------------------------------------------------------------------------------------------

  const cells = data.patches.map((_, patch) => {
    const cell = element("div");
    cell.setAttribute("role", "gridcell");
    cell.dataset.patch = String(patch);
    const mark = cell.appendChild(element("span", "patch"));
    if (!data.cells) {
      mark.textContent = String(data.patches[patch] + 1);
      return cell;
    }
    const [row, column, left, top, width, height] = data.cells[patch];
    const [rows, columns] = data.grid;
    const percent = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, `${value}%`]));
    Object.assign(cell.style, percent({ left, top, width, height }));
    // The patch itself, within the cell that stands for it.
    const inner = { left: ((100 / columns) * column - left) / width, top: ((100 / rows) * row - top) / height };
    inner.width = 100 / columns / width;
    inner.height = 100 / rows / height;
    Object.assign(mark.style, percent(Object.fromEntries(Object.entries(inner).map(([name, part]) => [name, 100 * part]))));
    cell.setAttribute("aria-colindex", String(column + 1));
    return cell;
  });
  const rowOf = (patch) => (data.cells ? data.cells[patch][0] : 0);
  const rows = [...new Set(data.patches.map((_, patch) => rowOf(patch)))].map((row) =>
    data.patches.map((_, patch) => patch).filter((patch) => rowOf(patch) === row),
  );
  for (const patches of rows) {
    const row = grid.appendChild(element("div"));
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", String(rowOf(patches[0]) + 1));
    row.append(...patches.map((patch) => cells[patch]));
  }
  grid.setAttribute("aria-rowcount", String(data.grid?.[0] ?? 1));
  grid.setAttribute("aria-colcount", String(data.grid?.[1] ?? data.patches.length));
  grid.style.setProperty("--across", String(Math.max(...rows.map((patches) => patches.length))));
  stage.classList.toggle("line", !data.cells);

  const showCells = () => {
    let marked = 0;
    cells.forEach((cell, patch) => {
      const says = holds(patch, now.lens);
      marked += says;
      cell.classList.toggle("holds", says);
      cell.classList.toggle("pointed", patch === now.pointed);
      cell.setAttribute("aria-selected", String(patch === now.kept));
      cell.setAttribute("aria-label", nameOf(patch) + (says ? ", a word holds" : ""));
      cell.tabIndex = patch === now.kept ? 0 : -1;
    });
    find(".under p").textContent = data.holds[now.image]
      ? `${data.lenses[now.lens].name} at ${data.sites[now.layer]}: ${marked} of ${cells.length} patches say a word that holds for this hand.`
      : "Which words hold for this hand is not known, so no patch is marked.";
  };

  // --- The words ---------------------------------------------------------------------------------------------------

  const sentence = (one) => {
    const [text, start, end] = [data.sentences[one.context[0]], one.context[1], one.context[2]];
    const characters = [...text]; // whole ones, as the places count them
    const part = (from, to) => characters.slice(from, to).join("");
    const line = element("span", "sentence");
    line.append(part(0, start), element("b", "", part(start, end)), part(end), ` \u2014 text ${one.textSite}`);
    return line;
  };

  const item = (one) => {
    const line = element("li");
    const word = line.appendChild(element("span", "word"));
    if (one.holds) word.append("\u2713\u00a0");
    word.append(element("span", one.holds ? "true" : "", one.word));
    if (one.holds) word.append(element("span", "unseen", " holds for this hand"));
    line.append(element("span", "score", one.score));
    if (one.context) line.append(sentence(one));
    return line;
  };

  const panel = (lens, index) => {
    const made = element("div", "lens");
    const heading = made.appendChild(element("h5", "", lens.name));
    heading.append(element("span", "", ` (${lens.score})`));
    const list = made.appendChild(element("ol"));
    list.setAttribute("role", "list");
    list.append(...words(shown(), index).map(item));
    return made;
  };

  const about = () => {
    const share = data.hand[now.image][shown()];
    const hold = data.true_words[now.image];
    return [
      share === null ? "" : `${share}\u202f% of it lies on the hand. `,
      hold === null ? "" : `Words that hold for this hand: ${hold.join(", ") || "none"}.`,
    ].join("");
  };

  // Said once a reader rests, not at every step of a slider that is pulled.
  let timer = 0;
  const announce = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const lenses = data.lenses.map((lens, index) => {
        const said = words(shown(), index).map((one) => (one.holds ? `${one.word} (holds)` : one.word));
        return `${lens.name}: ${said.join(", ") || "no word"}.`;
      });
      find("[aria-live]").textContent = [`${nameOf(shown())}, ${data.sites[now.layer]}.`, ...lenses].join(" ");
    }, 300);
  };

  const showWords = () => {
    const name = nameOf(shown());
    find(".which").textContent = `${name[0].toUpperCase()}${name.slice(1)}, ${data.sites[now.layer]}`;
    find(".about").textContent = about();
    find(".lenses").replaceChildren(...data.lenses.map(panel));
    announce();
  };

  const show = () => {
    showCells();
    showWords();
  };

  // --- What a reader does ------------------------------------------------------------------------------------------

  const keep = (patch) => {
    now.kept = patch;
    now.pointed = null;
    show();
  };
  const patchAt = (target) => {
    const cell = target.closest?.("[data-patch]");
    return cell ? Number(cell.dataset.patch) : null;
  };
  const point = (patch) => {
    if (patch === now.pointed) return;
    now.pointed = patch;
    cells.forEach((cell, other) => cell.classList.toggle("pointed", other === patch));
    showWords();
  };
  // A finger does not hover: it taps, which clicks.
  grid.addEventListener("pointerover", (event) => event.pointerType !== "touch" && point(patchAt(event.target)));
  grid.addEventListener("pointerleave", () => point(null));
  grid.addEventListener("focusin", (event) => keep(patchAt(event.target)));
  grid.addEventListener("click", (event) => {
    const patch = patchAt(event.target);
    if (patch !== null) cells[patch].focus({ preventScroll: true });
  });

  // The patch of the next row (or the one before) that lies nearest below (or above).
  const vertically = (patch, step) => {
    const next = rows[rows.findIndex((patches) => patches.includes(patch)) + step];
    const off = (other) => Math.abs(data.cells[other][1] - data.cells[patch][1]);
    return next ? next.reduce((best, other) => (off(other) < off(best) ? other : best)) : patch;
  };
  const along = (patch, step) => {
    const row = rows.find((patches) => patches.includes(patch));
    return row[row.indexOf(patch) + step] ?? patch;
  };
  const goTo = {
    ArrowLeft: (patch) => along(patch, -1),
    ArrowRight: (patch) => along(patch, 1),
    ArrowUp: (patch) => (data.cells ? vertically(patch, -1) : along(patch, -1)),
    ArrowDown: (patch) => (data.cells ? vertically(patch, 1) : along(patch, 1)),
    Home: (patch, all) => (all ? 0 : rows.find((patches) => patches.includes(patch))[0]),
    End: (patch, all) => (all ? last : rows.find((patches) => patches.includes(patch)).at(-1)),
  };
  grid.addEventListener("keydown", (event) => {
    const patch = patchAt(event.target);
    const move = goTo[event.key];
    if (patch === null || !move || event.altKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    cells[move(patch, event.ctrlKey)].focus();
  });

  const choose = (what) => (event) => {
    now[what] = Number(event.target.value);
    show();
  };
  slider.addEventListener("input", (event) => {
    const site = data.sites[Number(event.target.value)];
    slider.setAttribute("aria-valuetext", site);
    find("output").textContent = site;
    choose("layer")(event);
  });
  find(".under").addEventListener("change", choose("lens"));
  find(".hands").addEventListener("change", (event) => {
    const thumbnail = thumbnails[Number(event.target.value)];
    enlarged.src = thumbnail.src;
    enlarged.alt = `${thumbnail.alt}, enlarged`;
    choose("image")(event);
  });
  // Pixels of a small image stay pixels; a photo is smoothed.
  const asItIs = () => enlarged.classList.toggle("small", enlarged.naturalWidth < 128);
  enlarged.addEventListener("load", asItIs);
  asItIs();

  explorer.hidden = false;
  show();
})();
