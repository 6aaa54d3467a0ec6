// The painter of masks: strokes on a canvas over the picture. Gradio gives `element`, `props`, `trigger` and `watch`.
// What is shown comes in `props.value`; every finished stroke goes out as an event with the whole mask.
let tool = 'paint', last = null;
const part = name => element.querySelector(name);

const place = event => {
  const canvas = part('canvas'), box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width,
          (event.clientY - box.top) * canvas.height / box.height];
};

const stroke = to => {
  const canvas = part('canvas'), pen = canvas.getContext('2d');
  pen.globalCompositeOperation = tool === 'erase' ? 'destination-out' : 'source-over';
  pen.strokeStyle = '#dc2626';
  pen.lineCap = pen.lineJoin = 'round';
  pen.lineWidth = canvas.width * part('input').value / 100;
  pen.beginPath();
  pen.moveTo(...last);
  pen.lineTo(...to);
  pen.stroke();
  last = to;
};

const tell = () => trigger('painted', {mask: part('canvas').toDataURL('image/png')});

const choose = name => {
  tool = name;
  for (const button of element.querySelectorAll('[aria-pressed]'))
    button.setAttribute('aria-pressed', button.dataset.tool === tool);
};

const fill = color => {
  const canvas = part('canvas'), pen = canvas.getContext('2d');
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (!color) return;
  pen.globalCompositeOperation = 'source-over';
  pen.fillStyle = color;
  pen.fillRect(0, 0, canvas.width, canvas.height);
};

element.addEventListener('pointerdown', event => {
  if (event.target !== part('canvas') || !props.value) return;
  event.target.setPointerCapture(event.pointerId);
  stroke(last = place(event));
  event.preventDefault();
});
element.addEventListener('pointermove', event => { if (last) stroke(place(event)); });
for (const end of ['pointerup', 'pointercancel'])
  element.addEventListener(end, () => { if (last) { last = null; tell(); } });
element.addEventListener('click', event => {
  const chosen = event.target.dataset?.tool;
  if (chosen === 'paint' || chosen === 'erase') choose(chosen);
  if (chosen === 'all' || chosen === 'clear') { fill(chosen === 'all' && '#dc2626'); if (props.value) tell(); }
});

const show = () => {
  const shown = props.value, canvas = part('canvas'), picture = part('img');
  part('.painter').hidden = !shown;
  if (!shown) return;
  picture.src = shown.picture;
  [canvas.width, canvas.height] = shown.size;  // which also empties it
  choose(tool);
  if (!shown.mask) return;
  const mask = new Image();
  mask.onload = () => canvas.getContext('2d').drawImage(mask, 0, 0);
  mask.src = shown.mask;
};
watch('value', show);
show();
