"use strict";
(() => {
  const scales = JSON.parse(document.getElementById("scales").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const signed = (text) => new Int8Array(bytes(text).buffer);
  const channelNames = (count) => (count === 3 ? ["red", "green", "blue"] : [...Array(count).keys()].map((c) => `channel ${c}`));

  function number(value, digits = 3) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const text = size !== 0 && (size < 1e-4 || size >= 1e5) ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
    return text.replace("-", "−");
  }

  // Survivors lie one after the other, unit after unit; the mask says to which input each belongs.
  function unpack(round, fanIn, units) {
    const bits = bytes(round.mask);
    const position = new Int32Array(fanIn * units).fill(-1);
    let survivors = 0;
    for (let entry = 0; entry < position.length; entry++) {
      if (bits[entry >> 3] & (128 >> (entry & 7))) position[entry] = survivors++;
    }
    const values = (part) => (part === null ? null : { values: signed(part.values), largest: part.largest });
    return { position, weights: values(round.weights), cavity: values(round.cavity) };
  }

  // The same values at random places of each unit, the same ones every time: what as many weights look like by chance.
  function scattered(position, fanIn, units) {
    const twin = new Int32Array(position.length).fill(-1);
    const places = new Int32Array(fanIn);
    for (let unit = 0; unit < units; unit++) {
      let state = 2654435769 * (unit + 1) >>> 0;
      const random = () => {
        state = (state + 1831565813) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
        mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
      };
      for (let input = 0; input < fanIn; input++) places[input] = input;
      let drawn = 0;
      for (let input = 0; input < fanIn; input++) {
        const at = position[unit * fanIn + input];
        if (at < 0) continue;
        const chosen = drawn + Math.floor(random() * (fanIn - drawn));
        [places[drawn], places[chosen]] = [places[chosen], places[drawn]];
        twin[unit * fanIn + places[drawn++]] = at;
      }
    }
    return twin;
  }

  const PRUNED = [0xe4, 0xe6, 0xe9], SURVIVES = 0x18;

  function browse(root) {
    const data = JSON.parse(document.getElementById(root.dataset.fields).textContent);
    const [height, width, channels] = data.shape;
    const fanIn = height * width * channels;
    const find = (name) => root.querySelector(name);
    const slider = find(".round"), unitInput = find(".unit"), what = find(".what"), play = find(".play");
    const grid = find(".thumbnails"), pictures = find(".pictures"), numbers = find(".numbers"), pixel = find(".pixel");
    const unpacked = [];
    let round = data.start, place = 0, timer = null;
    const arrays = () => (unpacked[round] ??= unpack(data.rounds[round], fanIn, data.units.length));
    const places = (kind) => {
      const known = arrays();
      if (kind !== "twin") return known.position;
      return (known.twin ??= scattered(known.position, fanIn, data.units.length));
    };
    const tiles = [];

    // A survivor's value as a share of its unit's largest, from -1 to 1; null where pruned or not stored.
    function share(name, unit, input) {
      const known = arrays(), at = known.position[unit * fanIn + input];
      return at < 0 || known[name] === null ? null : known[name].values[at] / 127;
    }

    // Weights are summed over channels, over the unit's largest sum; masks are the darker the more channels survive.
    function field(unit, kind) {
      const known = arrays(), position = places(kind), base = unit * fanIn;
      const sums = new Float64Array(width * height), alive = new Uint8Array(width * height);
      for (let input = 0; input < fanIn; input++) {
        const at = position[base + input];
        if (at < 0) continue;
        const place = Math.floor(input / channels);
        alive[place]++;
        if (known.weights !== null) sums[place] += known.weights.values[at];
      }
      const largest = sums.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      return (place) => {
        if (!alive[place]) return PRUNED;
        if (kind === "mask" || known.weights === null) {
          return PRUNED.map((light) => light - (alive[place] / channels) * (light - SURVIVES));
        }
        return scales.weights[Math.round(127 + (largest ? (127 * sums[place]) / largest : 0))];
      };
    }

    function paint(canvas, pick) {
      canvas.width = width;
      canvas.height = height;
      const context = canvas.getContext("2d"), image = context.createImageData(width, height);
      for (let at = 0; at < width * height; at++) {
        const [red, green, blue] = pick(at);
        image.data.set([red, green, blue, 255], 4 * at);
      }
      context.putImageData(image, 0, 0);
    }

    const shade = (name, unit, channel) => (at) => {
      const value = share(name, unit, at * channels + channel);
      return value === null ? PRUNED : scales[name][Math.round(127 + 127 * value)];
    };

    function read(event, canvas, unit) {
      const box = canvas.getBoundingClientRect();
      const x = Math.min(width - 1, Math.floor(((event.clientX - box.left) / box.width) * width));
      const y = Math.min(height - 1, Math.floor(((event.clientY - box.top) / box.height) * height));
      if (x < 0 || y < 0) return;
      const parts = channelNames(channels).map((name, channel) => {
        const input = (y * width + x) * channels + channel;
        const label = channels > 1 ? `${name}: ` : "";
        if (arrays().position[unit * fanIn + input] < 0) return `${label}pruned`;
        const words = ["weights", "cavity"].filter((key) => arrays()[key] !== null).map((key) => {
          const value = share(key, unit, input) * arrays()[key].largest[unit];
          return `${key === "weights" ? "weight" : "Δ"} ${number(value, 2)}`;
        });
        return label + (words.join(", ") || "survives");
      });
      pixel.textContent = (height > 1 ? `row ${y}, column ${x}; ` : `position ${x}; `) + parts.join("; ");
    }

    function panel(title, wide, painters) {
      const box = document.createElement("div"), heading = document.createElement("p"), row = document.createElement("div");
      box.className = wide ? "wide" : "";
      row.className = "channels";
      heading.textContent = title;
      box.append(heading, row);
      for (const pick of painters) {
        const canvas = document.createElement("canvas");
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${title}, unit ${data.units[place]}, round ${data.rounds[round].index}`);
        paint(canvas, pick);
        const unit = place;
        canvas.addEventListener("pointermove", (event) => read(event, canvas, unit));
        row.append(canvas);
      }
      pictures.append(box);
      return box;
    }

    function scaleBar(box, name, largest) {
      const bar = document.createElement("div"), canvas = document.createElement("canvas");
      const ends = [-largest, largest].map((value) => Object.assign(document.createElement("span"), { textContent: number(value, 2) }));
      bar.className = "scale";
      canvas.width = 255;
      canvas.height = 1;
      const context = canvas.getContext("2d"), image = context.createImageData(255, 1);
      scales[name].forEach((entry, at) => image.data.set([...entry, 255], 4 * at));
      context.putImageData(image, 0, 0);
      canvas.setAttribute("aria-hidden", "true");
      bar.append(ends[0], canvas, ends[1]);
      box.append(bar);
    }

    function missingPanel(title, text) {
      const box = panel(title, true, []);
      box.append(Object.assign(document.createElement("p"), { textContent: text }));
    }

    function showDetail() {
      const known = arrays(), stored = data.rounds[round], unit = place;
      pictures.replaceChildren();
      if (known.weights !== null) panel("field: weights, channels summed", false, [field(unit, "weights")]);
      panel("mask", false, [field(unit, "mask")]);
      const each = [...Array(channels).keys()];
      const label = channels > 1 ? `, ${channelNames(channels).join(", ")}` : "";
      for (const [name, title] of [["weights", "weights"], ["cavity", "cavity values Δ"]]) {
        if (known[name] === null) { missingPanel(title, "not stored in this round"); continue; }
        const box = panel(`${title}${label}; grey: pruned`, channels > 1 || height === 1, each.map((channel) => shade(name, unit, channel)));
        scaleBar(box, name, known[name].largest[unit] ?? 0);
      }
      const facts = [
        ["Unit", `${data.units[unit]} of ${data.layer}`],
        ["Surviving inputs", `${stored.connections[unit]} of ${fanIn}`],
        ["Excess kurtosis", number(stored.kurtosis?.[unit])],
        ["Inverse participation ratio", number(stored.participation?.[unit])],
        ["Locality ratio of the unit", number(stored.locality[unit])],
        ["Preferred classes", stored.preferred ? stored.preferred[unit].map((index) => data.classes[index] ?? index).join(", ") || "–" : "not stored"],
      ];
      numbers.replaceChildren(...facts.flatMap(([term, value]) => [
        Object.assign(document.createElement("dt"), { textContent: term }),
        Object.assign(document.createElement("dd"), { textContent: value }),
      ]));
    }

    function showThumbnails() {
      const ratios = data.rounds[round].locality;
      tiles.forEach((canvas, unit) => {
        paint(canvas, field(unit, what.value));
        const ratio = data.rounds[round].density < 1 && what.value !== "twin" ? ratios[unit] : null;
        canvas.nextSibling.textContent = ratio === null ? "\u00a0" : ratio.toFixed(1);
      });
    }

    function select(next, scroll = true) {
      tiles[place]?.setAttribute("aria-selected", "false");
      place = Math.max(0, Math.min(data.units.length - 1, next));
      const canvas = tiles[place];
      canvas.setAttribute("aria-selected", "true");
      grid.setAttribute("aria-activedescendant", canvas.id);
      if (scroll) {
        const top = canvas.offsetTop - grid.offsetTop;
        if (top < grid.scrollTop) grid.scrollTop = top - 4;
        const over = top + canvas.offsetHeight - grid.scrollTop - grid.clientHeight;
        if (over > 0) grid.scrollTop += over + 4;
      }
      unitInput.value = data.units[place];
      showDetail();
    }

    function turn(next) {
      round = Math.max(0, Math.min(data.rounds.length - 1, next));
      const stored = data.rounds[round];
      slider.value = round;
      find(".round-text").textContent = `${stored.index}${stored.index === 0 ? " (dense)" : ""}, density ${number(stored.density)}`;
      slider.setAttribute("aria-valuetext", `round ${stored.index}, density ${number(stored.density)}`);
      root.querySelectorAll(".curve circle").forEach((dot) => dot.classList.toggle("now", Number(dot.dataset.round) === stored.index));
      showThumbnails();
      showDetail();
    }

    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
      play.setAttribute("aria-pressed", "false");
    }

    const columns = () => getComputedStyle(grid).gridTemplateColumns.split(" ").length;
    const moves = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -columns(), ArrowDown: () => columns(), Home: () => -Infinity, End: () => Infinity };

    data.units.forEach((unit, index) => {
      const canvas = document.createElement("canvas");
      canvas.id = `${root.dataset.fields}-${index}`;
      canvas.setAttribute("role", "option");
      canvas.setAttribute("aria-label", `unit ${unit}`);
      canvas.setAttribute("aria-selected", "false");
      canvas.title = `unit ${unit}`;
      canvas.addEventListener("click", () => select(index, false));
      const tile = document.createElement("div");
      tile.append(canvas, document.createElement("span"));
      grid.append(tile);
      tiles.push(canvas);
    });
    if (height > 1) {
      // a pixel of a field is a whole number of pixels of the page
      const side = Math.max(1, Math.floor(64 / width)) * width;
      grid.style.gridTemplateColumns = `repeat(auto-fill, ${side}px)`;
      tiles.forEach((canvas) => { canvas.style.width = `${side}px`; });
    }
    if (height === 1) [grid, pictures].forEach((element) => element.classList.add("strips"));
    unitInput.max = data.total - 1;
    slider.addEventListener("input", () => { stop(); turn(Number(slider.value)); });
    what.addEventListener("change", showThumbnails);
    unitInput.addEventListener("change", () => {
      const index = data.units.indexOf(Number(unitInput.value));
      select(index < 0 ? place : index);
    });
    play.addEventListener("click", () => {
      if (timer !== null) { stop(); return; }
      play.textContent = "Stop";
      play.setAttribute("aria-pressed", "true");
      if (round === data.rounds.length - 1) turn(0);
      timer = setInterval(() => (round < data.rounds.length - 1 ? turn(round + 1) : stop()), 700);
    });
    root.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      if (event.key === "PageUp" || event.key === "PageDown") {
        stop();
        turn(round + (event.key === "PageUp" ? -1 : 1));
      } else if ((event.key === "m" || event.key === "M") && event.target !== what) {
        what.selectedIndex = (what.selectedIndex + 1) % what.options.length;
        showThumbnails();
      } else if (event.target === grid && event.key in moves) {
        select(place + moves[event.key]());
      } else {
        return;
      }
      event.preventDefault();
    });
    turn(round);
    select(0, false);
  }

  document.querySelectorAll(".browser").forEach(browse);

  // A link to a chapter unfolds it.
  function unfold(hash) {
    const target = hash && document.getElementById(decodeURIComponent(hash.slice(1)));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView();
  }
  addEventListener("hashchange", () => unfold(location.hash));
  document.querySelectorAll('a[href^="#"]').forEach((link) => link.addEventListener("click", () => unfold(link.hash)));
  unfold(location.hash);
})();
