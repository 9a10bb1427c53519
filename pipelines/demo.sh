#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `make demo` runs: draw a data set, train a small DeCLIP on it through the ring, score the model, show the results.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
dir=demo data='' test='' steps=900
usage() {
	cat <<-'END'
	usage: demo.sh [options]
	Draw a data set, train a small DeCLIP on it, score the model, show the results: what `make demo` runs.
	Run again to continue, or to score again.

	      --data SHARDS    train on these shards instead ...
	      --test SHARDS    ... and score recall on these
	      --dir DIR        where everything goes [demo]
	      --steps N        steps of the training [900]
	  -h, --help           print this and exit
	      --version        print the version and exit
	END
}
die_usage() { echo "demo.sh: $*" >&2; echo "Try 'demo.sh --help'." >&2; exit 2; }
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version) exec dc-step --version ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
	--data | --test | --dir | --steps)
		[ $# -gt 1 ] || die_usage "$1 needs a value"
		printf -v "${1#--}" %s "$2"
		shift 2 ;;
	*) die_usage "unknown argument $1" ;;
	esac
done
say() { printf '\n== %s\n' "$*"; }
started=$SECONDS
mkdir -p "$dir"

if [ -z "$data" ]; then
	run=$dir/run
	if [ ! -f "$dir/scenes/.done" ]; then
		say "drawing scenes: coloured shapes with captions; some pairs of shape and colour are kept for the test"
		dc-scenes --out "$dir/scenes" --train 6000 --test 1000 --seed 1
		touch "$dir/scenes/.done"
	fi
	data="$dir/scenes/train-{000..005}.tar" test="$dir/scenes/test-000.tar"
	scenes=1
else
	run=$dir/run-own scenes=
	[ -n "$test" ] || die_usage "--data needs --test, shards that are scored"
fi

caption=()
# one caption an image for the scenes: with all five the shapes are learned more slowly than the demo has time for
if [ -z "$scenes" ] && first=$(dc-decode --count --caption json:captions,txt "$test" 2>/dev/null) && [ "$first" -gt 0 ]; then
	caption=(--caption "json:captions,txt")
fi
say "training DeCLIP for $steps steps through six tools (log: $run/log.tsv; Ctrl-C stops it, make demo continues it)"
"$here/train.sh" --data "$data" --run "$run" --arch vit-s64-p16 --batch 64 --steps "$steps" --lr 0.0004 --seed 1 \
	--augment "--blur 0.1,1" ${caption[@]+"${caption[@]}"} --quiet

say "pictures"
"$here/plot.sh" "$run" "$dir/loss.png" && echo "loss curves          $dir/loss.png"
dc-decode --steps 1 --batch 24 --shuffle 1000 ${caption[@]+"${caption[@]}"} "$data" 2>/dev/null | dc-augment --size 64 --blur 0.1,1 |
	dc-tokenize --model "$run" | dc-peek --quiet --vocab "$run/latest/bpe.txt.gz" --sheet "$dir/views.png" >/dev/null
echo "augmented views      $dir/views.png"
# shellcheck disable=SC2086
"$here/report.sh" --test "$test" ${caption[1]+--caption "${caption[1]}"} -o "$dir/report.html" "$run" 2>/dev/null && echo "all on one page      $dir/report.html"

say "image-text retrieval on $test"
"$here/score.sh" ${caption[@]+"${caption[@]}"} recall "$run" "$test"
if [ -n "$scenes" ]; then
	for what in shape colour; do
		say "zero-shot classification: which $what? (test images; then only pairs of shape and colour never seen in training)"
		for set in test novel; do
			"$here/score.sh" --prompts "$dir/scenes/$what-prompts.txt" zeroshot "$run" "$dir/scenes/${what}s.txt" "$dir/scenes/$set-$what-000.tar"
		done
	done
fi
say "done in $((SECONDS - started)) s"
