#!/bin/sh
# The hundred kills of check-long.
exec "$(dirname "$0")/kill_train.sh" 100 "${SEED:-7}"
