#!/usr/bin/env bash
# Makes sure of a command that a test runs: installs its Debian package where it is missing and we are root.
set -euo pipefail

command=${1:?usage: need.sh COMMAND DEBIAN_PACKAGE}
package=${2:?usage: need.sh COMMAND DEBIAN_PACKAGE}
have() { command -v "$command" > /dev/null; }
fail() {
  echo "need.sh: $1: install $command (Debian: apt-get install $package)" >&2
  exit 1
}

if have; then exit 0; fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
  fail "$command is missing, and apt-get as root is not at hand"
fi
install() { DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$package" > /dev/null; }
# The lists of packages may be missing, or too old for what is on the mirror.
install || { apt-get update -qq && install; } || fail "apt-get cannot install $package"
have || fail "$package is installed, and $command is still missing"
