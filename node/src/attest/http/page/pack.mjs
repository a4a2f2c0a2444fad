// An evidence pack, judged by a policy: the same checks in the same order as `quorate verify PACK`.

import {
  NotAccepted, Refused, attestationOf, bytesToHex, checkLogProof, checkProof, decimal, demand, headerOf,
  readKey, same, sha256, textOf,
} from './files.mjs';
import { readPolicy } from './policy.mjs';
import { utf8ToBytes } from '@noble/hashes/utils.js';

const MANIFEST = 'MANIFEST.json';
const LOOSE = ['README.txt', 'heights.csv', 'heights.json', 'verify.html'];
const FOLDERS = ['headers/', 'keys/', 'log/', 'proofs/'];
const HEIGHTS_MAX = 10000n;

// What each check leaves open, for whoever reads the answer.
export const SHOWS_NOT = {
  manifest: 'Who made the pack: anybody can make one whose sums fit.',
  chain: 'That your policy’s anchor is the right one. Compare its number with whoever made the policy.',
  headers: 'What the blocks contain, or whether that is lawful.',
  heights: 'Anything new: the tables are for reading.',
  log: 'That everybody is shown the same log. Cosigners and monitors watch for that.',
  keys: 'That whoever made the key has destroyed the secret that can forge proofs.',
  proofs: 'Who signed, or how many; that they are honest; that their set is still to be trusted today.',
};

class Failed extends Error {
  constructor(check, verdict, what) {
    super(what);
    Object.assign(this, { check, verdict });
  }
}

// Runs one part; what it refuses is named with its check and file.
function within(check, name, run) {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const verdict = error instanceof NotAccepted ? 'policy-failed' : error.verdict ?? 'invalid';
    throw new Failed(check, verdict, name === null ? error.message : `${name}: ${error.message}`);
  }
}

const fail = (check, what, verdict = 'invalid') => { throw new Failed(check, verdict, what); };
const padded = (height) => String(height).padStart(20, '0');
const headerName = (height) => `headers/${padded(height)}.header`;
const proofName = (height) => `proofs/${padded(height)}.attestation`;
const logName = (height) => `log/${padded(height)}.tlog-proof`;
const pretty = (value) => utf8ToBytes(`${JSON.stringify(value, null, 2)}\n`);

// The block before a file of an archive.
function head(name, size) {
  const block = new Uint8Array(512);
  const put = (at, text) => block.set(utf8ToBytes(text), at);
  put(0, name);
  put(100, '0000644\0' + '0000000\0' + '0000000\0');
  put(124, `${size.toString(8).padStart(11, '0')}\0` + '00000000000\0' + '        0');
  put(257, 'ustar\x0000');
  const sum = block.reduce((a, b) => a + b, 0);
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return block;
}

export const isArchive = (bytes) => bytes.length >= 512
  && same(bytes.subarray(257, 263), utf8ToBytes('ustar\0'));

// Plain files in order, and no byte that is not as every pack has it.
export function unpack(archive) {
  const files = new Map();
  let [at, last] = [0, ''];
  for (;;) {
    const block = archive.subarray(at, at + 512);
    if (block.length < 512) fail('archive', `the archive is cut off at byte ${at}`);
    if (block.every((byte) => byte === 0)) {
      const rest = archive.subarray(at + 512);
      if (rest.length === 512 && rest.every((byte) => byte === 0)) return files;
      fail('archive', `the archive ends at byte ${at}, and something else follows`);
    }
    const nul = block.indexOf(0);
    const name = String.fromCharCode(...block.subarray(0, nul < 0 ? 100 : Math.min(nul, 100)));
    if (!/^[\x21-\x7e]+$/.test(name)) fail('archive', `no file's name at byte ${at}`);
    const wrong = (what) => fail('archive', `${name}, at byte ${at}: ${what}`);
    const digits = String.fromCharCode(...block.subarray(124, 135));
    const size = /^[0-7]{11}$/.test(digits) ? parseInt(digits, 8) : -1;
    if (size < 0 || !same(block, head(name, size))) wrong('its header was changed: it is not that of a pack');
    const end = at + 512 + Math.ceil(size / 512) * 512;
    if (end > archive.length) wrong('it is cut off');
    const body = archive.subarray(at + 512, at + 512 + size);
    if (!archive.subarray(at + 512 + size, end).every((byte) => byte === 0)) wrong('there are bytes in its padding');
    if (!(last < name)) wrong('it is out of order');
    if (files.size >= 40000) wrong('the archive has too many files');
    files.set(name, body);
    [at, last] = [end, name];
  }
}

