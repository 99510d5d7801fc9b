#!/bin/sh
# watched.sh SOURCE: the same kernels with static __shared__ variables behind a reference: the compiler makes no calls for a static
# variable whose address nobody takes, and races.cpp would not see it.
set -eu
echo "#line 1 \"$1\""
perl -0777 -pe 's/__shared__\s+([^;=\/]*?)\b(\w+)((?:\s*\[[^\]]*\])*)\s*;/static $1$2_emu_$3; auto &$2 = *emu::unseen(&$2_emu_);/g' "$1"
