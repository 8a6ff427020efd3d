// Keeps relative times and progress up to date, and adds copy buttons. Without it, the pages show the same content.
'use strict';

const RECONNECT_DELAY = 10_000;
const RETRY_DELAY = 1_500;
const LOSS_DELAY = 5_000;

const at = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function duration(seconds) {
  if (seconds < 120) return seconds === 1 ? '1 second' : `${seconds} seconds`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

// The page's times are the server's: the clock of this machine may be wrong.
const serverNow = () => Number(document.body.dataset.now) * 1000;
let skew = serverNow() - Date.now();

function updateTimes() {
  for (const time of all('time')) {
    const seconds = Math.round((Date.now() + skew - Date.parse(time.dateTime)) / 1000);
    time.dataset.ahead ??= time.textContent.startsWith('in ');
    const text = seconds >= 0 && time.dataset.ahead === 'true' ? 'due now' : seconds > 0 ? `${duration(seconds)} ago` : seconds < 0 ? `in ${duration(-seconds)}` : 'just now';
    if (Number.isFinite(seconds) && time.textContent !== text) time.textContent = text;
  }
}

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
  // Over plain HTTP, browsers allow copying only from a selection.
  const field = document.createElement('textarea');
  field.value = text;
  field.setAttribute('readonly', '');
  field.className = 'unseen';
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  if (!done) throw new Error('not copied');
}

function addCopyButtons() {
  for (const command of all('pre.command:not(:has(+ .copy))')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'copy';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      try {
        await copy(command.textContent);
        button.textContent = 'Copied';
        announce('Copied');
      } catch {
        getSelection().selectAllChildren(command);
        button.textContent = 'Selected';
        announce('Selected: copy it manually');
      }
      button.focus();
      setTimeout(() => { button.textContent = 'Copy'; }, 2000);
    });
    command.after(button);
  }
}

function announce(text) {
  at('#announcement').textContent = text;
}

// Do not replace the page while the user selects text or fills in a form.
function isBusy() {
  const main = at('main');
  const selection = getSelection();
  const isSelecting = !selection.isCollapsed && main.contains(selection.anchorNode);
  return isSelecting || (main.contains(document.activeElement) && document.activeElement.matches('input, select, textarea, .copy'));
}

let refreshTimer = null;

async function refresh(generation) {
  if (document.body.dataset.generation === String(generation)) return;
  clearTimeout(refreshTimer);
  if (isBusy()) {
    refreshTimer = setTimeout(refresh, RETRY_DELAY, generation);
    return;
  }
  const response = await fetch(location.href);
  if (!response.ok && response.status !== 404) return;
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
  if (!at('main', fresh) || isBusy()) return;
  const opened = new Map(all('details[data-key]').map((it) => [it.dataset.key, it.open]));
  const focused = at('main').contains(document.activeElement) ? document.activeElement.getAttribute('href') : null;
  const title = at('h1').textContent;
  at('#headline').replaceWith(document.adoptNode(at('#headline', fresh)));
  at('main').replaceChildren(...at('main', fresh).childNodes);
  at('header').className = at('header', fresh).className;
  at('link[rel=icon]').href = at('link[rel=icon]', fresh).getAttribute('href');
  document.title = fresh.title;
  Object.assign(document.body.dataset, fresh.body.dataset);
  skew = serverNow() - Date.now();
  for (const it of all('details[data-key]')) if (opened.has(it.dataset.key)) it.open = opened.get(it.dataset.key);
  if (focused) all('main a').find((link) => link.getAttribute('href') === focused)?.focus({ preventScroll: true });
  if (at('h1').textContent !== title) announce(at('h1').textContent);
  addCopyButtons();
  updateTimes();
}

function showProgress(sweeping) {
  for (const box of all('.sweep')) {
    const sweep = sweeping.find((it) => it.registry === box.dataset.registry);
    box.hidden = !sweep;
    if (!sweep) continue;
    const bar = at('progress', box);
    if (sweep.repositories > 0) {
      bar.max = sweep.repositories;
      bar.value = sweep.walked;
    } else {
      bar.removeAttribute('value');
    }
    at('.progress-text', box).textContent = sweep.repositories > 0
      ? `${sweep.walked} of ${sweep.repositories} repositories, ${sweep.objects} objects`
      : 'Reading the catalog';
  }
}

let events = null;
let lost = null;
let lossTimer = null;

function showLoss() {
  const line = at('#connection');
  line.textContent = `Connection lost at ${lost.toLocaleTimeString()}: this page may be out of date.`;
  line.hidden = false;
}

function connect() {
  events = new EventSource('events');
  events.onmessage = (event) => {
    const now = JSON.parse(event.data);
    lost = null;
    clearTimeout(lossTimer);
    at('#connection').hidden = true;
    showProgress(now.sweeping);
    refresh(now.generation).catch(() => {});
  };
  events.onerror = () => {
    // Streams end regularly, and the browser reconnects by itself.
    lost ??= new Date();
    clearTimeout(lossTimer);
    lossTimer = setTimeout(showLoss, LOSS_DELAY);
    if (events.readyState === EventSource.CLOSED) setTimeout(() => { if (!document.hidden) reconnect(); }, RECONNECT_DELAY);
  };
}

function reconnect() {
  events?.close();
  connect();
}

// A hidden page gives up its connection, because their number is limited.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) events?.close();
  else reconnect();
});

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.matches('input, select, textarea');
  if (event.key === '/' && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    at('.find input').focus();
  }
});

addCopyButtons();
setInterval(updateTimes, 1000);
if (!document.hidden) connect();
