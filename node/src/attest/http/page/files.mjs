// Quorate's binary values, and what is hashed and signed (docs/format.md). Everything that is not
// as it should be is a Refused.

import { ed25519 } from '@noble/curves/ed25519.js';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { Refused, readKey, verify } from '../../../../../fixtures/js/verify.mjs';

export { Refused, readKey, bytesToHex, hexToBytes, sha256 };

const U64_MAX = (1n << 64n) - 1n;
const TIME_END = 253402300800000n;
const SCALARS = 0x30644e72e131a029b85045b68181585d2833e84879b9709143e1f593f0000001n;

export function demand(holds, what) {
  if (!holds) throw new Refused(what);
}

export const little = (number, length) => {
  const bytes = new Uint8Array(length);
  let rest = BigInt(number);
  for (let i = 0; i < length; i += 1, rest >>= 8n) bytes[i] = Number(rest & 255n);
  return bytes;
};
const fromLittle = (bytes) => bytes.reduceRight((n, byte) => (n << 8n) | BigInt(byte), 0n);
export const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const leafHash = (leaf) => sha256(concatBytes(Uint8Array.of(0), leaf));
const nodeHash = (left, right) => sha256(concatBytes(Uint8Array.of(1), left, right));

function treeHash(hashes) {
  if (hashes.length === 1) return hashes[0];
  let width = 1;
  while (2 * width < hashes.length) width *= 2;
  return nodeHash(treeHash(hashes.slice(0, width)), treeHash(hashes.slice(width)));
}

// Text, if the bytes are UTF-8 and nothing else.
export function textOf(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Refused('it is not text');
  }
}

// A decimal number below 2^64, without sign and leading zeros.
export function decimal(text) {
  demand(/^(0|[1-9][0-9]{0,19})$/.test(text), 'a number is not written as one');
  const number = BigInt(text);
  demand(number <= U64_MAX, 'a number is too large');
  return number;
}

