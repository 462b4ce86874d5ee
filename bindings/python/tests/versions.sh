#!/bin/sh
# The wheel in each version of Python from 3.9 on that this machine has. $1 is the folder with the
# wheels.
set -eu
tests=$(dirname "$0")
found=0
for version in 3.9 3.10 3.11 3.12 3.13 3.14; do
  python=
  for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python3; do
    if command -v "$candidate" > /dev/null 2>&1 && "$candidate" -c 'import ensurepip' 2> /dev/null; then
      python=$candidate
    fi
  done
  if [ -z "$python" ]; then continue; fi
  found=$((found + 1))
  "$python" -m venv --clear "$1/$version"
  "$1/$version/bin/pip" install --quiet --disable-pip-version-check pytest
  "$1/$version/bin/pip" install --quiet --disable-pip-version-check --no-index "$1"/wheels/*.whl
  "$1/$version/bin/python" --version
  TOKENPIN_CASES=300 "$1/$version/bin/python" -B -m pytest --quiet -p no:cacheprovider "$tests/test_interface.py" \
    "$tests/test_vectors.py" "$tests/test_twin.py"
done
[ "$found" -ge 2 ] || { echo 'python-versions: fewer than two versions of Python are here' >&2; exit 1; }
