// The page's own verification: everything from bytes, nothing from the service's word but the
// files that it checks. Bundled into page.js by build.sh.

import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { Refused, readKey, verify } from '../../../../../fixtures/js/verify.mjs';

const little = (number, length) => {
  const bytes = new Uint8Array(length);
  let rest = BigInt(number);
  for (let i = 0; i < length; i += 1, rest >>= 8n) bytes[i] = Number(rest & 255n);
  return bytes;
};
const fromLittle = (bytes) => bytes.reduceRight((n, byte) => (n << 8n) | BigInt(byte), 0n);
const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const leafHash = (leaf) => sha256(concatBytes(Uint8Array.of(0), leaf));
const nodeHash = (left, right) => sha256(concatBytes(Uint8Array.of(1), left, right));

function treeHash(hashes) {
  if (hashes.length === 1) return hashes[0];
  let width = 1;
  while (2 * width < hashes.length) width *= 2;
  return nodeHash(treeHash(hashes.slice(0, width)), treeHash(hashes.slice(width)));
}

// The eleven fields of a header, each as it stands, and what is needed of them.
export function readAttestation(file) {
  let at = 0;
  const take = (length) => {
    if (at + length > file.length) throw new Refused('length');
    at += length;
    return file.subarray(at - length, at);
  };
  const head = concatBytes(utf8ToBytes('QUORATE'), Uint8Array.of(12, 1));
  if (!same(take(9), head)) throw new Refused('not an attestation');
  const fields = [take(2)];
  const start = at;
  const length = Number(fromLittle(take(2)));
  if (length > 50) throw new Refused('chain id');
  take(length);
  fields.push(file.subarray(start, at));
  for (const width of [8, 8, 32, 32, 32, 32, 32, 32, 32]) fields.push(take(width));
  const [view, num, den, key, proof] = [8, 4, 4, 32, 192].map(take);
  if (at !== file.length) throw new Refused('length');
  return {
    chain: new TextDecoder().decode(fields[1].subarray(2)),
    height: fromLittle(fields[2]),
    parent: fields[4],
    validators: fields[9],
    digest: treeHash(fields.map(leafHash)),
    view, num: fromLittle(num), den: fromLittle(den), key, proof,
  };
}

// The four public inputs, 32 little-endian bytes each (docs/format.md).
export function statement({ digest, view, validators, num, den }) {
  const message = sha256(concatBytes(digest, view));
  const half = (from) => concatBytes(message.slice(from, from + 16).reverse(), new Uint8Array(16));
  return [validators, half(0), half(16), little(num | (den << 32n), 32)];
}

// Whether an attestation shows its block to be final under this key and rule; throws if not.
export function checkAttestation(file, keyFile, rule) {
  const key = readKey(keyFile);
  const attestation = readAttestation(file);
  if (!same(attestation.key, key.digest)) throw new Refused('it names another verifying key');
  if (attestation.num !== rule.num || attestation.den !== rule.den) throw new Refused('rule');
  verify(key, statement(attestation), attestation.proof);
  return attestation;
}

