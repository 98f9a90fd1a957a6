# Sourced by the other scripts: one line per step, with its duration.

# Run a command quietly; show what it printed only if it fails.
# Usage: step "what is done" COMMAND...
step() {
  local what=$1 log status=0 start=$SECONDS
  shift
  log=$(mktemp)
  printf '%s ... ' "$what" >&2
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -eq 0 ]; then
    printf '%d s\n' "$((SECONDS - start))" >&2
  else
    printf 'failed after %d s\n' "$((SECONDS - start))" >&2
    sed 's/^/  | /' "$log" | tail -n 20 >&2
  fi
  rm -f "$log"
  return "$status"
}

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

am_root() { [ "$(id -u)" -eq 0 ]; }

# Daemons live in sbin, which is not on everybody's PATH.
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  [ -n "${APT_UPDATED:-}" ] || apt-get -qq update
  APT_UPDATED=1
  apt-get -qq install -y --no-install-recommends "$@"
}

# Print the newest Python from 3.10 to 3.13 that can make virtual environments; PYTHON=... wins.
find_python() {
  local name
  for name in ${PYTHON:+"$PYTHON"} python3.13 python3.12 python3.11 python3.10 python3; do
    if "$name" - >/dev/null 2>&1 <<'PROBE'; then
import sqlite3, ssl, sys, venv
from ensurepip import bootstrap
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PROBE
      command -v "$name"
      return
    fi
  done
  return 1
}
