// The report's data, unpacked: names, scores, and where pictures are.

const { metrics, types, combinations } = REPORT;

const samples = REPORT.samples.map(([id, type, source, target, instruction, path], number) => ({
  id,
  type,
  source,
  target,
  instruction,
  path,
  number,
}));

const gone = new Set(REPORT.gone.map(([combination, sample]) => `${combination} ${sample}`));

// JSON has no nan and no inf.
function toNumber(value) {
  if (value === null || value === undefined) return NaN;
  if (value === "inf") return Infinity;
  return value === "-inf" ? -Infinity : value;
}

function isScored(combination, sample) {
  return REPORT.scores[combination][sample] !== null;
}

function scoreOf(combination, sample, metric) {
  const row = REPORT.scores[combination][sample];
  return row === null ? NaN : toNumber(row[metric]);
}

function shown(value) {
  if (Number.isNaN(value)) return "–";
  return Number.isFinite(value) ? value.toFixed(2) : value > 0 ? "inf" : "-inf";
}

// Best first; what is not known comes last in either order.
function byMerit(first, second, metric, worstFirst) {
  if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
  if (first === second) return 0;
  const bestFirst = first < second === metrics[metric].higherIsBetter ? 1 : -1;
  return worstFirst ? -bestFirst : bestFirst;
}

function plain(parts) {
  return parts.join("");
}

function isGone(combination, sample) {
  return gone.has(`${combination} ${sample}`);
}

// Combinations of one view show the same part of every source.
function sourceThumbnail(combination, sample) {
  const { view } = combinations[combination];
  return `thumbnails/source/${view}/${sample}.webp`;
}

function fullSource(combination, sample) {
  const { view } = combinations[combination];
  return `sources/${view}/${sample}.webp`;
}

function outlineOf(combination, sample) {
  const { view } = combinations[combination];
  return `outlines/${view}/${sample}.png`;
}

function thumbnail(combination, sample) {
  return `thumbnails/${combination}/${sample}.webp`;
}

function fullPicture(combination, sample) {
  const { folder, suffix } = combinations[combination];
  return suffix === null ? `${folder}/${sample}.webp` : `${folder}/${samples[sample].path}${suffix}`;
}