// Whether a .tlog-proof leads from the entry of a header to a checkpoint signed by `vkey`.
export function checkLogProof(text, vkey, entry) {
  const split = text.indexOf('\n\n');
  const [heading, index, ...path] = text.slice(0, split).split('\n');
  if (heading !== 'c2sp.org/tlog-proof@v1') throw new Refused('not a log proof');
  const checkpoint = text.slice(split + 2);
  const end = checkpoint.indexOf('\n\n') + 1;
  const body = checkpoint.slice(0, end);
  const [origin, size, root] = body.split('\n');
  const parts = vkey.split('+');
  const [name, id] = parts;
  const public_ = decode(parts.slice(2).join('+')).slice(1);
  if (name !== origin) throw new Refused('it is another log\'s');
  const line = checkpoint.slice(end + 1).split('\n').find((one) => {
    const [, who, what] = one.split(' ');
    return who === name && what !== undefined && bytesToHex(decode(what).slice(0, 4)) === id;
  });
  if (line === undefined) throw new Refused('the log did not sign it');
  const signature = decode(line.split(' ')[2]).slice(4);
  if (!ed25519.verify(signature, utf8ToBytes(body), public_, { zip215: false })) {
    throw new Refused('the log\'s signature does not hold');
  }
  let hash = leafHash(entry);
  let node = BigInt(index.split(' ')[1]);
  let last = BigInt(size) - 1n;
  if (node > last) throw new Refused('it is beyond the log\'s end');
  for (const sibling of path.map(decode)) {
    if (last === 0n) throw new Refused('the path is too long');
    if (node & 1n || node === last) {
      hash = nodeHash(sibling, hash);
      while (!(node & 1n) && node !== 0n) { node >>= 1n; last >>= 1n; }
    } else {
      hash = nodeHash(hash, sibling);
    }
    node >>= 1n; last >>= 1n;
  }
  if (last !== 0n || !same(hash, decode(root))) throw new Refused('the path leads elsewhere');
  return BigInt(size);
}

// An entry of the finality log: chain id, height, header digest, set, rule.
export function entry({ chain, height, digest, validators, num, den }) {
  return concatBytes(
    little(chain.length, 2), utf8ToBytes(chain), little(height, 8), digest, validators,
    little(num, 4), little(den, 4),
  );
}

function decode(base64) {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

async function bytesOf(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

function say(id, text, state) {
  const place = document.getElementById(id);
  place.textContent = text;
  place.className = state;
}

// Checks what the page speaks of, in this browser.
async function run(tools) {
  const { proved, index } = tools.dataset;
  say('verdict', 'Checking in your browser …', 'pending');
  const bootstrap = await (await fetch('/v1/light-client/bootstrap')).json();
  const file = await bytesOf(`/v1/attestations/${proved}/binary`);
  const rule = { num: BigInt(bootstrap.rule.num), den: BigInt(bootstrap.rule.den) };
  const named = bytesToHex(readAttestation(file).key);
  const key = bootstrap.verifyingKeys.find((one) => one.digest === named);
  if (key === undefined) throw new Refused('its key is not among the accepted ones');
  const keyFile = hexToBytes(key.file);
  const started = performance.now();
  const attestation = checkAttestation(file, keyFile, rule);
  const took = Math.round(performance.now() - started);
  let log = '';
  if (tools.dataset.height === proved) {
    const text = new TextDecoder().decode(await bytesOf(`/log/finality/proof/${index}`));
    const size = checkLogProof(text, bootstrap.logKey, entry(attestation));
    log = ` Its entry is in the log of ${size}.`;
  }
  say('verdict', `Verified in your browser in ${took} ms: the proof shows block ${attestation.height} `
    + `to be final under key ${named.slice(0, 16)}….${log} Not checked here: that key and anchor `
    + 'are the right ones.', 'final');
  return { file, keyFile, rule };
}

// Changes one hex digit of the file and lets the same check judge it.
function tamper({ file, keyFile, rule }) {
  const bent = Uint8Array.from(file);
  const at = 9 + Math.floor(Math.random() * (bent.length - 9));
  const digit = Math.random() < 0.5 ? 1 : 16;
  bent[at] ^= digit;
  try {
    checkAttestation(bent, keyFile, rule);
    say('tampered', `Byte ${at} was changed and nothing was noticed: report this.`, 'conflict');
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    say('tampered', `One digit of byte ${at} was changed: refused (${error.message}).`, 'conflict');
  }
}

if (typeof document !== 'undefined') {
  const tools = document.getElementById('tools');
  if (tools !== null) {
    tools.hidden = false;
    let checked;
    document.getElementById('verify').addEventListener('click', async () => {
      try {
        checked = await run(tools);
        document.getElementById('tamper').disabled = false;
      } catch (error) {
        say('verdict', `NOT verified: ${error.message}`, 'conflict');
      }
    });
    document.getElementById('tamper').addEventListener('click', () => tamper(checked));
  }
}
