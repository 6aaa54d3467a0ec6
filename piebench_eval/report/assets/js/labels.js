// Labels of a plot's points: where each may stand without covering a point or another label.

const MARKER_RADIUS = 7;
const LABEL_DISTANCES = [10, 20, 34, 50, 70];
const LABEL_ANGLES = 16;

function overlaps(one, other) {
  return one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
}

function boxAround(x, y, width, height) {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

// points: { x, y, width, height }, the point's place and its label's size in pixels; area: { width, height }.
// Returns { dx, dy } for each, from the point to the middle of its label; null where there is no room.
function placeLabels(points, area) {
  const taken = points.map(({ x, y }) => boxAround(x, y, 2 * MARKER_RADIUS, 2 * MARKER_RADIUS));
  return points.map((point) => {
    for (const distance of LABEL_DISTANCES) {
      for (let turn = 0; turn < LABEL_ANGLES; turn += 1) {
        const angle = (2 * Math.PI * turn) / LABEL_ANGLES;
        const dx = Math.cos(angle) * (distance + point.width / 2);
        const dy = -Math.sin(angle) * (distance + point.height / 2);
        const box = boxAround(point.x + dx, point.y + dy, point.width, point.height);
        const isInside = box.left >= 0 && box.top >= 0 && box.right <= area.width && box.bottom <= area.height;
        if (isInside && !taken.some((other) => overlaps(box, other))) {
          taken.push(box);
          return { dx, dy };
        }
      }
    }
    return null;
  });
}
