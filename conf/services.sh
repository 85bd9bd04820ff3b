#!/bin/sh
# The sample configuration on standard input, with the services of `make install WRAP_SERVICES= ENV_SERVICES=` declared.
set -eu
cat
[ -n "$1$2" ] || exit 0
printf '\n[MountNamespace]\n'
[ -z "$1" ] || printf 'Wrap=%s\n' "$1"
[ -z "$2" ] || printf 'Env=%s\n' "$2"
