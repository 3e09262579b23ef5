const copy = async button => {
  const text = button.dataset.copy;
  try { await navigator.clipboard.writeText(text); } catch {
    const area = document.createElement('textarea');
    area.value = text; document.body.append(area); area.select(); document.execCommand('copy'); area.remove();
  }
  const name = button.textContent; button.textContent = 'Copied'; setTimeout(() => { button.textContent = name; }, 1500);
};
document.querySelectorAll('[data-copy]').forEach(button => {
  button.hidden = false; button.addEventListener('click', () => copy(button));
});
const form = document.querySelector('form'), rows = [...document.querySelectorAll('details[data-type]')];
const groups = [...document.querySelectorAll('section')];
function begin() {
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
    groups.forEach(group => { group.hidden = !group.querySelector('details:not([hidden])'); });
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
  form.hidden = false; filter();
}
if (form) begin();
addEventListener('beforeprint', () => document.querySelectorAll('details').forEach(row => { row.open = true; }));
