#!/bin/sh
# The plugin in the LiteLLM of an environment, $1, and in the newest one that pip can install. $2 is
# the folder with the wheel.
set -eu
tests=$(dirname "$0")
# Nothing is fetched where it is imported.
export LITELLM_LOCAL_MODEL_COST_MAP=True
version() {
  "$1/bin/python" -B -c 'import importlib.metadata as it; print(it.version("litellm"))'
}
check() {
  "$1/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$2"/*.whl
  echo "LiteLLM $(version "$1")"
  "$1/bin/python" -B -m pytest --quiet -rP -p no:cacheprovider "$tests/litellm_proxy.py"
}
check "$1" "$2"
python3 -m venv --clear "$1/newest"
"$1/newest/bin/pip" install --quiet --disable-pip-version-check 'litellm[proxy]' pytest
if [ "$(version "$1/newest")" = "$(version "$1")" ]; then
  echo 'there is no newer one'
else
  check "$1/newest" "$2"
fi
