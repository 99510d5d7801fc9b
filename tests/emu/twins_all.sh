#!/bin/sh
# All negative twins; twins.sh alone runs the quick ones.
EMU_TWINS=all exec "$(dirname "$0")/twins.sh"
