#!/bin/sh
# SPDX-License-Identifier: MIT
# What plan.sh says against what runs: time and memory of a step. And what memory costs in time: everything kept, nothing,
# blocks computed again. LONG=1: ViT-B/32, CLIP.
. "${0%/*}/lib.sh"
PATH=$top/pipelines:$PATH
LONG=${LONG:-}
arch=vit-s64-p16 method=declip batch=256
[ -z "$LONG" ] || { arch=vit-b-32 method=clip batch=128; }
case $SHARDS in *flickr8k*) caption='--caption json:captions' ;; *) caption= ;; esac

# shellcheck disable=SC2086
plan() { plan.sh -t --arch $arch --method $method --batch $batch --queue 3000 --vocab "$VOCAB" --rates "$tmp/rates" --data "$SHARDS" $caption "$@"; }
value() { awk -F '\t' -v what="$1" '$1 == what { print $2 }' "$tmp/plan"; }
of_whole() { awk -F '\t' -v what="$1" '$1 == what { print $2 }' "$tmp/profile"; }

with='' # mpirun, where there are several ranks
step() { # step NAME OPTION...: a ring of three steps beside what was said of it
	name=$1 train_options=; shift
	[ -n "$with" ] && train_options='--threads 1' || train_options=$*
	plan "$@" >"$tmp/plan" 2>"$tmp/said" || { cat "$tmp/said" >&2; fail 'no plan'; }
	rm -rf "$tmp/run"
	# shellcheck disable=SC2086
	$with train.sh -v -q --run "$tmp/run" --data "$SHARDS" $caption --vocab "$VOCAB" --arch $arch --method $method --batch $batch --queue 3000 \
		--steps 3 --save-every 0 --shuffle 64 --profile "$tmp/profile" $train_options 2>"$tmp/said" >/dev/null || { cat "$tmp/said" >&2; fail "$name"; }
	mb=$(sed -n 's/^dc-encode: .* \([0-9]*\) MB$/\1/p' "$tmp/said" | head -n 1)
	want=$(calc "($(value 'dc-encode, besides') + $(value 'parameters and gradients, shared')) / 1.048576" 0)
	row plan "$arch, $method, batch $batch, $name: a step" "$(calc "$(of_whole 'the whole step')" 3)" s plan.sh "$(value 'a step')" \
		"$(calc "$(value 'a step') / $(of_whole 'the whole step')")" '0.8 to 1.2'
	row plan "$arch, $method, batch $batch, $name: memory of dc-encode" "$mb" MB plan.sh "$want" "$(calc "$want / $mb")" '0.8 to 1.2'
	row plan "$arch, $method, batch $batch, $name: processor time of dc-encode" \
		"$(sed -n 's/^dc-encode: .* \([0-9.]*\) s CPU.*/\1/p' "$tmp/said" | head -n 1)" 's' - - - -
}
step 'everything kept' --keep-activations 100000
step 'nothing kept' --keep-activations 0
step 'blocks again' --keep-activations 100000 --recompute
if [ -z "$LONG" ]; then
	method=filip; rm -f "$tmp/rates"
	step 'everything kept' --keep-activations 100000
fi
if command -v mpirun >/dev/null; then # its rates are those of one thread
	OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
	export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe
	with='mpirun --bind-to none -n 2' method=declip; rm -f "$tmp/rates"
	step '2 ranks x 1 thread' --nodes 2 --threads 1
	sent=$(tail -n +3 "$tmp/run/ranks.tsv" | cut -f 8 | median)
	row plan "$arch, $method, batch $batch, 2 ranks: a rank sends in a step" "$(calc "$sent / 1e6")" MB plan.sh "$(calc "$(value 'bytes over the network, a process')")" \
		"$(calc "$(value 'bytes over the network, a process') * 1e6 / $sent")" '0.8 to 1.2'
fi
