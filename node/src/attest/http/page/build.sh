#!/bin/sh
# Makes page.js from the .mjs files here and fixtures/js/verify.mjs: needs npm, once, when one changes.
# With --check, fails when page.js is not what they make.
# esbuild, @noble/curves and @noble/hashes are MIT-licensed; LICENSE-noble is theirs.
set -eu
cd "$(dirname "$0")"
out=page.js
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ "${1:-}" = --check ] && out=$work/page.js
(cd "$work" && npm install --silent --no-audit --no-fund \
    @noble/curves@2.4.0 @noble/hashes@2.4.0 esbuild@0.28.2)
# A test compares this sum, so that no source changes without its bundle.
sum=$(cat files.mjs pack.mjs page.mjs policy.mjs ../../../../../fixtures/js/verify.mjs | sha256sum | cut -c1-64)
# Away from packages that may lie beside the sources, in other versions.
here=$work/tree/node/src/attest/http/page
mkdir -p "$here" "$work/tree/fixtures/js"
cp ./*.mjs "$here"
cp ../../../../../fixtures/js/verify.mjs "$work/tree/fixtures/js"
NODE_PATH="$work/node_modules" "$work/node_modules/.bin/esbuild" "$here/page.mjs" --bundle --minify --charset=ascii \
    --format=iife --global-name=quorate --target=es2021 --legal-comments=none \
    --banner:js="/*! Quorate (MIT OR Apache-2.0), with @noble/curves 2.4.0 and @noble/hashes 2.4.0 (c) Paul Miller, MIT; sources $sum */" \
    --outfile="$out"
if [ "$out" = page.js ]; then
    cp "$work/node_modules/@noble/curves/LICENSE" LICENSE-noble
else
    cmp page.js "$out"
fi
