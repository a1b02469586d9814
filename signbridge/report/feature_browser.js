// A reader searches the features of the autoencoders, goes through them by letter, and opens one.
// All text comes from data, so it is put in as text, never as markup.
"use strict";

(() => {
  const browser = document.getElementById("features-browser-explorer");
  if (!browser) return;
  const data = JSON.parse(document.getElementById("features-browser-data").textContent);
  const find = (selector) => browser.querySelector(selector);
  const [list, card, hits, searched] = [".lists", ".feature", ".hits", "input[type=search]"].map(find);

  const now = { site: 0, option: null }; // the option of the list that is chosen
  const VEIL = 0.75; // how dark a patch is on which a feature does not fire
  const FRAMED = Math.ceil(data.levels / 2); // the level from which a patch has a frame

  const element = (tag, className = "", text = "") => {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  };
  const written = (value, digits) => value.toFixed(digits).replace("-", "\u2212");
  const activation = (value) => (value >= 100 ? written(value, 0) : written(value, value >= 10 ? 1 : 2));
  const percent = (share) => (share > 0 && share < 0.0005 ? "less than 0.1\u202f%" : `${written(100 * share, 1)}\u202f%`);
  const listing = (items) => (items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`);
  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  // --- Searching ---------------------------------------------------------------------------------------------------

  const inWord = (character) => character !== undefined && /[\p{L}\p{N}'-]/u.test(character);
  // The words of its sentences on which a feature fires, whole ones.
  const wordsOf = (feature) => {
    const found = new Set();
    for (const [sentence, , marks] of feature.phrases) {
      const characters = [...data.sentences[sentence]];
      for (const [start, end] of marks) {
        let [first, last] = [start, end];
        while (inWord(characters[first]) && inWord(characters[first - 1])) first--;
        while (inWord(characters[last - 1]) && inWord(characters[last])) last++;
        found.add(characters.slice(first, last).join("").trim().toLowerCase());
      }
    }
    return [...found];
  };
  const folded = data.letters.map((letter) => letter.toLowerCase());
  const lookedUp = data.features.map((feature) => ({
    words: wordsOf(feature),
    letters: feature.lists.map(([letter]) => folded[letter]),
    joints: feature.joints.map(([joint]) => joint.toLowerCase()),
  }));

  const asked = () => {
    let text = searched.value.trim().toLowerCase();
    const kind = ["image only", "text only", "shared"].find((name) => text.includes(name));
    if (kind) text = text.replace(kind, " ");
    return { kind, terms: text.split(/\s+/).filter(Boolean) };
  };
  const meets = (place, term) => {
    const [feature, { words, letters, joints }] = [data.features[place], lookedUp[place]];
    const digits = term.replace(/^#/, "");
    if (/^\d+$/.test(digits)) return String(feature.number).startsWith(digits) || letters.includes(term);
    if (letters.includes(term)) return true;
    // A single character is a letter, where there is such a letter, and no beginning of a word.
    if ([...term].length === 1 && folded.includes(term)) return false;
    return words.some((word) => word.startsWith(term)) || joints.some((joint) => joint.includes(term));
  };
  const found = () => {
    const { kind, terms } = asked();
    return data.features
      .map((feature, place) => place)
      .filter((place) => (!kind || data.features[place].kind === kind) && terms.every((term) => meets(place, term)));
  };

  // --- The list ----------------------------------------------------------------------------------------------------

  const optionOf = (place, name, suffix) => {
    const option = element("div", "", String(data.features[place].number));
    option.setAttribute("role", "option");
    option.setAttribute("aria-label", `${data.features[place].number}, ${suffix}`);
    option.dataset.place = String(place);
    option.title = name;
    return option;
  };
  const group = (name, heading, options) => {
    const made = element("div", "group");
    made.setAttribute("role", "group");
    made.setAttribute("aria-label", name);
    const shown = made.appendChild(element("span", "of", heading));
    shown.setAttribute("aria-hidden", "true");
    made.appendChild(element("div", "options")).append(...options);
    return made;
  };

  const byLetter = (places) =>
    data.letters.flatMap((letter, index) => {
      const own = places
        .flatMap((place) => data.features[place].lists.filter(([of]) => of === index).map((of) => [place, ...of]))
        .sort((a, b) => a[2] - b[2]);
      const options = own.map(([place, , rank, auc]) =>
        optionOf(place, `AUC ${written(auc, 3)} on other ${data.groups}`, `${letter}, AUC ${written(auc, 3)}`),
      );
      return options.length ? [group(`${data.kind} ${letter}`, letter, options)] : [];
    });

  const showList = () => {
    const all = found();
    const places = all.filter((place) => data.features[place].site === now.site);
    const others = places.filter((place) => !data.features[place].lists.length);
    const groups = byLetter(places);
    if (others.length) {
      const options = others.map((place) => optionOf(place, "", data.features[place].kind || "very rare"));
      groups.push(group("other active features", "others", options));
    }
    const before = now.option?.dataset.place;
    list.replaceChildren(...groups);
    now.option = null;
    const elsewhere = data.sites
      .map((site, index) => [site, index, all.filter((place) => data.features[place].site === index).length])
      .filter(([, index, count]) => index !== now.site && count)
      .map(([site, , count]) => `${count} at ${site}`);
    const counted = places.length === 1 ? "1 feature" : `${places.length || "No"} features`;
    const also = searched.value.trim() && elsewhere.length ? ` (${listing(elsewhere)})` : "";
    hits.textContent = `${counted} at ${data.sites[now.site]}${also}.`;
    const options = [...list.querySelectorAll("[role=option]")];
    list.hidden = !options.length;
    choose(options.find((option) => option.dataset.place === before) ?? options[0] ?? null);
  };

  // --- The card ----------------------------------------------------------------------------------------------------

  const about = (feature) => {
    const [image, text] = feature.fires.map(percent);
    const fires = `on ${image} of image tokens and ${text} of text tokens`;
    const kinds = {
      "image only": "image tokens, hardly for text tokens",
      "text only": "text tokens, hardly for image tokens",
      shared: "both kinds of token",
    };
    if (!feature.kind) return "Fires on none of the tokens that autoencoders were judged by: very rare.";
    return `Fires for ${kinds[feature.kind]} (${feature.kind}, modality score ${written(feature.modality, 2)}): ${fires}.`;
  };
  const told = (feature) => {
    const lists = feature.lists.map(([letter, rank, auc]) => `${data.letters[letter]} (no. ${rank}, AUC ${written(auc, 3)})`);
    return lists.length ? `In the list of ${listing(lists)}; AUC on ${data.groups} that had no part in the ranking.` : "";
  };
  const positions = { prompt_last: "the last token of the prompt", image_mean: "the mean over image tokens" };
  const joints = (feature) => {
    if (!feature.joints.length) return "";
    const each = feature.joints.map(([joint, position, r, p, within, withinP]) => {
      const inLetters = within === null ? "" : `, within ${data.kind}s ${written(within, 2)}${withinP === null ? "" : ` (p\u202f=\u202f${written(withinP, 3)})`}`;
      return `${joint} (r\u202f=\u202f${written(r, 2)} over photos at ${positions[position] ?? position}, p\u202f=\u202f${written(p, 3)}${inLetters})`;
    });
    return `Tracks ${listing(each)}.`;
  };

  // The level of every token: `c` is three tokens that do not fire.
  const levels = (text) =>
    [...text].flatMap((one) => (one >= "a" ? Array(one.charCodeAt(0) - 96).fill(0) : [Number(one)]));
  const veiled = (lit, columns) => {
    const canvas = element("canvas", "veil");
    [canvas.width, canvas.height] = [columns, lit.length / columns];
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(canvas.width, canvas.height);
    lit.forEach((level, place) => (pixels.data[4 * place + 3] = Math.round(255 * VEIL * (1 - level / data.levels))));
    context.putImageData(pixels, 0, 0);
    canvas.setAttribute("aria-hidden", "true");
    return canvas;
  };
  const frames = (lit, side) =>
    lit.flatMap((level, place) => {
      if (level < FRAMED) return [];
      const frame = element("span", "frame");
      frame.dataset.patch = String(place);
      const [row, column] = [Math.floor(place / side), place % side];
      const percent = (value) => `${(100 * value) / side}%`;
      Object.assign(frame.style, { left: percent(column), top: percent(row), width: percent(1), height: percent(1) });
      // Patches side by side have one frame.
      const inside = (down, right) =>
        column + right >= 0 && column + right < side && lit[place + down * side + right] >= FRAMED;
      const open = { above: inside(-1, 0), below: inside(1, 0), before: inside(0, -1), after: inside(0, 1) };
      frame.classList.add(...Object.keys(open).filter((edge) => !open[edge]));
      return [frame];
    });
  const where = (lit, side) => {
    const peak = lit.indexOf(Math.max(...lit));
    if (Number.isInteger(side)) return `strongest at row ${Math.floor(peak / side) + 1}, column ${(peak % side) + 1}`;
    return `strongest at token ${peak + 1} of ${lit.length}`;
  };
  const figure = ([place, strongest, text]) => {
    const [source, label, name] = data.images[place];
    const lit = levels(text);
    const side = Math.sqrt(lit.length);
    const made = element("figure");
    const frame = made.appendChild(element("div", "lit"));
    const image = frame.appendChild(element("img"));
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 112));
    image.alt = `${label}: ${name}, ${where(lit, side)}; fires on ${lit.filter(Boolean).length} of ${lit.length} patches`;
    image.src = source;
    frame.append(veiled(lit, Number.isInteger(side) ? side : lit.length));
    if (Number.isInteger(side)) frame.append(...frames(lit, side));
    else frame.classList.add("line");
    const caption = made.appendChild(element("figcaption", "", `${label} `));
    caption.append(element("span", "", activation(strongest)));
    return made;
  };

  const sentence = ([place, strongest, marks]) => {
    const characters = [...data.sentences[place]]; // whole ones, as the places count them
    const line = element("li");
    const text = line.appendChild(element("span", "text"));
    let done = 0;
    for (const [start, end, level] of marks) {
      text.append(characters.slice(done, start).join(""));
      const mark = text.appendChild(element("mark", level === data.levels ? "most" : "", characters.slice(start, end).join("")));
      mark.style.setProperty("--level", String(level / data.levels));
      mark.dataset.level = String(level);
      done = end;
    }
    text.append(characters.slice(done).join(""));
    line.append(element("span", "score", activation(strongest)));
    return line;
  };

  const bars = (feature) => {
    const [most, shares] = feature.means;
    const shown = shares.map((share, letter) => [share, letter]);
    const kept = new Set(shown.toSorted((a, b) => b[0] - a[0]).slice(0, data.most_classes).map(([, letter]) => letter));
    const own = new Set(feature.lists.map(([letter]) => letter));
    const made = element("ul", "bars");
    made.setAttribute("role", "list");
    for (const [share, letter] of shown.filter(([, letter]) => kept.has(letter))) {
      const bar = made.appendChild(element("li", own.has(letter) ? "own" : ""));
      const name = bar.appendChild(element("span", "name", data.letters[letter]));
      bar.title = `${data.letters[letter]}: ${activation((most * share) / 1000)}`;
      name.append(element("span", "unseen", ` ${activation((most * share) / 1000)}`));
      const column = bar.appendChild(element("span", "column"));
      column.appendChild(element("span")).style.height = `${share / 10}%`;
    }
    return made;
  };

  const part = (title, note, ...content) => {
    const made = element("div", "part");
    made.append(element("h5", "", title), ...(note ? [element("p", "", note)] : []), ...content);
    return made;
  };
  const wrapped = (tag, className, items) => {
    const made = element(tag, className);
    made.append(...items);
    return made;
  };

  const imagesOf = (feature) => {
    if (!feature.images.length) return part("Strongest images", "It fires in none of the images read.");
    const note = `Bright: fires as strongly as anywhere in these images (${activation(feature.images[0][1])}). Dark: does not fire. Framed: at least half as strongly as that.`;
    return part("Strongest images", note, wrapped("div", "figures", feature.images.map(figure)));
  };
  const phrasesOf = (feature) => {
    if (!feature.phrases.length) return part("Strongest sentences", "It fires in none of the phrases read.");
    const note = `The stronger, the thicker the line below; bold: as strongly as in any of these (${activation(feature.phrases[0][1])}).`;
    const lines = wrapped("ol", "", feature.phrases.map(sentence));
    lines.setAttribute("role", "list");
    return part("Strongest sentences", note, lines);
  };
  const meansOf = (feature) => {
    const [most, shares] = feature.means;
    const some = shares.length > data.most_classes ? `, the ${data.most_classes} strongest` : "";
    const note = `Mean over image tokens and photos${some}; the highest bar is ${activation(most)}.`;
    if (!most) return part(`By ${data.kind}`, "It fires in no image of the sample.");
    return part(`By ${data.kind}`, `${note}${feature.lists.length ? " Underlined: in whose list it is." : ""}`, bars(feature));
  };

  const showCard = () => {
    const feature = now.option && data.features[Number(now.option.dataset.place)];
    if (!feature) {
      card.replaceChildren(element("p", "", "No feature is like that at this layer."));
      return;
    }
    const heading = element("h4", "", `Feature ${feature.number}, ${data.sites[feature.site]}`);
    const lines = [about(feature), told(feature), joints(feature)].filter(Boolean).map((line) => element("p", "", line));
    card.replaceChildren(heading, ...lines, imagesOf(feature), meansOf(feature), phrasesOf(feature));
    announce(feature);
  };

  // Said once a reader rests, not at every step through the list.
  let timer = 0;
  const announce = (feature) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const shown = feature.images.map(([place]) => data.images[place][1]);
      const said = [`Feature ${feature.number}, ${data.sites[feature.site]}.`, about(feature), told(feature), joints(feature)];
      if (shown.length) said.push(`Strongest images: ${shown.join(", ")}.`);
      if (feature.phrases.length) said.push(`Strongest sentence: ${data.sentences[feature.phrases[0][0]]}`);
      find("[aria-live=polite].said-of").textContent = said.filter(Boolean).join(" ");
    }, 300);
  };

  // --- What a reader does ------------------------------------------------------------------------------------------

  const choose = (option) => {
    now.option = option;
    for (const other of list.querySelectorAll("[role=option]")) {
      other.setAttribute("aria-selected", String(other === option));
      other.classList.toggle("same", other !== option && other.dataset.place === option.dataset.place);
      other.tabIndex = other === option ? 0 : -1;
    }
    showCard();
  };
  const optionAt = (event) => event.target.closest?.("[role=option]");
  list.addEventListener("click", (event) => optionAt(event)?.focus({ preventScroll: true }));
  list.addEventListener("focusin", (event) => {
    const option = optionAt(event);
    if (option && option !== now.option) choose(option);
  });
  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey || event.shiftKey || event.ctrlKey) return;
    const options = [...list.querySelectorAll("[role=option]")];
    const at = options.indexOf(now.option);
    const groups = [...list.children];
    const inGroup = groups.indexOf(now.option?.closest(".group"));
    const first = (place) => groups[place]?.querySelector("[role=option]");
    const next = {
      ArrowRight: () => options[at + 1], ArrowLeft: () => options[at - 1],
      ArrowDown: () => first(inGroup + 1), ArrowUp: () => first(inGroup - 1),
      Home: () => options[0], End: () => options.at(-1),
    }[event.key];
    if (!next) return;
    event.preventDefault();
    next()?.focus();
  });
  searched.addEventListener("input", showList);
  find(".sites").addEventListener("change", (event) => {
    now.site = Number(event.target.value);
    showList();
  });

  browser.hidden = false;
  showList();
})();
