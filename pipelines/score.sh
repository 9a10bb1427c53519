#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Simple scores of a model: image-text recall, and zero-shot classification by prompts.
#
#	score.sh recall MODEL SHARDS...                      every caption of every image counts
#	score.sh zeroshot MODEL PROMPTS NAMES SHARDS...      PROMPTS: several lines a class, in order; labels from .cls
#	score.sh --caption WHERE ...                         where captions are, as for train.sh [txt]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
usage() { sed -n '5,7s/^#\t//p' "${BASH_SOURCE[0]}"; }
case ${1-} in -h | --help) usage; exit 0 ;; esac
source=()
if [ "${1-}" = --caption ] && [ $# -ge 2 ]; then
	source=(--caption "$2")
	shift 2
fi
[ $# -ge 3 ] || { usage >&2; exit 2; }
what=$1 model=$2
shift 2
config=$model/latest/open_clip_config.json
[ -f "$config" ] || config=$model/open_clip_config.json
[ -f "$config" ] || { echo "score.sh: $model: no open_clip_config.json in it" >&2; exit 1; }
size=$(tr -d ' \n' <"$config" | sed -n 's/.*"image_size":\([0-9]*\).*/\1/p')

features() { # features CAPTIONS SHARDS...: the evaluation view of every image, and its captions
	local captions=$1
	shift
	dc-decode --captions "$captions" --tail short ${source[@]+"${source[@]}"} "$@" | dc-augment --recipe eval --size "$size" |
		dc-tokenize --model "$model" --mlm 0 | dc-encode --model "$model"
}

case $what in
recall) features all "$@" | dc-recall ;;
zeroshot)
	[ $# -ge 3 ] || { usage >&2; exit 2; }
	tmp=$(mktemp)
	trap 'rm -f "$tmp"' EXIT
	dc-tokenize --model "$model" --lines "$1" | dc-encode --model "$model" >"$tmp"
	features first "${@:3}" | dc-zeroshot --classes "$tmp" --names "$2" ;;
*) usage >&2; exit 2 ;;
esac
