#!/bin/sh
# In CI or cron: do the servers still match the policy, and for how long?
#
#   sh examples/check.sh policy.json
#
# Exit codes: 0 all well, 1 a finding, 2 wrong usage, 3 a host could not be reached.
set -eu
policy=${1:?usage: check.sh POLICY.json}

# What is valid and unwise: no backup pin, an expiry that is near. Needs no network.
npx tls-pinning lint "$policy"

# Shakes hands with every host of the policy as a client would, and sends nothing. With `--format junit` a CI system shows each.
status=0
npx tls-pinning check "$policy" --days 14 || status=$?

case $status in
  1) echo 'A server does not match, or something expires: ask before anything is changed.' >&2 ;;
  3) echo 'A host could not be reached, which says nothing about its pins.' >&2 ;;
esac
exit "$status"
