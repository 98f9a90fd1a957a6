#!/bin/sh
# Certificates for a fleet's broker, workers and devices, by openssl.
#
#   make-certs.sh init DIR HOST...       once, at a safe place: authorities, broker, first worker
#   make-certs.sh request DEVICE DIR     on the device: its private key, which stays there,
#                                        and a request (DEVICE.csr), which travels
#   make-certs.sh sign DIR FILE.csr      at the safe place: FILE.crt, to carry back with DIR/ca.crt
#
# HOST is a name or an IPv4 address under which clients reach the broker.
set -eu
umask 077
AUTHORITY_DAYS=7300 BROKER_DAYS=825 CLIENT_DAYS=3650
WORKER=secondlook-cloud

die() {
  printf 'make-certs: %s\n' "$*" >&2
  exit 1
}

new_key() {
  [ ! -e "$1" ] || die "$1 exists; keys are never overwritten"
  openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null ||
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

# authority NAME COMMON-NAME
authority() {
  new_key "$1.key"
  openssl req -new -x509 -sha256 -days "$AUTHORITY_DAYS" -key "$1.key" -subj "/CN=$2" \
    -addext 'basicConstraints=critical,CA:true,pathlen:0' \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' -out "$1.crt"
}

# certify AUTHORITY REQUEST OUT DAYS USAGE [SUBJECT-ALTERNATIVE-NAME]
# Of the request only name and public key are taken over; its extensions are not.
certify() {
  extensions=$(mktemp)
  {
    echo 'basicConstraints=critical,CA:false'
    echo 'keyUsage=critical,digitalSignature'
    echo "extendedKeyUsage=$5"
    echo 'subjectKeyIdentifier=hash'
    echo 'authorityKeyIdentifier=keyid'
    [ -z "${6:-}" ] || echo "subjectAltName=$6"
  } >"$extensions"
  serial=$(openssl rand -hex 16)
  openssl x509 -req -sha256 -days "$4" -in "$2" -CA "$1.crt" -CAkey "$1.key" \
    -set_serial "0x0$serial" -extfile "$extensions" -out "$3" 2>/dev/null ||
    die "$2 could not be signed"
  rm -f "$extensions"
}

# issue DIR/NAME AUTHORITY COMMON-NAME DAYS USAGE [SUBJECT-ALTERNATIVE-NAME]
issue() {
  new_key "$1.key"
  openssl req -new -sha256 -key "$1.key" -subj "/CN=$3" -out "$1.csr"
  certify "$2" "$1.csr" "$1.crt" "$4" "$5" "${6:-}"
  rm -f "$1.csr"
}

check_device() {
  printf '%s\n' "$1" | grep -Eqx '[a-z0-9][a-z0-9-]{0,62}' ||
    die "device id '$1': use a-z, 0-9 and '-', at most 63"
  [ "$1" != "$WORKER" ] || die "'$WORKER' is the worker's name, not a device's"
}

init() {
  [ "$#" -ge 2 ] || die 'usage: make-certs.sh init DIR HOST...'
  dir=$1
  shift
  names=
  for host in "$@"; do
    kind=DNS
    ! printf '%s\n' "$host" | grep -Eqx '[0-9.]+' || kind=IP
    names="${names:+$names,}$kind:$host"
  done
  mkdir -p "$dir"
  authority "$dir/ca" 'secondlook devices and broker'
  authority "$dir/workers-ca" 'secondlook workers'
  issue "$dir/broker" "$dir/ca" "$1" "$BROKER_DAYS" serverAuth "$names"
  issue "$dir/worker" "$dir/workers-ca" "$WORKER" "$CLIENT_DAYS" clientAuth
  chmod 644 "$dir"/*.crt
  printf 'to the broker:  ca.crt workers-ca.crt broker.crt broker.key\n'
  printf 'to the worker:  ca.crt worker.crt worker.key\n'
  printf 'kept here, safe: ca.key workers-ca.key\n'
}

request() {
  [ "$#" -eq 2 ] || die 'usage: make-certs.sh request DEVICE DIR'
  check_device "$1"
  mkdir -p "$2"
  new_key "$2/device.key"
  openssl req -new -sha256 -key "$2/device.key" -subj "/CN=$1" -out "$2/$1.csr"
  chmod 644 "$2/$1.csr"
  printf 'carry %s to where the authority is: make-certs.sh sign DIR %s.csr\n' "$2/$1.csr" "$1"
}

sign() {
  [ "$#" -eq 2 ] || die 'usage: make-certs.sh sign DIR FILE.csr'
  openssl req -in "$2" -noout -verify >/dev/null 2>&1 || die "$2: not a certificate request"
  name=$(openssl req -in "$2" -noout -subject -nameopt RFC2253 | sed 's/^subject= *//')
  case $name in
    CN=*) ;;
    *) die "$2: names '$name' instead of a device" ;;
  esac
  check_device "${name#CN=}"
  out=${2%.csr}.crt
  [ ! -e "$out" ] || die "$out exists; move it away first"
  certify "$1/ca" "$2" "$out" "$CLIENT_DAYS" clientAuth
  chmod 644 "$out"
  printf 'carry %s and %s to the device\n' "$out" "$1/ca.crt"
}

case "${1:-}" in
  init | request | sign) "$@" ;;
  *) die 'usage: make-certs.sh init DIR HOST... | request DEVICE DIR | sign DIR FILE.csr' ;;
esac
