#!/bin/sh
# SPDX-License-Identifier: MIT
# Shards with 1 % of everything that goes wrong in the wild: each is refused with its reason, or used; the counts close, for
# any number of threads; and training goes on.
. "${0%/*}/lib.sh"
need_python
check 'shards' sh -c 'dc-scenes --out scenes --train 40 --test 1 --zero-shot 1 --shard 40 --size 20 &&
	"$1" "$2"/tests/make_corrupt.py c scenes/train-000.tar 1000' - "$PYTHON" "$top"
S='c/c-{000..003}.tar'

for j in 1 3; do
	run 0 "decoded with $j threads" sh -c 'dc-decode -j "$1" --batch 32 --shuffle 100 --rejects "rejects.$1" -v "$2" >"samples.$1"' - $j "$S"
	cp err said.$j
done
check 'the same bytes' cmp samples.1 samples.3
check 'the same rejects' cmp rejects.1 rejects.3
awk -F'\t' 'NR > 1 { sub(/:.*/, "", $4); print $1 "\t" $2 "\t" $4 }' rejects.1 | sort >got
grep -v 'ok$' c/expected.tsv | sort >want
check 'every bad sample is in the list, for its reason, and no other' diff want got
check 'of eight kinds' test "$(cut -f 3 want | sort -u | wc -l)" = 8
sed -n 's/^dc-decode: \([0-9]*\) in = \([0-9]*\) out + \([0-9]*\) rejected.*/\1 \2 \3/p' said.1 >counts
check 'in, out and rejected are as many as were made' test "$(cat counts)" = "$(wc -l <c/expected.tsv) $(grep -c 'ok$' c/expected.tsv) $(wc -l <want)"
check 'a key that comes again is another sample' "$PYTHON" -c '
import sys; sys.path.insert(0, sys.argv[1] + "/tests/reference")
import dcstream
ids, keys = [], []
for kind, step, body in dcstream.read(open("samples.1", "rb")):
    if kind == "samples": ids += list(body["id"]); keys += body["key"]
assert len(set(ids)) == len(ids) > len(set(keys)), (len(set(ids)), len(ids), len(set(keys)))' "$top"
slots=$(grep -c '\(ok\|image\)$' c/expected.tsv) && slots=$((slots - $(grep -c '\(no\|empty\)-image$' c/expected.tsv)))
check 'a pass that decodes nothing counts the same slots' test "$(dc-decode --count "$S" 2>/dev/null)" = $slots

# --- training ---
cat >arch.json <<'END'
{"embed_dim": 8, "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
 "text_cfg": {"context_length": 12, "vocab_size": 560, "width": 16, "heads": 2, "layers": 1}}
END
for how in '' --keep-encoded; do
	# shellcheck disable=SC2086
	run 0 "training goes on over it${how:+ ($how)}" "$top/pipelines/train.sh" --data "$S" --run "run$how" --arch arch.json --merges 46 --batch 64 \
		--epochs 1 --threads 1 --shuffle 100 --queue 64 --nns-after 64 --save-every 0 --rejects "train$how.tsv" -v $how
	check 'for all of an epoch' test "$(tail -n 1 "run$how/log.tsv" | cut -f 1)" -ge 17
	check 'to a loss that is a number' sh -c 'tail -n 1 "$1/log.tsv" | cut -f 2 | grep -qE "^[0-9.]+$"' - "run$how"
done
sort rejects.1 >a; sort train.tsv >b
check 'with the same rejects' cmp a b
done_testing
