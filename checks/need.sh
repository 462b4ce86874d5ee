#!/usr/bin/env bash
# Ensures that a command, or a file, that a target needs is present. If it is missing, root installs
# its Debian package: asked first on a terminal, informed elsewhere.
set -euo pipefail

usage='usage: need.sh COMMAND|/FILE DEBIAN_PACKAGE REASON'
what=${1:?$usage} package=${2:?$usage} reason=${3:?$usage}
have() { if [[ $what == /* ]]; then [ -e "$what" ]; else command -v "$what" > /dev/null; fi; }
fail() {
  echo "need.sh: $1; by hand: apt-get install $package, or another package with $what" >&2
  exit 1
}

if have; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  fail "$what is missing ($reason), and there is no apt-get, or no right to use it"
fi
if [ -t 0 ] && [ -t 1 ]; then
  read -r -p "$what is missing ($reason). Install Debian's $package? [y/N] " answer
  [[ $answer == [yY]* ]] || fail "$what is missing ($reason)"
fi
echo "installing Debian's $package: $what is missing ($reason); by hand: apt-get install $package"
install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$package" > /dev/null; }
# The lists of packages may be missing, or outdated.
install || { apt-get update -qq && install; } || fail "apt-get cannot install $package"
have || fail "$package is installed, and $what is still missing"
