#!/bin/sh
# Install or upgrade the agent on a device with systemd: Raspberry Pi OS, Debian, Ubuntu, JetPack 6.
#
#   sudo sh deploy/install-agent.sh [--dry-run] [--device ID] [--board NAME]
#
#   --dry-run      say what would be done, and do nothing
#   --device ID    device id for a new config file (default: the host's name)
#   --board NAME   raspberry-pi, jetson or none (default: looked up)
#
# Safe to run again: what is there and right is left alone, config and keys always are. Packages
# are installed by hash from requirements-device.txt; pip's own settings choose the index.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
repo=$(dirname "$here")
home=/opt/secondlook etc=/etc/secondlook units=/etc/systemd/system service=secondlook-agent.service
dry='' device='' board=''

die() {
  printf 'install-agent: %s\n' "$*" >&2
  exit 1
}

while [ "$#" -gt 0 ]; do
  case $1 in
    --dry-run) dry=yes ;;
    --device) device=${2:?--device needs an id} && shift ;;
    --board) board=${2:?--board needs a name} && shift ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0" && exit 0 ;;
    *) die "unknown option $1; see --help" ;;
  esac
  shift
done

run() {
  printf '+ %s\n' "$*"
  [ -n "$dry" ] || "$@"
}

detect_board() {
  [ -r /proc/device-tree/model ] || { echo none && return; }
  model=$(tr -d '\000' </proc/device-tree/model)
  case $model in
    *'Raspberry Pi'*) echo raspberry-pi ;;
    *Jetson* | *NVIDIA*) echo jetson ;;
    *) echo none ;;
  esac
}

# Print the newest Python from 3.10 to 3.13 that can make virtual environments; not one in a home
# folder, which the service may not enter.
find_python() {
  for name in python3.13 python3.12 python3.11 python3.10 python3 /usr/bin/python3; do
    if "$name" -c 'import sys, venv
from ensurepip import bootstrap
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13)
         or sys.base_prefix.startswith(("/root", "/home")))' >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  return 1
}

[ -n "$device" ] || device=$(uname -n | tr 'A-Z_.' 'a-z--')
printf '%s\n' "$device" | grep -Eqx '[a-z0-9][a-z0-9-]{0,62}' ||
  die "device id '$device': use a-z, 0-9 and '-', at most 63; give --device ID"
[ -n "$board" ] || board=$(detect_board)
[ "$board" = none ] || [ -e "$repo/systemd/$service.d/$board.conf" ] ||
  die "board '$board': use raspberry-pi, jetson or none"
[ -n "$dry" ] || [ "$(id -u)" -eq 0 ] || die 'run it as root (or with --dry-run)'
python=$(find_python) || die 'no Python 3.10 to 3.13 with venv: apt-get install python3 python3-venv'
printf 'device %s, board %s, %s\n' "$device" "$board" "$python"

# User and folders. Keys are root's alone: the unit hands copies to the service.
if ! getent passwd secondlook >/dev/null; then
  run useradd --system --user-group --home-dir /nonexistent --no-create-home \
    --shell /usr/sbin/nologin secondlook
fi
run install -d -m 0755 "$home" "$etc"
run install -d -m 0700 "$etc/keys"

# Packages.
if [ ! -x "$home/venv/bin/python" ]; then
  run "$python" -m venv "$home/venv"
fi
pip_install() {
  run "$home/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$@"
}
pip_install --require-hashes -r "$here/requirements-build.txt" -r "$here/requirements-device.txt"
# Built from a copy: a build leaves files beside the sources, and later builds would pick them up.
source=$repo
if [ -z "$dry" ]; then
  source=$(mktemp -d)
  trap 'rm -rf "$source"' EXIT
  for name in pyproject.toml README.md LICENSE agent cloud; do cp -R "$repo/$name" "$source"; done
fi
pip_install --no-build-isolation --force-reinstall "$source"
run ln -sf "$home/venv/bin/secondlook" /usr/local/bin/secondlook

# Config, once. The camera's address may hold a password: not for everybody's eyes.
if [ ! -e "$etc/device.toml" ]; then
  run install -m 0640 -g secondlook "$here/device.example.toml" "$etc/device.toml"
  run sed -i "s/^device = .*/device = \"$device\"/" "$etc/device.toml"
fi

# Service.
run install -m 0644 "$repo/systemd/$service" "$units/$service"
for drop_in in raspberry-pi jetson; do
  [ "$drop_in" = "$board" ] || run rm -f "$units/$service.d/$drop_in.conf"
done
if [ "$board" != none ]; then
  run install -d -m 0755 "$units/$service.d"
  run install -m 0644 "$repo/systemd/$service.d/$board.conf" "$units/$service.d/$board.conf"
fi
if [ -d /run/systemd/system ]; then
  run systemctl daemon-reload
  run systemctl enable "$service"
  run systemctl try-restart "$service"
fi

cat <<END
next:
  1. $etc/device.toml: camera and broker
  2. a certificate, where the broker wants one: deploy/make-certs.sh request $device .
     device.key to $etc/keys (root's alone), device.crt and ca.crt to $etc
  3. sudo secondlook doctor --config $etc/device.toml
  4. sudo systemctl start $service
END