export class Reader {
  constructor(bytes) {
    Object.assign(this, { bytes, at: 0 });
  }
  take(length) {
    demand(this.at + length <= this.bytes.length, 'it is cut off');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
  number(length) {
    return fromLittle(this.take(length));
  }
  flag() {
    const byte = this.take(1)[0];
    demand(byte < 2, 'a flag is neither 0 nor 1');
    return byte === 1;
  }
  list(most, read) {
    const length = Number(this.number(2));
    demand(length <= most, 'a list is too long');
    return Array.from({ length }, () => read(this));
  }
  end() {
    demand(this.at === this.bytes.length, 'something follows its end');
  }
}

// A file of one kind: magic, kind, version, and what `read` makes of the rest.
export function readFile(bytes, kind, read) {
  const input = new Reader(bytes);
  const head = concatBytes(utf8ToBytes('QUORATE'), Uint8Array.of(kind, 1));
  demand(same(input.take(9), head), 'it is not a file of its kind');
  const value = read(input);
  input.end();
  return value;
}

// The eleven fields of a header, each as it stands, and what they say.
export function readHeader(input) {
  const fields = [];
  const field = (length) => {
    fields.push(input.take(length));
    return fields.at(-1);
  };
  demand(fromLittle(field(2)) === 1n, 'a header of another version');
  const start = input.at;
  const length = Number(input.number(2));
  demand(length <= 50, 'a chain id that is too long');
  const chain = textOf(input.take(length));
  demand(/^[a-z0-9][a-z0-9-]*-[0-9a-f]{16}$/.test(chain), 'no chain id');
  fields.push(input.bytes.subarray(start, input.at));
  const height = fromLittle(field(8));
  const time = fromLittle(field(8));
  demand(time < TIME_END, 'a time beyond the year 9999');
  const parent = field(32);
  for (let i = 0; i < 3; i += 1) field(32);
  const parameters = field(32);
  const [validators, next] = [field(32), field(32)];
  demand([validators, next].every((set) => fromLittle(set) < SCALARS), 'no set commitment');
  const digest = treeHash(fields.map(leafHash));
  return { chain, height, time, parent, parameters, validators, next, digest, bytes: concatBytes(...fields) };
}

export const headerOf = (file) => readFile(file, 1, readHeader);

function readRule(input) {
  const rule = { num: input.number(4), den: input.number(4) };
  demand(rule.num > 0n && rule.num < rule.den, 'no rule');
  return rule;
}

export const attestationOf = (file) => readFile(file, 12, (input) => {
  const header = readHeader(input);
  const [view, rule] = [input.take(8), readRule(input)];
  return { header, view, rule, key: input.take(32), proof: input.take(192) };
});

// The four public inputs, 32 little-endian bytes each.
export function statement(set, header, view, { num, den }) {
  const message = sha256(concatBytes(header.digest, view));
  const half = (from) => concatBytes(message.slice(from, from + 16).reverse(), new Uint8Array(16));
  return [set, half(0), half(16), little(num | (den << 32n), 32)];
}

// Whether the proof shows that a quorum of `set` signed the header; throws if not.
export function checkProof(key, set, { header, view, proof }, rule) {
  try {
    verify(key, statement(set, header, view, rule), proof);
  } catch (error) {
    throw error instanceof Refused ? new Refused(`the proof does not hold (${error.reason})`) : error;
  }
}

// An entry of the finality log.
export function entry(header, { num, den }) {
  return concatBytes(
    little(header.chain.length, 2), utf8ToBytes(header.chain), little(header.height, 8),
    header.digest, header.validators, little(num, 4), little(den, 4),
  );
}

// Base64 with its padding, and in no other form.
function fromBase64(text) {
  let bytes;
  try {
    bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch {
    throw new Refused('base64 that is none');
  }
  demand(btoa(String.fromCharCode(...bytes)) === text, 'base64 in another form');
  return bytes;
}

// Ed25519 as RFC 8032 has it, strict: no point of small order, s below the group's order, and the
// equation without the cofactor.
export function isSigned(key, message, signature) {
  const { Point } = ed25519;
  try {
    demand(signature.length === 64 && key.length === 32, 'length');
    const [A, R] = [key, signature.subarray(0, 32)].map((bytes) => Point.fromBytes(bytes, true));
    const s = fromLittle(signature.subarray(32));
    const order = Point.Fn.ORDER;
    if (s >= order || A.isSmallOrder() || R.isSmallOrder()) return false;
    const k = fromLittle(sha512(concatBytes(signature.subarray(0, 32), key, message))) % order;
    const times = (point, scalar) => (scalar === 0n ? Point.ZERO : point.multiplyUnsafe(scalar));
    return times(Point.BASE, s).subtract(times(A, k)).equals(R);
  } catch {
    return false;
  }
}

const keyId = (name, algorithm, key) => sha256(
  concatBytes(utf8ToBytes(`${name}\n`), Uint8Array.of(algorithm), key),
).slice(0, 4);

// A signed note of C2SP that says origin, size and root.
function readCheckpoint(note) {
  demand(note.length <= 65536 && !/[\x00-\x09\x0b-\x1f]/.test(note), 'no signed note');
  const split = note.lastIndexOf('\n\n');
  demand(split >= 0 && note.endsWith('\n'), 'no signed note');
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2, -1).split('\n');
  demand(lines.length <= 64, 'too many signatures');
  const signatures = lines.map((line) => {
    const parts = line.split(' ');
    demand(parts.length === 3 && parts[0] === '\u2014' && parts[1] !== '', 'no line of a signature');
    demand(!/[\s+]/.test(parts[1]), 'no line of a signature');
    const bytes = fromBase64(parts[2]);
    demand(bytes.length > 4, 'no line of a signature');
    return { name: parts[1], id: bytes.slice(0, 4), bytes: bytes.slice(4) };
  });
  const body = text.slice(0, -1).split('\n');
  demand(body.length === 3 && body[0] !== '', 'a checkpoint has three lines');
  const root = fromBase64(body[2]);
  demand(root.length === 32, 'a root has 32 bytes');
  return { text, signatures, origin: body[0], size: decimal(body[1]), root };
}

export class NotAccepted extends Refused {}

// Whether the log of this chain and key signed a checkpoint, and enough of the cosigners.
function acceptCheckpoint(checkpoint, chain, logKey, cosigners) {
  const name = `${chain}/finality`;
  const accept = (holds, what) => {
    if (!holds) throw new NotAccepted(what);
  };
  accept(checkpoint.origin === name, `the checkpoint is of log ${checkpoint.origin}, not ${name}`);
  const id = keyId(name, 1, logKey);
  const own = checkpoint.signatures.filter((one) => one.name === name && same(one.id, id));
  for (const one of own) {
    const holds = isSigned(logKey, utf8ToBytes(checkpoint.text), one.bytes);
    demand(holds, "the log's signature does not hold");
  }
  accept(own.length > 0, "the checkpoint bears no signature by the policy's log key");
  const found = new Set();
  for (const one of checkpoint.signatures) {
    const key = cosigners.keys.find((key) => same(keyId(one.name, 4, key), one.id));
    if (key !== undefined) {
      demand(one.bytes.length === 72, `the signature of ${one.name} does not hold`);
      const time = one.bytes.slice(0, 8).reduce((n, byte) => (n << 8n) | BigInt(byte), 0n);
      const message = utf8ToBytes(`cosignature/v1\ntime ${time}\n${checkpoint.text}`);
      const holds = time < 1n << 63n && isSigned(key, message, one.bytes.slice(8));
      demand(holds, `the signature of ${one.name} does not hold`);
      found.add(bytesToHex(key));
    }
  }
  accept(
    found.size >= cosigners.threshold,
    `${found.size} of the policy's cosigners signed, ${cosigners.threshold} are needed`,
  );
}

// Whether a `.tlog-proof` leads from a header's entry to a checkpoint that is accepted. `accepted`
// remembers checkpoints that were, since a pack repeats one.
export function checkLogProof(text, header, { rule, chain, logKey, cosigners }, accepted = new Set()) {
  const split = text.indexOf('\n\n');
  demand(split >= 0, 'no blank line before its checkpoint');
  const [heading, place, ...lines] = text.slice(0, split).split('\n');
  demand(heading === 'c2sp.org/tlog-proof@v1', 'not a log proof');
  demand(place !== undefined && place.startsWith('index '), 'it names no index');
  const index = decimal(place.slice(6));
  demand(lines.length <= 64, 'its path is longer than any tree is high');
  const path = lines.map(fromBase64);
  demand(path.every((hash) => hash.length === 32), 'a hash has 32 bytes');
  const note = text.slice(split + 2);
  const checkpoint = readCheckpoint(note);
  if (!accepted.has(note)) acceptCheckpoint(checkpoint, chain, logKey, cosigners);
  accepted.add(note);
  const wrong = `the path does not lead from entry ${index} to the root of ${checkpoint.size} entries`;
  demand(index < checkpoint.size, wrong);
  let hash = leafHash(entry(header, rule));
  let [node, last] = [index, checkpoint.size - 1n];
  for (const sibling of path) {
    demand(last !== 0n, wrong);
    if (node & 1n || node === last) {
      hash = nodeHash(sibling, hash);
      while (!(node & 1n) && node !== 0n) { node >>= 1n; last >>= 1n; }
    } else {
      hash = nodeHash(hash, sibling);
    }
    node >>= 1n; last >>= 1n;
  }
  demand(last === 0n && same(hash, checkpoint.root), wrong);
  return { index, size: checkpoint.size };
}
