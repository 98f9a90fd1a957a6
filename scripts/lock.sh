#!/usr/bin/env bash
# Resolve deploy/requirements-*.txt: exact versions with hashes, for Python 3.10 and newer on
# aarch64 and x86-64, with no index address inside. The index is the one pip is set to.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh

if ! uv=$(command -v uv); then
  uv=.venv-lock/bin/uv
  if [ ! -x "$uv" ]; then
    python=$(find_python) || fail 'uv is not installed, and no Python 3.10 to 3.13 was found.'
    step 'making .venv-lock' "$python" -m venv .venv-lock
    step 'installing uv' .venv-lock/bin/python -m pip install --quiet uv
  fi
fi
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"

# Each smaller set keeps to the versions of the larger one: what is tested is what is deployed.
lock() {
  local out=$1
  shift
  step "resolving $out" "$uv" pip compile --quiet --upgrade --universal --python-version 3.10 \
    --generate-hashes --no-emit-index-url --no-header --no-annotate \
    "$@" --output-file "$out"
  ! grep -nE 'https?://|file://' "$out" || fail "$out: holds an address"
}

# What builds our own package: it is locked too.
build=$(mktemp --suffix=.in)
trap 'rm -f "$build"' EXIT
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml >"$build"

lock deploy/requirements-build.txt "$build"
lock deploy/requirements-dev.txt --extra dev --extra cloud --extra train pyproject.toml
lock deploy/requirements-cloud.txt --extra cloud --constraint deploy/requirements-dev.txt pyproject.toml
lock deploy/requirements-device.txt --constraint deploy/requirements-cloud.txt pyproject.toml
