// A policy: where trust starts and what is demanded. It comes from whoever checks, never from what
// is checked.

import {
  Reader, Refused, bytesToHex, decimal, demand, hexToBytes, little, readFile, readHeader, sha256, textOf,
} from './files.mjs';
import { concatBytes, utf8ToBytes } from '@noble/hashes/utils.js';

// Reads the JSON document or the binary file.
export function readPolicy(bytes) {
  try {
    return bytes[0] === 0x51 ? readFile(bytes, 6, binary) : json(textOf(bytes));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    throw new Refused(`this is not a policy: ${error.message}`);
  }
}

function checked(policy) {
  const { keys, cosigners, rule, chainKeys } = policy;
  for (const list of [keys, chainKeys]) {
    demand(list.length <= 16 && rising(list.map((key) => bytesToHex(key.digest))), 'its keys are out of order');
  }
  demand(cosigners.keys.length <= 32 && rising(cosigners.keys.map(bytesToHex)), 'its cosigners are out of order');
  demand(cosigners.threshold <= cosigners.keys.length, 'it demands more cosigners than it lists');
  demand(rule.num > 0n && rule.num < rule.den && gcd(rule.num, rule.den) === 1n, 'its rule is none');
  const list = concatBytes(little(chainKeys.length, 2), ...chainKeys.flatMap((key) => [key.digest, little(key.slots, 2)]));
  const anchor = concatBytes(
    policy.anchor.bytes, list, little(policy.trustingPeriod, 8), little(policy.clockDrift, 4), little(policy.madeAt, 8),
  );
  return { ...policy, chain: policy.anchor.chain, anchorDigest: sha256(concatBytes(utf8ToBytes('quorate-anchor1'), anchor)) };
}

const rising = (texts) => texts.every((text, i) => i === 0 || texts[i - 1] < text);
const gcd = (a, b) => (b === 0n ? a : gcd(b, a % b));

function binary(input) {
  const key = () => ({ digest: input.take(32), slots: Number(input.number(2)) });
  const anchor = readHeader(input);
  const chainKeys = input.list(16, key);
  const [trustingPeriod, clockDrift, madeAt] = [8, 4, 8].map((width) => input.number(width));
  const rule = { num: input.number(4), den: input.number(4) };
  const keys = input.list(16, key);
  const logKey = input.flag() ? input.take(32) : null;
  const threshold = Number(input.number(2));
  const cosigners = { threshold, keys: input.list(32, () => input.take(32)) };
  const developmentKeys = input.flag();
  return checked({ anchor, chainKeys, trustingPeriod, clockDrift, madeAt, rule, keys, logKey, cosigners, developmentKeys });
}

// The members of an object, exactly these.
function members(value, names, what) {
  demand(typeof value === 'object' && value !== null && !Array.isArray(value), `${what} is missing`);
  const found = Object.keys(value).sort().join();
  demand(found === [...names].sort().join(), `${what} has the members ${found}`);
  return value;
}

function hex(text, length, what) {
  demand(typeof text === 'string' && text.length === 2 * length && /^[0-9a-f]*$/.test(text), `${what} is not ${length} bytes of hex`);
  return hexToBytes(text);
}

function whole(value, most, what) {
  demand(Number.isInteger(value) && value >= 0 && value <= most, `${what} is not a number`);
  return BigInt(value);
}

function time(text, what) {
  demand(typeof text === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/.test(text), `${what} is not a time`);
  const ms = Date.parse(text);
  const full = text.length === 20 ? text.replace('Z', '.000Z') : text;
  demand(ms >= 0 && new Date(ms).toISOString() === full, `${what} is not a time`);
  return BigInt(ms);
}

function list(value, read, what) {
  demand(Array.isArray(value), `${what} is not a list`);
  return value.map(read);
}

const HEADER = [
  'version', 'chain_id', 'height', 'time', 'parent', 'payload_root', 'outcomes_root', 'state_root',
  'parameters', 'validators', 'next_validators',
];

// A header from its document; its bytes are what counts.
export function headerOfJson(value) {
  members(value, HEADER, 'the header');
  const text = (name) => {
    demand(typeof value[name] === 'string', `${name} is not text`);
    return value[name];
  };
  const id = utf8ToBytes(text('chain_id'));
  const bytes = concatBytes(
    little(whole(value.version, 65535, 'version'), 2), little(id.length, 2), id,
    little(decimal(text('height')), 8), little(time(value.time, 'time'), 8),
    ...HEADER.slice(4).map((name) => hex(value[name], 32, name)),
  );
  const input = new Reader(bytes);
  const header = readHeader(input);
  input.end();
  return header;
}

function json(text) {
  let document;
  try {
    document = JSON.parse(text);
  } catch {
    throw new Refused('it is not JSON');
  }
  // A member that is given twice, or a number in another form, does not come back as it was.
  const strip = (json) => json.replace(/[ \t\r\n]/g, '');
  demand(strip(JSON.stringify(document)) === strip(text), 'a member is repeated, or in another form');
  const names = ['type', 'anchor', 'rule', 'keys', 'log_key', 'cosigners', 'development_keys'];
  demand(document !== null && document.type === 'quorate/policy/v1', 'its type is not quorate/policy/v1');
  members(document, names, 'the policy');
  const anchor = members(
    document.anchor, ['header', 'keys', 'trusting_period_ms', 'clock_drift_ms', 'made_at'], 'the anchor',
  );
  const key = (value) => {
    members(value, ['digest', 'slots'], 'a key');
    return { digest: hex(value.digest, 32, 'a digest'), slots: Number(whole(value.slots, 256, 'slots')) };
  };
  const rule = members(document.rule, ['num', 'den'], 'the rule');
  const cosigners = members(document.cosigners, ['threshold', 'keys'], 'cosigners');
  demand(typeof document.development_keys === 'boolean', 'development_keys is not true or false');
  demand(typeof anchor.trusting_period_ms === 'string', 'the trusting period is not text');
  return checked({
    anchor: headerOfJson(anchor.header),
    chainKeys: list(anchor.keys, key, 'keys'),
    trustingPeriod: decimal(anchor.trusting_period_ms),
    clockDrift: whole(anchor.clock_drift_ms, 0xffffffff, 'the drift'),
    madeAt: time(anchor.made_at, 'made_at'),
    rule: { num: whole(rule.num, 0xffffffff, 'num'), den: whole(rule.den, 0xffffffff, 'den') },
    keys: list(document.keys, key, 'keys'),
    logKey: document.log_key === null ? null : hex(document.log_key, 32, 'log_key'),
    cosigners: {
      threshold: Number(whole(cosigners.threshold, 65535, 'the threshold')),
      keys: list(cosigners.keys, (text) => hex(text, 32, 'a cosigner'), 'cosigners'),
    },
    developmentKeys: document.development_keys,
  });
}
