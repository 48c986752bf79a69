#!/usr/bin/env bash
# Check what the machine has, then make .venv with the package in it. Usage: setup.sh [--root] [EXTRAS]
# Nothing is done when nothing has changed since the last time.
set -euo pipefail
cd "$(dirname "$0")/.."

need_root=0
if [ "${1:-}" = --root ]; then need_root=1; shift; fi
extras=${1:-}
say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || die "this is $(uname -s); containers need Linux"
command -v cargo >/dev/null || die "cargo is missing: install Rust 1.83 or newer (https://rustup.rs, or Debian's rustup)"
. scripts/toolchain.sh
cargo --version >/dev/null || die "cargo is there but does not run (see above)"
command -v cc >/dev/null || die "cc is missing: a linker is needed (Debian: apt-get install gcc)"
python=$(command -v python3) || die "python3 is missing: install Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$("$python" --version) is too old: 3.11 or newer is needed"
"$python" -c 'import venv, ensurepip' 2>/dev/null || die "python3 has no venv module (Debian: apt-get install python3-venv)"
if [ "$need_root" = 1 ]; then
  [ "$(id -u)" = 0 ] || die "root is needed to make containers: run it as root, or with sudo -E"
  for kind in ipc mnt net pid uts; do
    [ -e "/proc/self/ns/$kind" ] || die "this kernel has no $kind namespaces"
  done
  release=$(uname -r)
  [ "$(printf '%s\n5.10\n' "${release%%-*}" | sort -V | head -n 1)" = 5.10 ] || die "Linux $release is too old: 5.10 or newer is needed"
fi

if [ ! -e /bin/busybox ] && [ "$need_root" = 1 ] && command -v apt-get >/dev/null; then
  say "installing busybox-static for the root file system"
  (apt-get update -qq && apt-get install -y -qq --no-install-recommends busybox-static) >/dev/null 2>&1 ||
    say "busybox-static cannot be installed here; a closure of /bin/sh will do"
fi

stamp=.venv/.installed
wanted="${extras:-none} $(git rev-parse HEAD 2>/dev/null || true) $(
  find Cargo.toml Cargo.lock pyproject.toml rust protos scripts python -type f \
    -not -name '*.pyc' -not -name '*.so' -not -path '*/_proto/*' -print0 | sort -z | xargs -0 sha256sum | sha256sum)"
for have in "$stamp" .venv/.installed-*; do
  [ -f "$have" ] && [ "$(cat "$have")" = "$wanted" ] && exit 0
done

[ -x .venv/bin/python ] || { say "making .venv"; "$python" -m venv .venv; }
say "building and installing the package (extras: ${extras:-none}); the first time takes some minutes"
log=.venv/build.log
.venv/bin/python -m pip install --disable-pip-version-check ".${extras:+[$extras]}" >"$log" 2>&1 || {
  tail -n 40 "$log" >&2
  die "the installation failed; the whole log is in $log"
}
printf '%s' "$wanted" >".venv/.installed-${extras//,/-}"
say "done"
