#!/usr/bin/env bash
# Set up what a make target needs. Usage: setup.sh demo | dev | system
#
#   demo    device and worker packages in the virtual environment
#   dev     the same, with training, tests and checks
#   system  brokers, databases and tools that tests use, by apt-get where we are root
#
# Done work is remembered in the environment under a hash of its inputs, so later runs take no
# time. pip's own settings (index, certificates, proxies) are left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/steps.sh
VENV=${VENV:-.venv}

system() {
  local missing=()
  has mosquitto || missing+=(mosquitto)
  has initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
  if ! has gst-launch-1.0; then
    missing+=(gstreamer1.0-tools gstreamer1.0-plugins-base)
  elif ! compgen -G '/usr/lib/*/gstreamer-1.0/libgstvideotestsrc.so' >/dev/null &&
    ! gst-inspect-1.0 --exists videotestsrc; then
    missing+=(gstreamer1.0-plugins-base)
  fi
  has systemd-analyze || missing+=(systemd)
  has openssl || missing+=(openssl)
  [ "${#missing[@]}" -gt 0 ] || return 0
  if am_root && has apt-get; then
    step "installing ${missing[*]}" apt_install "${missing[@]}" && return 0
  else
    printf 'not installed: %s\n  apt-get install %s   (as root)\n' \
      "${missing[*]}" "${missing[*]}" >&2
  fi
  printf 'tests that need them are skipped, by name\n' >&2
}

make_venv() {
  local python
  if ! python=$(find_python); then
    if am_root && has apt-get; then
      step 'installing Python' apt_install python3 python3-venv || true
    fi
    python=$(find_python) || fail \
      'No Python 3.10 to 3.13 that can make virtual environments was found.' \
      '  Debian, Ubuntu, Raspberry Pi OS, as root: apt-get install python3 python3-venv' \
      '  elsewhere: install Python 3.12 and run again, or name one: make PYTHON=/path/to/python3 ...'
  fi
  if [ -e "$VENV" ] && [ ! -e "$VENV/pyvenv.cfg" ]; then
    fail "$VENV exists and is no virtual environment; name another: make VENV=... "
  fi
  step "making $VENV with $("$python" -V)" "$python" -m venv --clear "$VENV"
  pwd -P >"$VENV/.made-at"
}

# An environment works at the path it was made at, with the Python it was made with.
venv_works() {
  "$VENV/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null &&
    { [ ! -e "$VENV/.made-at" ] || [ "$(cat "$VENV/.made-at")" = "$(pwd -P)" ]; }
}

pip_install() {
  # Modules are compiled when first imported: most of TensorFlow's never are.
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile "$@"
}

install_locked() {
  pip_install --no-deps --require-hashes -r "$1" && pip_install --no-deps -e .
}

packages() {
  local kind=$1 lock=$2 extras=$3 key stamp
  venv_works || make_venv
  key=$({ "$VENV/bin/python" -V && cat pyproject.toml "$lock"; } | sha256sum | cut -c1-64)
  stamp="$VENV/.ready-$kind"
  if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$key" ]; then return 0; fi
  if ! step "installing packages ($lock)" install_locked "$lock"; then
    # An index may lack a locked version; a development environment can do without the lock.
    # Installations on devices and servers cannot: deploy/ never takes this way.
    step "installing packages (newest of pyproject.toml instead)" pip_install -e ".[$extras]" ||
      fail 'The packages could not be installed: is the package index reachable (pip config list)?'
  fi
  printf '%s\n' "$key" >"$stamp"
}

case "${1:-}" in
  system) system ;;
  demo) packages demo deploy/requirements-cloud.txt cloud ;;
  dev) packages dev deploy/requirements-dev.txt dev,cloud,train ;;
  *) fail 'usage: setup.sh demo | dev | system' ;;
esac
