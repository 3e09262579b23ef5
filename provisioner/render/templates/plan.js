const form = document.querySelector('form'), rows = [...document.querySelectorAll('details[data-type]')];
const search = form.querySelector('[type=search]'), shown = document.getElementById('shown');
const texts = rows.map(row => row.textContent.toLowerCase());
const checked = name => new Set([...form.querySelectorAll(`[name=${name}]:checked`)].map(box => box.value));
function filter() {
  const types = checked('type'), actions = checked('action');
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  rows.forEach((row, i) => {
    const fits = types.has(row.dataset.type) && actions.has(row.dataset.action)
      && words.every(w => texts[i].includes(w));
    row.hidden = !fits; count += fits;
  });
  shown.textContent = `${count} of ${rows.length} shown`;
}
form.addEventListener('input', filter);
form.addEventListener('submit', event => event.preventDefault());
document.getElementById('all').addEventListener('click', () => {
  const open = rows.some(row => !row.hidden && !row.open);
  rows.forEach(row => { if (!row.hidden) row.open = open; });
});
document.addEventListener('keydown', event => {
  if (event.key === '/' && event.target !== search) { event.preventDefault(); search.focus(); }
  if (event.key === 'Escape' && event.target === search) { search.value = ''; filter(); }
});
addEventListener('beforeprint', () => rows.forEach(row => { row.open = true; }));
form.hidden = false; filter();
