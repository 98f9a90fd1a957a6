#!/bin/sh
# The engine's tests beside numpy 1 and tflite-runtime, in an environment of their own.
# Usage: tests/legacy.sh [pytest arguments]. PYTHON names another interpreter (3.10 or 3.11).
set -eu
cd "$(dirname "$0")/.."
venv=.venv-legacy

old_enough() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null
}

find_python() {
    for name in ${PYTHON:-} python3.11 python3.10 python3 .venv/bin/python; do
        if old_enough "$name"; then
            echo "$name"
            return
        fi
    done
}

if [ "$(uname -s)" != Linux ]; then
    echo "SKIPPED legacy: tflite-runtime has wheels for Linux only"
    exit 0
fi

if ! old_enough $venv/bin/python; then
    python="$(find_python)"
    if [ -z "$python" ]; then
        echo "SKIPPED legacy: no Python 3.10 or 3.11 found (tflite-runtime has no later wheels);" \
            "install python3.11 or set PYTHON"
        exit 0
    fi
    echo "legacy: making $venv with $python"
    rm -rf $venv
    "$python" -m venv $venv
fi

# What is installed follows from pyproject.toml: the same file, the same environment.
stamp="$(cksum < pyproject.toml)"
if [ "$(cat $venv/.stamp 2>/dev/null)" != "$stamp" ]; then
    $venv/bin/pip install --quiet --disable-pip-version-check -e '.[legacy]' \
        'pytest>=8.3' 'hypothesis>=6.120'
    echo "$stamp" > $venv/.stamp
fi

exec $venv/bin/python -m pytest \
    tests/agent/vision/test_engine.py \
    tests/agent/vision/test_preprocess.py \
    tests/agent/vision/test_flatfile.py \
    "$@"
