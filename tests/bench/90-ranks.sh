#!/bin/sh
# SPDX-License-Identifier: MIT
# Two ranks of one thread against one process of two threads, in turns; what dc-mpi takes of a step, and the bytes that it moves.
. "${0%/*}/lib.sh"
STEPS=${STEPS:-24}
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM OMPI_MCA_rmaps_base_oversubscribe
command -v mpirun >/dev/null || { note 'no mpirun: no rows of ranks'; exit 0; }

train() { # train WHAT THREADS [COMMAND...]: into $tmp/$1, with a profile
	what=$1 threads=$2; shift 2
	rm -rf "${tmp:?}/$what"
	"$@" bash "$top/pipelines/train.sh" --quiet -v --data "$SHARDS" --vocab "$VOCAB" --run "$tmp/$what" --steps "$STEPS" --arch vit-s64-p16 \
	    --batch "$batch" --nns-after 64 --warmup 1 --save-every 0 --seed 3 --threads "$threads" --profile "$tmp/$what.profile" 2>"$tmp/err" >/dev/null ||
	    { cat "$tmp/err" >&2; fail "$what: the ring failed"; }
	awk -F '\t' '$1 == "the whole step" { print $2 }' "$tmp/$what.profile" >>"$tmp/$what.s"
}
column() { # column N: the median of a column of the last run's table, but for the first step
	tail -n +3 "$tmp/two/ranks.tsv" | cut -f "$1" | median
}
for batch in 64 256; do
	rm -f "$tmp"/*.s
	for _ in $(seq "$ROUNDS"); do
		train one 2
		train two 1 mpirun --bind-to none -n 2
	done
	one=$(median <"$tmp/one.s") two=$(median <"$tmp/two.s")
	row ranks "small DeCLIP, batch $batch: 2 ranks x 1 thread" "$(calc "1000 * $two / $batch" 3)" 'ms a pair' '1 process x 2 threads' \
	    "$(calc "1000 * $one / $batch" 3)" "$(calc "$one / $two")" -
	row ranks "batch $batch: exchange of features and gradients" "$(calc "1000 * ($(column 6) + $(column 7))" 1)" 'ms a step' 'the step' \
	    "$(calc "1000 * $two" 1)" - -
	row ranks "batch $batch: processor time of dc-mpi" "$(calc "1000 / $STEPS * $(sed -n 's/^dc-mpi: rank 0 .* \([0-9.]*\) s CPU$/\1/p' "$tmp/err")" 1)" \
	    'ms a step' 'of dc-encode' "$(calc "1000 / $STEPS * $(sed -n 's/^dc-encode: .*real, \([0-9.]*\) s CPU.*/\1/p' "$tmp/err" | median)" 1)" - -
	row ranks "batch $batch: a rank sends" "$(calc "$(column 8) / 1e6" 2)" 'MB a step' "the gradients" \
	    "$(calc "$(stat -c %s "$tmp/two/latest/open_clip_model.safetensors" "$tmp/two/latest/heads/declip.safetensors" | awk '{ s += $1 } END { print s }') / 1e6" 2)" - -
done
