#!/bin/sh
# Makes page.js from page.mjs and fixtures/js/verify.mjs: needs npm, once, when either changes.
# esbuild, @noble/curves and @noble/hashes are MIT-licensed; LICENSE-noble is theirs.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm install --silent --no-audit --no-fund \
    @noble/curves@2.4.0 @noble/hashes@2.4.0 esbuild@0.28.2)
NODE_PATH="$work/node_modules" "$work/node_modules/.bin/esbuild" page.mjs --bundle --minify \
    --format=iife --global-name=quorate --target=es2020 --legal-comments=none \
    --banner:js='/*! Quorate (MIT OR Apache-2.0), with @noble/curves 2.4.0 and @noble/hashes 2.4.0 (c) Paul Miller, MIT */' \
    --outfile=page.js
cp "$work/node_modules/@noble/curves/LICENSE" LICENSE-noble