function checkManifest(files) {
  const text = files.get(MANIFEST);
  if (text === undefined) fail('manifest', `there is no ${MANIFEST}`);
  files.delete(MANIFEST);
  const changed = () => fail('manifest', `${MANIFEST} was changed: it is not in its one form`);
  let read;
  try {
    read = JSON.parse(textOf(text));
    const files_ = read.files.map(({ bytes, name, sha256: sum }) => ({ bytes, name, sha256: sum }));
    const { chain, from, provedBy, to, type } = read;
    if (![chain, from, provedBy, to, type].every((one) => typeof one === 'string')) changed();
    if (!same(pretty({ chain, files: files_, from, provedBy, to, type }), text)) changed();
  } catch (error) {
    if (error instanceof Failed) throw error;
    changed();
  }
  if (read.type !== 'quorate/pack/v1') fail('manifest', `${MANIFEST}: of type ${read.type}`);
  const names = [...files.keys()];
  for (const { name, bytes, sha256: sum } of read.files) {
    const body = files.get(name);
    if (body === undefined) fail('manifest', `${name} is in ${MANIFEST} and missing`);
    if (body.length !== bytes || bytesToHex(sha256(body)) !== sum) {
      fail('manifest', `${name} was changed: it is not what ${MANIFEST} lists`);
    }
  }
  const stray = names.find((name) => !read.files.some((one) => one.name === name));
  if (stray !== undefined) fail('manifest', `${stray} is there, and ${MANIFEST} does not list it`);
  if (read.files.some((one, i) => one.name !== names[i])) fail('manifest', `${MANIFEST} lists its files out of order`);
  const [from, to, proved] = within('manifest', MANIFEST, () => [read.from, read.to, read.provedBy].map(decimal));
  if (from > to || to > proved || to - from >= HEIGHTS_MAX) {
    fail('manifest', `${MANIFEST}: its heights are out of order, or too many`);
  }
  return { chain: read.chain, from, to, proved };
}

function checkNames(files, { from, to, proved }) {
  const names = [...files.keys()];
  const stray = names.find((name) => !LOOSE.includes(name) && !FOLDERS.some((start) => name.startsWith(start)));
  if (stray !== undefined) fail('manifest', `${stray} has no place in a pack`);
  const missing = LOOSE.find((name) => !files.has(name));
  if (missing !== undefined) fail('manifest', `${missing} is missing`);
  for (const [folder, last, nameOf] of [['log/', to, logName], ['headers/', proved, headerName]]) {
    const found = names.filter((name) => name.startsWith(folder)).length;
    if (BigInt(found) !== last - from + 1n) {
      fail('manifest', `${MANIFEST}: ${found} files in ${folder} for heights ${from} to ${last}`);
    }
    for (let height = from; height <= last; height += 1n) {
      if (!files.has(nameOf(height))) fail('manifest', `${nameOf(height)} is missing`);
    }
  }
}

function readHeaders(files, { from, proved }) {
  const headers = [];
  for (let height = from; height <= proved; height += 1n) {
    const name = headerName(height);
    const header = within('headers', name, () => headerOf(files.get(name)));
    if (header.height !== height) fail('headers', `${name}: it is of height ${header.height}`);
    const below = headers.at(-1);
    if (below !== undefined && !same(header.parent, below.digest)) {
      fail('headers', `${headerName(height - 1n)} is not the parent of ${name}`);
    }
    headers.push(header);
  }
  return headers;
}

