#!/bin/sh
# What tests need beyond Python: a Redis server, a browser (Chromium) and the filter lists of an ad blocker, from the
# distribution's packages. Installs only where it may (root, with apt) and never fails: without them their tests skip, and
# the run's first lines say so.
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
# RUNLEVEL=1: a package is not to start a server of its own.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
# PROGRAM-OR-FILE PACKAGE SECONDS
need() {
  { command -v "$1" >/dev/null || [ -e "$1" ]; } && return
  echo "installing $2 for the tests …"
  install() { timeout "$1" apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1; }
  install "$3" "$2" || { timeout 60 apt-get update -qq >/dev/null 2>&1 && install "$3" "$2"; } ||
    echo "$2 could not be installed; its tests skip"
}
need redis-server redis-server 120
need chromium chromium 300
# Firefox's build of the blocker: Chromium's would be loaded by the Chromium of the tests.
need '/usr/share/mozilla/extensions/{ec8030f7-c20a-464f-9b0e-13a3a9e97384}/uBlock0@raymondhill.net' \
  webext-ublock-origin-firefox 120
exit 0
