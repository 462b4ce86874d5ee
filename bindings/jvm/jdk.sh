#!/usr/bin/env bash
# Prints the home of a JDK of at least one version, and of another at most one: the JVMs that this
# machine has.
#   jdk.sh 22        the newest JDK, 22 or later, with javac
#   jdk.sh 17 21     one of 17 to 21
set -euo pipefail

least=${1:?usage: jdk.sh LEAST [MOST]} most=${2:-999}
best=0 found=
javac=$(readlink -f "$(command -v javac || echo /)")
for home in "${JAVA_HOME:-}" "$(dirname "$(dirname "$javac")")" /usr/lib/jvm/*; do
  [ -n "$home" ] && [ -x "$home/bin/javac" ] || continue
  version=$("$home/bin/javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p')
  if [ "${version:-0}" -ge "$least" ] && [ "$version" -le "$most" ] && [ "$version" -gt "$best" ]; then
    best=$version found=$home
  fi
done
if [ -z "$found" ]; then
  range="$least$([ -n "${2:-}" ] && echo " to $2" || echo " or later")"
  echo "jdk.sh: no JDK of $range in JAVA_HOME, in PATH or in /usr/lib/jvm" >&2
  exit 1
fi
echo "$found"
