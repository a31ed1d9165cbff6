#!/bin/sh
# What tests need beyond Python: a Redis server and a browser (Chromium), from the distribution's packages. Installs only
# where it may (root, with apt) and never fails: without them their tests skip, and the run's first lines say so.
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
# RUNLEVEL=1: a package is not to start a server of its own.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
# PROGRAM PACKAGE SECONDS
need() {
  command -v "$1" >/dev/null && return
  echo "installing $2 for the tests …"
  install() { timeout "$1" apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1; }
  install "$3" "$2" || { timeout 60 apt-get update -qq >/dev/null 2>&1 && install "$3" "$2"; } ||
    echo "$2 could not be installed; its tests skip"
}
need redis-server redis-server 120
need chromium chromium 300
exit 0
