// What page and verify.html do in the browser. One script for both: bundled into page.js.

import { Refused, bytesToHex, isSigned, readKey, sha256 } from './files.mjs';
import { SHOWS_NOT, isArchive, judge, unpack } from './pack.mjs';
import { readPolicy } from './policy.mjs';

export { Refused, isArchive, isSigned, judge, readKey, readPolicy, unpack };

const WORDS = {
  final: 'FINAL', invalid: 'INVALID', 'policy-failed': 'REFUSED BY THE POLICY', 'cannot-evaluate': 'CANNOT BE JUDGED',
};
const SIGNS = { pass: 'holds', fail: 'FAILS', 'not-checked': 'not checked' };

function make(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className !== undefined) made.className = className;
  return made;
}

function say(place, text, state) {
  place.textContent = text;
  place.className = state;
}

// The number that is read out by telephone: ten groups of five digits, two bytes each.
const comparisonNumber = (hex) => Array.from(
  { length: 10 },
  (_, i) => String(parseInt(hex.slice(4 * i, 4 * i + 4), 16)).padStart(5, '0'),
).join(' ');

const stateOf = ({ verdict }) => ({ final: 'final', invalid: 'conflict' })[verdict] ?? 'pending';

// The verdict in a sentence, then every check with what it does not show.
function show(place, answer, heading) {
  const sentence = make('p', `${heading}${WORDS[answer.verdict]}: ${answer.summary}.`, `verdict ${stateOf(answer)}`);
  const table = make('table', undefined, 'checks');
  const top = table.insertRow();
  for (const text of ['Check', 'Outcome', 'What it does not show']) top.append(make('th', text));
  for (const { name, status, what } of answer.checks) {
    const row = table.insertRow();
    row.className = status;
    const cell = make('th', name);
    cell.scope = 'row';
    row.append(cell, make('td', `${SIGNS[status]}: ${what}`), make('td', status === 'pass' ? SHOWS_NOT[name] : ''));
  }
  const parts = [sentence];
  if (answer.development) {
    parts.push(make('p', 'Development key: one party made the verifying key and could forge proofs under it.', 'development'));
  }
  place.className = '';
  place.replaceChildren(...parts, table);
}