const timeText = (header) => new Date(Number(header.time)).toISOString();

function csv(headers, proved) {
  const row = (h) => [
    h.height, timeText(h), bytesToHex(h.digest), bytesToHex(h.parent), bytesToHex(h.validators), proved,
  ].join();
  return utf8ToBytes(['height,time,block,parent,set,proved_by', ...headers.map(row), ''].join('\n'));
}

function report(chain, headers, proved) {
  const changes = (name) => headers.slice(1)
    .filter((header, i) => !same(header[name], headers[i][name]))
    .map((header) => String(header.height));
  return pretty({
    chain,
    count: headers.length,
    firstTime: timeText(headers[0]),
    heights: headers.map((h) => ({
      block: bytesToHex(h.digest),
      height: String(h.height),
      parent: bytesToHex(h.parent),
      set: bytesToHex(h.validators),
      time: timeText(h),
    })),
    lastTime: timeText(headers.at(-1)),
    parameterChanges: changes('parameters'),
    provedBy: String(proved),
    setChanges: changes('validators'),
    type: 'quorate/heights/v1',
  });
}

function checkLog(files, headers, policy) {
  const accepted = new Set();
  let [start, size] = [null, 0n];
  for (const header of headers) {
    const name = logName(header.height);
    const found = within('log', name, () => checkLogProof(textOf(files.get(name)), header, policy, accepted));
    start ??= header.height - found.index;
    if (start < 0n || header.height - found.index !== start) {
      fail('log', `${name}: entry ${found.index} is another height's`);
    }
    size = found.size;
  }
  return size;
}

function goodKey(file) {
  try {
    return readKey(file);
  } catch (error) {
    throw error instanceof Refused ? new Refused(`not a good verifying key (${error.reason})`) : error;
  }
}

function readKeys(files, policy) {
  const keys = new Map();
  for (const [name, file] of files) {
    if (!name.startsWith('keys/')) continue;
    const key = within('keys', name, () => goodKey(file));
    const digest = bytesToHex(key.digest);
    if (name !== `keys/${digest}.vk`) fail('keys', `${name}: its digest is ${digest}`);
    if (policy.keys.some((accepted) => same(accepted.digest, key.digest))) keys.set(digest, key);
  }
  return keys;
}

function acceptedKey(policy, keys, digest) {
  const text = bytesToHex(digest);
  const refuse = (what, verdict = 'policy-failed') => {
    throw Object.assign(new Refused(what), { verdict });
  };
  const listed = policy.keys.find((key) => same(key.digest, digest));
  if (listed === undefined) refuse(`verifying key ${text} is not among the accepted ones`);
  const key = keys.get(text);
  if (key === undefined) refuse(`verifying key ${text} is accepted but not at hand`, 'cannot-evaluate');
  if (key.slots !== listed.slots) refuse(`verifying key ${text} has ${key.slots} slots, the policy lists it with ${listed.slots}`);
  if (key.development && !policy.developmentKeys) {
    refuse(`verifying key ${text} is a development key: whoever made it can forge proofs`);
  }
  return key;
}

// One step of a light client, judged as of the time of the header that it leads to.
function step(trusted, proof, policy, keys) {
  const { header, rule } = proof;
  const refuse = (what, verdict = 'policy-failed') => {
    throw Object.assign(new Refused(what), { verdict });
  };
  if (trusted.time + policy.trustingPeriod <= header.time) {
    refuse(`trust in the set of height ${trusted.height} had ended`);
  }
  if (header.chain !== policy.chain) refuse(`the header is of chain ${header.chain}`);
  if (rule.num !== 2n || rule.den !== 3n) refuse(`the proof is for ${rule.num}/${rule.den}, the commit rule is demanded`);
  if (header.height <= trusted.height) refuse(`height ${header.height} is not above the trusted ${trusted.height}`);
  if (header.time <= trusted.time) refuse("the header's time is not above the trusted header's");
  if (header.height === trusted.height + 1n && !same(header.parent, trusted.digest)) {
    refuse(`the header has another parent than the trusted ${bytesToHex(trusted.digest)}`);
  }
  if (!same(header.validators, trusted.next)) {
    refuse(
      `the header is signed by set ${bytesToHex(header.validators)}, the trusted set is ${bytesToHex(trusted.next)}`,
      'cannot-evaluate',
    );
  }
  const key = acceptedKey(policy, keys, proof.key);
  checkProof(key, trusted.next, proof, rule);
  if (!same(header.parameters, trusted.parameters)) {
    refuse(`the parameters changed to ${bytesToHex(header.parameters)}: their opening is needed`, 'cannot-evaluate');
  }
  return key;
}

