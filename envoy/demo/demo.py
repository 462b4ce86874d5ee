"""The demo: conversations of the real OpenAI client through the real Envoy with the tokenpin filter.

    python3 envoy/demo/demo.py --build-dir build [--smoke]

Builds the filter against build/lib/libtokenpin.a, installs Envoy and the client into build/venv,
and exits with 0 only if every promise of every phase was kept.
"""

import argparse
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import venv

DEMO = pathlib.Path(__file__).resolve().parent
SOURCES = DEMO.parent
INCLUDE = SOURCES.parent / "include"
OLDEST_PYTHON = (3, 11)  # what the pinned requirements ask for

CXXFLAGS = "-std=c++17 -O2 -Wall -Wextra -Wpedantic -Werror -fPIC -fno-exceptions -shared"
LDFLAGS = "-Wl,-z,now -Wl,-z,relro"


def step(text):
    print(f"* {text}", flush=True)


def install(build):
    """Returns the Python of a virtual environment that has the pinned requirements."""
    folder = build / "venv"
    python = folder / "bin" / "python"
    wanted = (DEMO / "requirements.txt").read_text()
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    step("installing Envoy and the OpenAI client (once)")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, "-r", DEMO / "requirements.txt"], check=True)
    stamp.write_text(wanted)
    return python


def compile_filter(build):
    """Makes the module that Envoy loads, unless it is newer than everything it is made of."""
    module = build / "envoy" / "libtokenpin_envoy.so"
    library = build / "lib" / "libtokenpin.a"
    if not library.exists():
        sys.exit(f"{library} is missing: build the library first (make lib)")
    sources = sorted(SOURCES.glob("*.cc"))
    exports = SOURCES / "exports.map"
    inputs = [*sources, *SOURCES.glob("*.h"), *INCLUDE.glob("*.h*"), exports, library]
    newest = max(path.stat().st_mtime for path in inputs)
    if module.exists() and module.stat().st_mtime > newest:
        return
    step("compiling the Envoy filter")
    module.parent.mkdir(parents=True, exist_ok=True)
    unfinished = module.with_suffix(".tmp")
    command = [*shlex.split(os.environ.get("CXX", "g++")), *CXXFLAGS.split()]
    command += [f"-I{INCLUDE}", "-o", unfinished, *sources, library]
    command += [f"-Wl,--version-script={exports}", *LDFLAGS.split()]
    subprocess.run(command, check=True)
    unfinished.rename(module)


def main():
    parser = argparse.ArgumentParser(description="tokenpin on real traffic")
    parser.add_argument("--build-dir", type=pathlib.Path, default=pathlib.Path("build"))
    parser.add_argument("--smoke", action="store_true", help="few sessions, for the test suite")
    args = parser.parse_args()
    build = args.build_dir.resolve()

    if sys.version_info < OLDEST_PYTHON:
        sys.exit("the demo's requirements need Python {}.{} or newer".format(*OLDEST_PYTHON))
    python = install(build)
    compile_filter(build)
    # From here on in the virtual environment, and without leaving compiled files in the source.
    command = [python, "-B", DEMO / "phases.py", build, *(["--smoke"] if args.smoke else [])]
    os.execv(python, [str(word) for word in command])


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failure:
        sys.exit(f"failed: {shlex.join(map(str, failure.cmd))}")
