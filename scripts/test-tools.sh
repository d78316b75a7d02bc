# Sourced by test: installs the programs that fault tests break things with, where apt and root are there. Without them those tests are skipped, with the reason.
need_tools() { # need_tools PACKAGE:FILE ...
  local missing=() pair
  for pair in "$@"; do
    [ -e "${pair#*:}" ] || missing+=("${pair%%:*}")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed, and not to be installed here: ${missing[*]}. Some tests will be skipped."
    return 0
  fi
  echo "== installing ${missing[*]}"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 ||
    echo "Could not install ${missing[*]}. Some tests will be skipped."
}

need_tools chromium:/usr/bin/chromium iproute2:/usr/sbin/ip strace:/usr/bin/strace nbdkit:/usr/bin/nbdkit libnbd-bin:/usr/bin/nbdfuse fuse3:/usr/bin/fusermount3 e2fsprogs:/usr/sbin/mkfs.ext4 \
  libeatmydata1:/usr/lib/x86_64-linux-gnu/libeatmydata.so faketime:/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1
