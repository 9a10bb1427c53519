#!/bin/sh
# SPDX-License-Identifier: MIT
# What a step of the small model costs, one thing changed at a time: batch, image size, caption length, queue, threads.
. "${0%/*}/lib.sh"
STEPS=${STEPS:-12}

step() { # step WHAT BATCH OPTION...: ms for a pair
	what=$1 batch=$2; shift 2
	rm -rf "$tmp/run"
	bash "$top/pipelines/train.sh" --quiet --data "$SHARDS" --vocab "$VOCAB" --run "$tmp/run" --steps "$STEPS" --batch "$batch" \
	    --nns-after 64 --warmup 1 --save-every 0 --seed 3 --profile "$tmp/profile" "$@" 2>"$tmp/err" >/dev/null ||
	    { cat "$tmp/err" >&2; fail "$what: the ring failed"; }
	s=$(awk -F '\t' '$1 == "the whole step" { print $2 }' "$tmp/profile")
	row scaling "small model, $what" "$(calc "1000 * $s / $batch" 3)" 'ms a pair' - - - -
}
arch() { # arch IMAGE_SIZE CONTEXT: the small architecture, changed
	sed -E "s/(\"image_size\": *)[0-9]+/\\1$1/; s/(\"context_length\": *)[0-9]+/\\1$2/" "$top/pipelines/arch/vit-s64-p16.json" >"$tmp/arch.json"
}
for b in 16 64 256; do step "batch $b" $b --arch vit-s64-p16; done
for i in 32 128; do arch $i 77; step "$i px, batch 64" 64 --arch "$tmp/arch.json"; done
arch 64 16; step 'captions cut to 16 ids, batch 64' 64 --arch "$tmp/arch.json"
for q in 256 16384; do step "queue of $q, batch 64" 64 --arch vit-s64-p16 --queue $q; done
step 'one thread, batch 64' 64 --arch vit-s64-p16 --threads 1
