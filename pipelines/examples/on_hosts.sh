#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Train on several machines that are reached by ssh, one rank on each:
#
#	on_hosts.sh alpha,beta,gamma --data '/shared/train-{000..331}.tar' --run /shared/runs/big [options of train.sh]
#
# They need these programs and the files at the same paths, and keys, so that ssh asks nothing. The first one is this machine.
# Run it again to continue; `kill -USR1` to mpirun stops with a checkpoint.
set -eu
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
hosts=$1; shift
DC_BIN=${DC_BIN:-$(dirname "$(command -v dc-step || echo "$here/../../build/dc-step")")}
# all processors of a machine are its rank's
exec env DC_BIN="$DC_BIN" mpirun --host "${hosts//,/:1,}:1" --bind-to none -x DC_BIN "$here/../train.sh" "$@"
