#!/usr/bin/env bash
# Debian's runc, crun, bubblewrap and busybox-static, those of them that are missing. Without apt-get, or where
# it fails, the benches do without: a peer that is not there is left out and said.
set -euo pipefail

say() { printf 'bench: %s\n' "$*" >&2; }

missing=()
for pair in runc:runc crun:crun bwrap:bubblewrap; do
  command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
[ -e /bin/busybox ] || missing+=(busybox-static)
[ ${#missing[@]} = 0 ] && exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
  say "not here, and left out: ${missing[*]}"
  exit 0
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "reading the package lists"
apt-get update -qq >"$log" 2>&1 || say "apt-get update failed; going on with the lists that are there"
for index in "${!missing[@]}"; do
  package=${missing[$index]}
  say "installing $package ($((index + 1)) of ${#missing[@]})"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >"$log" 2>&1 || {
    say "$package cannot be installed here, and is left out: $(tail -n 1 "$log")"
  }
done
