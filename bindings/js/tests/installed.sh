#!/usr/bin/env bash
# Packs the package, installs it into an empty folder, and runs the programs of README.md there, as
# they are printed.
#
#   installed.sh BUILD [PACKED]    BUILD is the folder with package/ and node_modules/
#
# PACKED is a package that was packed before.
set -euo pipefail

build=$(realpath "$1") packed=${2:+$(realpath "$2")}
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
most=102400 # 100 KiB
npm=(npm --no-audit --no-fund --no-update-notifier --loglevel=error)

rm -rf "$build/empty" && mkdir -p "$build/empty"
cd "$build/empty"
if [ -n "$packed" ]; then
  cp "$packed" .
else
  "${npm[@]}" pack --silent --pack-destination . "$build/package" > /dev/null
fi
size=$(stat -c %s ./tokenpin-*.tgz)
echo "packed: $size bytes"
if [ "$size" -gt "$most" ]; then
  echo "installed.sh: more than $most" >&2
  exit 1
fi
echo '{ "private": true, "type": "module" }' > package.json
"${npm[@]}" install --offline ./tokenpin-*.tgz
# A plugin's host is no dependency of it.
ln -s "$build/node_modules/fastify" node_modules/fastify
node "$here/readme.js" "$here/../README.md" .

cp "$here/../../../examples/pin.mjs" .
"$here/../../../examples/run.sh" node pin.mjs
