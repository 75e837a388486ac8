// Curves and the heat map, on canvases. Knows numbers and colours, no names of the API.

function prepared(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return null;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The newest value is at the right edge; `room` values fit.
export function curve(canvas, values, ink, room) {
  const surface = prepared(canvas);
  if (!surface) return;
  const { pen, width, height } = surface;
  const shown = values.slice(-room);
  const most = Math.max(1, ...shown);
  const step = width / Math.max(1, room - 1);
  const x = (index) => width - (shown.length - 1 - index) * step;
  const y = (value) => height - 1.5 - (value / most) * (height - 4);
  pen.beginPath();
  shown.forEach((value, index) => (index ? pen.lineTo : pen.moveTo).call(pen, x(index), y(value)));
  pen.strokeStyle = ink;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
  if (shown.length > 1) {
    pen.lineTo(width, height);
    pen.lineTo(x(0), height);
    pen.globalAlpha = 0.12;
    pen.fillStyle = ink;
    pen.fill();
    pen.globalAlpha = 1;
  }
}

function spelled(us) {
  if (us >= 1e6) return `${us / 1e6} s`;
  return us >= 1e3 ? `${us / 1e3} ms` : `${us} µs`;
}

// Cells narrower than this cannot be told apart.
const CELL = 3;
const LEFT = 72;

// Sums of so many columns that each is at least CELL wide; how many: `size`. `first` is the number of the first column since some beginning, so that
// the same ones stay together while time goes on.
function grouped(columns, first, room, width) {
  const size = Math.max(1, Math.ceil(CELL * room / Math.max(1, width)));
  const groups = [];
  columns.forEach((counts, index) => {
    if (!index || (first + index) % size === 0) groups.push(counts.slice());
    else counts.forEach((count, place) => { groups[groups.length - 1][place] += count; });
  });
  return { groups, room: Math.ceil(room / size), size };
}

// `columns`: counts by bucket, oldest first, the first of them number `first`; `bounds`: the upper bound of each bucket but the
// last. `places` columns fit. Gives how many columns make one cell.
export function heat(canvas, columns, first, bounds, places) {
  const surface = prepared(canvas);
  if (!surface || !bounds.length) return 1;
  const { pen, width, height } = surface;
  const { groups, room, size } = grouped(columns.slice(-places), first, places, width - LEFT);
  const shown = groups.slice(-room);
  const used = bounds.map(() => 0).concat(0);
  let most = 1;
  for (const counts of shown) counts.forEach((count, place) => {
    used[place] += count;
    most = Math.max(most, count);
  });
  // What nobody reached is left out, but never so much that the picture jumps.
  let low = used.findIndex((count) => count > 0), high = used.length - 1;
  if (low < 0) low = 0;
  while (high > low + 7 && !used[high]) high -= 1;
  low = Math.max(0, Math.min(low, high - 7));
  const left = LEFT, rows = high - low + 1;
  const cell = { width: (width - left) / room, height: height / rows };
  const rgb = colour("--heat");
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  for (let place = low; place <= high; place += 1) {
    const y = height - (place - low + 1) * cell.height;
    pen.fillStyle = colour("--faint");
    const text = place < bounds.length ? `≤ ${spelled(bounds[place])}` : `> ${spelled(bounds[place - 1])}`;
    if (cell.height > 12 || (place - low) % 2 === 0) pen.fillText(text, left - 8, Math.min(height - 7, Math.max(7, y + cell.height / 2)));
    pen.fillStyle = `rgba(${rgb}, 0.05)`;
    pen.fillRect(left, y, width - left, Math.max(1, cell.height - 1));
  }
  shown.forEach((counts, index) => {
    // Whole pixels: a gap or an overlap of a part of one would show as a stripe.
    const x = Math.round(width - (shown.length - index) * cell.width);
    const next = Math.round(width - (shown.length - index - 1) * cell.width);
    for (let place = low; place <= high; place += 1) {
      if (!counts[place]) continue;
      const strength = 0.3 + 0.7 * Math.log1p(counts[place]) / Math.log1p(most);
      pen.fillStyle = `rgba(${rgb}, ${strength.toFixed(2)})`;
      const y = height - (place - low + 1) * cell.height;
      pen.fillRect(x, y, next - x, Math.max(1, cell.height - 1));
    }
  });
  return size;
}
