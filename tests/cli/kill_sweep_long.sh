#!/bin/bash
# 100 kills: make check-long
exec "$(dirname "$0")/kill_sweep.sh" 100
