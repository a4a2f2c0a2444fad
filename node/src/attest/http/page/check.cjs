// Runs the page's bundle as a browser holds it, under Node.
//
//   node check.cjs            the strict Ed25519 of the vectors, the forms of policies
//   node check.cjs DIRECTORY  judges what DIRECTORY/cases.json lists, and prints the answers

const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const bytes = (...path) => new Uint8Array(readFileSync(join(...path)));
const hex = (text) => new Uint8Array(Buffer.from(text, 'hex'));
const page = new Function(`${readFileSync(join(__dirname, 'page.js'), 'utf8')};return quorate;`)();
const vectors = join(__dirname, '../../../../../fixtures/vectors');

function judgeAll(directory) {
  const files = new Map();
  const file = (name) => {
    if (!files.has(name)) files.set(name, bytes(directory, name));
    return files.get(name);
  };
  return JSON.parse(readFileSync(join(directory, 'cases.json'), 'utf8')).map(({ pack, policy, patch }) => {
    const bent = Uint8Array.from(file(pack));
    for (const [at, put] of patch) bent.set(hex(put), at);
    const { verdict, summary, checks } = page.judge(bent, file(policy));
    return { verdict, summary, checks };
  });
}

function checkSignatures() {
  const counts = { true: 0, false: 0 };
  const { vectors: list } = JSON.parse(readFileSync(join(vectors, 'ed25519/own.json'), 'utf8'));
  for (const { A, R, s, message, name, expected } of list) {
    const found = page.isSigned(hex(A), hex(message), hex(R + s));
    if (found !== expected.dalek_verify_strict) throw new Error(`signature ${name}: ${found}`);
    counts[found] += 1;
  }
  if (counts.true < 20 || counts.false < 200) throw new Error('too few signatures');
  return counts;
}

function checkPolicies() {
  const known = JSON.parse(readFileSync(join(vectors, 'format/known-answers.json'), 'utf8'));
  const text = readFileSync(join(vectors, 'format/policy.json'), 'utf8');
  for (const policy of [bytes(vectors, 'format/policy.bin'), new TextEncoder().encode(text)]) {
    const { anchorDigest } = page.readPolicy(policy);
    const found = Buffer.from(anchorDigest).toString('hex');
    if (found !== known.anchor_digest) throw new Error(`anchor digest ${found}`);
  }
  const bent = [
    text.replace('"rule"', '"rules"'), text.replace('"version": 1', '"version": 1.0'),
    text.replace('{', '{"type": "quorate/policy/v1",'), text.replace('"num": 2', '"num": 3'), '[]', '{', 'null',
  ];
  for (const [i, one] of bent.entries()) {
    try {
      page.readPolicy(new TextEncoder().encode(one));
    } catch (error) {
      if (error instanceof page.Refused) continue;
      throw error;
    }
    throw new Error(`policy ${i} was read`);
  }
}

if (process.argv[2] !== undefined) {
  process.stdout.write(JSON.stringify(judgeAll(process.argv[2])));
} else {
  const { true: good, false: bad } = checkSignatures();
  checkPolicies();
  console.log(`${good} signatures hold and ${bad} do not, as the vectors have it; policies read`);
}