function follow(files, policy, keys) {
  if (policy.rule.num !== 2n || policy.rule.den !== 3n) {
    fail('proofs', 'the policy demands another rule than the commit rule', 'policy-failed');
  }
  let [trusted, key] = [policy.anchor, null];
  for (const [name, file] of files) {
    if (!name.startsWith('proofs/')) continue;
    key = within('proofs', name, () => {
      const proof = attestationOf(file);
      demand(name === proofName(proof.header.height), `it is of height ${proof.header.height}`);
      const used = step(trusted, proof, policy, keys);
      trusted = proof.header;
      return used;
    });
  }
  if (key === null) fail('proofs', 'there is no proof in it');
  return { trusted, key };
}

// Judges a pack by a policy, both as bytes. Never throws over what they say: everything that fails
// is in the answer.
export function judge(pack, policyFile) {
  const answer = { verdict: 'final', summary: '', checks: [], development: false, range: null };
  const checks = answer.checks;
  const holds = (name, what) => checks.push({ name, status: 'pass', what });
  try {
    const policy = within('policy', null, () => readPolicy(policyFile));
    answer.anchor = bytesToHex(policy.anchorDigest);
    const files = unpack(pack);
    const range = checkManifest(files);
    answer.range = range;
    checkNames(files, range);
    holds('manifest', `${files.size} files are as it lists them`);
    if (range.chain !== policy.chain) {
      fail('chain', `${MANIFEST}: the pack is of chain ${range.chain}, the policy's is ${policy.chain}`, 'policy-failed');
    }
    holds('chain', "it is the policy's");
    const headers = readHeaders(files, range);
    holds('headers', `each from ${range.proved} down to ${range.from} is the parent of the one above`);
    const told = headers.slice(0, Number(range.to - range.from) + 1);
    const tables = { 'heights.csv': csv(told, range.proved), 'heights.json': report(range.chain, told, range.proved) };
    for (const [name, text] of Object.entries(tables)) {
      if (!same(files.get(name), text)) fail('heights', `${name} does not say what the headers say`);
    }
    holds('heights', 'heights.csv and heights.json say what the headers say');
    if (policy.logKey === null) {
      checks.push({ name: 'log', status: 'not-checked', what: 'the policy names no log key' });
    } else {
      const size = checkLog(files, told, policy);
      holds('log', `each height has its entry under a signed checkpoint of ${size} entries; `
        + `${policy.cosigners.threshold} cosigners are demanded`);
    }
    const keys = readKeys(files, policy);
    holds('keys', `${keys.size} of the policy's verifying keys are here`);
    const { trusted, key } = follow(files, policy, keys);
    if (!same(headers.at(-1).digest, trusted.digest)) {
      fail('proofs', `${headerName(range.proved)} is not the header that ${proofName(trusted.height)} proves`);
    }
    holds('proofs', `a quorum of the set that the anchor leads to signed height ${range.proved}`);
    answer.development = key.development;
    answer.summary = `heights ${range.from} to ${range.to} of ${range.chain} are final`;
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    answer.verdict = error.verdict;
    answer.summary = error.message;
    checks.push({ name: error.check, status: 'fail', what: error.message });
  }
  return answer;
}
