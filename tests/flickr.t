#!/bin/sh
# SPDX-License-Identifier: MIT
# A hundred steps on real photographs: every term of the loss goes down. Half a minute on two free cores.
# NNS begins after 4 batches, not after 16 as it would by default: while it waits the total lacks its part, and the first
# ten steps would be compared with the sum of fewer terms.
. "${0%/*}/lib.sh"
[ -f "$DATA/flickr8k/train-011.tar" ] || skip_all "no flickr8k in $DATA"

run 0 'a hundred steps' "$top/pipelines/train.sh" --data "$DATA/flickr8k/train-{000..011}.tar" --run run --quiet \
	--steps 100 --batch 64 --size 64 --arch vit-s64-p16 --seed 1 --nns-after 256
[ "$(grep -c '^[0-9]' run/log.tsv)" -eq 100 ]; ok $? 'a row in the log for each'

# falls TERM: the mean of the first ten values of a column is above that of its last ten.
# Steps without a value do not count.
falls() {
	awk -F'\t' -v term="$1" '
		NR == 1 { for (i = 1; i <= NF; i++) if ($i == term) column = i; next }
		column && $column ~ /^-?[0-9]/ { v[++n] = $column }
		END {
			if (n < 20) { print term ": " n + 0 " values"; exit 1 }
			for (i = 1; i <= 10; i++) { first += v[i] / 10; last += v[n - 10 + i] / 10 }
			printf "%s: %.4f -> %.4f over %d steps\n", term, first, last, n
			exit !(last < first)
		}' run/log.tsv
}
for term in total clip mvs simsiam mlm nns; do
	falls "$term" >err 2>&1; code=$?
	sed 's/^/# /' err
	ok "$code" "$term falls"
done
done_testing
