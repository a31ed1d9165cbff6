#!/bin/sh
# What tests need beyond Python: a Redis server, from the distribution's package. Installs only where it may (root, with
# apt) and never fails: without it those tests skip, and the run's first lines say so.
command -v redis-server >/dev/null && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0
echo "installing redis-server for the tests …"
# RUNLEVEL=1: the package is not to start a server of its own.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
install() { timeout 120 apt-get install -y -qq --no-install-recommends redis-server >/dev/null 2>&1; }
install || { timeout 60 apt-get update -qq >/dev/null 2>&1 && install; } || echo "redis-server could not be installed; its tests skip"
exit 0
