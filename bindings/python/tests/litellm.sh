#!/bin/sh
# The plugin in the LiteLLM of an environment, $1, and in the newest one. $2 is the folder with the wheel.
set -eu
tests=$(dirname "$0")
# Nothing is fetched where it is imported.
export LITELLM_LOCAL_MODEL_COST_MAP=True
check() {
  "$1/bin/pip" install --quiet --disable-pip-version-check --no-index --no-deps --force-reinstall "$2"/*.whl
  "$1/bin/python" -B -c 'import importlib.metadata as it; print("LiteLLM", it.version("litellm"))'
  "$1/bin/python" -B -m pytest --quiet -rP -p no:cacheprovider "$tests/litellm_proxy.py"
}
check "$1" "$2"
python3 -m venv --clear "$1/newest"
"$1/newest/bin/pip" install --quiet --disable-pip-version-check 'litellm[proxy]' pytest
check "$1/newest" "$2"
