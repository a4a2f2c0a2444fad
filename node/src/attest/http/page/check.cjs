// Runs the page's bundle as a browser would hold it over the frozen chain: `node check.cjs`.
// Every good attestation passes, and one with any bit changed is refused.

const { readFileSync } = require('node:fs');
const { join } = require('node:path');

const frozen = join(__dirname, '../../../../../fixtures/frozen');
const bytes = (name) => new Uint8Array(readFileSync(join(frozen, name)));
const page = new Function(`${readFileSync(join(__dirname, 'page.js'), 'utf8')};return quorate;`)();
const key = bytes('key.vk');
const rule = { num: 2n, den: 3n };
let refused = 0;
for (const height of [1, 9, 26, 50]) {
  const file = bytes(`chain/${String(height).padStart(2, '0')}.attestation`);
  if (page.checkAttestation(file, key, rule).height !== BigInt(height)) throw new Error('height');
  for (let at = height % 7; at < file.length; at += 29) {
    const bent = Uint8Array.from(file);
    bent[at] ^= 1 << (at % 8);
    try {
      page.checkAttestation(bent, key, rule);
    } catch (error) {
      refused += 1;
      continue;
    }
    throw new Error(`height ${height}: byte ${at} was changed and not noticed`);
  }
}
console.log(`four attestations verified, ${refused} changed ones refused`);