// The same pack with one hex digit of a header or proof changed, and the manifest made to fit: the
// sums hold, and what they are sums of does not.
function bend(bytes) {
  const bent = Uint8Array.from(bytes);
  const files = unpack(bent);
  const manifest = files.get('MANIFEST.json');
  const judged = [...files].filter(([name]) => /^(headers|proofs)\//.test(name));
  const [name, body] = judged[Math.floor(Math.random() * judged.length)];
  const before = bytesToHex(sha256(body));
  const place = Math.floor(Math.random() * body.length);
  body[place] ^= Math.random() < 0.5 ? 1 : 16;
  const at = new TextDecoder().decode(manifest).indexOf(before);
  manifest.set(new TextEncoder().encode(bytesToHex(sha256(body))), at);
  return { bent, name, place };
}

function tamper(place, pack, policy) {
  const { bent, name, place: at } = bend(pack);
  const answer = judge(bent, policy);
  const noticed = answer.verdict !== 'final';
  const what = `One digit of byte ${at} of ${name} was changed, and the manifest made to fit. `;
  say(place, noticed ? `${what}Refused: ${answer.summary}.` : `${what}Nothing was noticed: report this.`, noticed ? 'noticed' : 'conflict');
}

// Lets what was said be painted before the work starts.
const painted = () => new Promise((go) => { setTimeout(go, 30); });

async function timed(run) {
  await painted();
  const started = performance.now();
  const answer = run();
  return { answer, ms: Math.max(1, Math.round(performance.now() - started)) };
}

// An answer; a service that is busy is asked again, a few times.
async function asked(path, more = 5) {
  const answer = await fetch(path);
  if (answer.status === 429 && more > 0) {
    await new Promise((go) => { setTimeout(go, 1000); });
    return asked(path, more - 1);
  }
  if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
  return answer;
}

// What this service says should be demanded: a start for whoever has no policy yet.
async function servicePolicy() {
  const bootstrap = await (await asked('/v1/light-client/bootstrap')).json();
  const { anchor, rule, logKey } = bootstrap;
  const { type: _, ...rest } = anchor;
  const key = Uint8Array.from(atob(logKey.split('+').slice(2).join('+')), (c) => c.charCodeAt(0)).slice(1);
  return new TextEncoder().encode(JSON.stringify({
    type: 'quorate/policy/v1',
    anchor: rest,
    rule,
    keys: anchor.keys,
    log_key: bytesToHex(key),
    cosigners: { threshold: 0, keys: [] },
    development_keys: true,
  }));
}

// The page: fetches the evidence for the height that it speaks of and judges it here.
function servePage(tools) {
  const [verdict, tampered] = ['verdict', 'tampered'].map((id) => document.getElementById(id));
  const [check, change, own] = ['verify', 'tamper', 'policy'].map((id) => document.getElementById(id));
  let checked;
  tools.hidden = false;
  check.addEventListener('click', async () => {
    say(verdict, 'Checking in your browser \u2026', 'pending');
    say(tampered, '', '');
    try {
      const { height } = tools.dataset;
      const pack = new Uint8Array(await (await asked(`/v1/packs?from=${height}&to=${height}`)).arrayBuffer());
      const policy = own.files.length > 0
        ? new Uint8Array(await own.files[0].arrayBuffer())
        : await servicePolicy();
      const { answer, ms } = await timed(() => judge(pack, policy));
      const whose = own.files.length > 0 ? 'by your policy' : 'by this service\u2019s word for anchor and keys';
      show(verdict, answer, `Checked in your browser in ${ms} ms, ${whose}. `);
      checked = { pack, policy };
      change.disabled = answer.verdict !== 'final';
    } catch (error) {
      say(verdict, `Not checked: ${error.message}`, 'conflict');
    }
  });
  change.addEventListener('click', () => tamper(tampered, checked.pack, checked.policy));
}

// verify.html: files are dropped or chosen, told apart by what they are, and judged.
function serveFiles(drop) {
  const [input, verdict, tampered, change, anchor] = ['files', 'verdict', 'tampered', 'tamper', 'anchor']
    .map((id) => document.getElementById(id));
  const slots = { pack: document.getElementById('pack'), policy: document.getElementById('policy') };
  const held = {};
  async function take(files) {
    for (const file of files) {
      const bytes = new Uint8Array(await file.arrayBuffer());
      const kind = isArchive(bytes) ? 'pack' : 'policy';
      held[kind] = bytes;
      slots[kind].textContent = `${file.name}, ${bytes.length} bytes, SHA-256 ${bytesToHex(sha256(bytes))}`;
    }
    change.disabled = true;
    say(tampered, '', '');
    if (held.pack === undefined || held.policy === undefined) {
      const missing = held.pack === undefined ? 'evidence pack' : 'policy of your own';
      say(verdict, `Still needed: the ${missing}.`, 'pending');
      return;
    }
    say(verdict, 'Checking \u2026', 'pending');
    const { answer, ms } = await timed(() => judge(held.pack, held.policy));
    show(verdict, answer, `Checked in ${ms} ms. `);
    anchor.textContent = answer.anchor === undefined
      ? 'none that can be read'
      : `${comparisonNumber(answer.anchor)}, digest ${answer.anchor}`;
    change.disabled = answer.verdict !== 'final';
  }
  input.addEventListener('change', () => take(input.files));
  for (const name of ['dragenter', 'dragover']) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add('over'); });
  }
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    take(event.dataTransfer.files);
  });
  change.addEventListener('click', () => tamper(tampered, held.pack, held.policy));
}

if (typeof document !== 'undefined') {
  const [tools, drop] = ['tools', 'drop'].map((id) => document.getElementById(id));
  if (tools !== null) servePage(tools);
  if (drop !== null) serveFiles(drop);
}
