const form = document.querySelector('form'), rows = [...document.querySelectorAll('tr[data-state]')];
const search = form.querySelector('[type=search]'), shown = document.getElementById('shown');
const texts = rows.map(row => row.textContent.toLowerCase());
const boxes = name => [...form.querySelectorAll(`[name=${name}]`)];
const hidden = name => new Set(boxes(name).filter(box => !box.checked).map(box => box.value));
function filter() {
  const states = hidden('state'), waves = hidden('wave');
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, i) => {
    const fits = !states.has(row.dataset.state) && !waves.has(row.dataset.wave) && words.every(w => texts[i].includes(w));
    row.hidden = !fits; count += fits;
  });
  shown.textContent = `${count} of ${rows.length} shown`;
}
form.addEventListener('input', filter);
form.addEventListener('submit', event => event.preventDefault());
document.addEventListener('keydown', event => {
  if (event.key === '/' && event.target !== search) { event.preventDefault(); search.focus(); }
  if (event.key === 'Escape' && event.target === search) { search.value = ''; filter(); }
});
form.hidden = false; filter();
