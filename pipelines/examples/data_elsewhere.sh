#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Read and augment on another machine, train on this one: what goes through ssh are the views, and nothing else changes.
#
#	data_elsewhere.sh HOST --data '/data/train-{000..331}.tar' --run runs/first [options of train.sh]
#
# The ring that train.sh -n prints, with its first two programs in the hands of ssh. HOST has them on its PATH, and the shards at
# these paths; here they are only counted. SSH is the command (ssh), such as SSH='ssh -C' for a slow line.
set -eu -o pipefail
here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
host=$1; shift
PATH=${DC_BIN:-$here/../../build:$here/../../../bin}:$PATH
script=$("$here/../train.sh" -n "$@")
out='' held=''
while IFS= read -r line; do
	case $line in
	'dc-decode '*'|' | 'dc-mix '*'|') [ -z "$held" ] || out+=$held$'\n'; held=$line ;;
	'  dc-augment '*'|')
		out+="${SSH:-ssh} $(printf '%q ' "$host" "${held%|} | ${line%|}")|"$'\n'
		held='' ;;
	*)
		[ -z "$held" ] || out+=$held$'\n'
		held='' out+=$line$'\n' ;;
	esac
done <<<"$script"
exec bash -c "$out"
