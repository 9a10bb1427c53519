#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-mix: several sources in exact proportions, in dc-decode's place.
. "${0%/*}/lib.sh"
dc-scenes --out . --train 70 --test 50 --zero-shot 0 --size 32 --shard 20 >out 2>err || exit 99
mv test-000.tar b0.tar; mv test-001.tar b1.tar; mv test-002.tar b2.tar
mkdir bad && tar -xf b1.tar -C bad && first=$(cd bad && ls ./*.jpg | head -n 1) && head -c 300 "bad/$first" >short.jpg && mv short.jpg "bad/$first" &&
    : >bad/zz.txt && cp "bad/$(cd bad && ls ./*.jpg | tail -n 1)" bad/zz.jpg && tar --sort=name -cf b1.tar -C bad . || exit 99
a='train-{000..003}.tar' b='b{0..2}.tar'
numbers() { dc-peek --quiet --table t.tsv "$1" >/dev/null && cut -f "$2" t.tsv; }

run 0 '--help' dc-mix --help
run 2 'no source' dc-mix
for s in train-000.tar a:train-000.tar a=1 a=1: =1:train-000.tar a=0:train-000.tar a=-1:train-000.tar a=x:train-000.tar \
    a=0.0000001:train-000.tar a=1.1.1:train-000.tar a=99999999999999:train-000.tar a=1:-; do
	run 2 "the source $s" dc-mix "$s"
done
run 2 'a name twice' dc-mix a=1:train-000.tar a=2:train-001.tar
said 'a is given twice' 'is refused'
run 1 'a shard that is not there' dc-mix a=1:train-000.tar b=1:none.tar
run 0 '--count' dc-mix --count -v a=2:"$a" b=0.5:"$b"
said '^120$' 'the samples of all sources'
said 'a: weight 4, 96 samples = 1.371 epochs of 70' 'and each'
run 0 'a seed as large as dc-decode takes' dc-mix --count --seed 9007199254740992 a=2:"$a"

# --- one source is what dc-decode sends ---
data() { head -c "$(($(wc -c <"$1") - 400))" "$1"; } # all but the end frame, which has more in it
for o in '--epochs 2 --batch 9' '--batch 7 --shuffle 20 --steps 30' '--batch 7 --shuffle 20 --steps 30 --skip 11' \
    '--batch 7 --world 3 --rank 2 --epochs 3 --name-shards -k' '--captions all --caption json:captions,txt --batch 100'; do
	dc-decode $o train-000.tar train-001.tar >plain.dcs 2>err && dc-mix $o x=3:'train-{000,001}.tar' >one.dcs 2>>err &&
	    data plain.dcs >p && head -c "$(wc -c <p)" one.dcs | cmp - p 2>>err
	ok $? "one source is what dc-decode sends: $o"
done

# --- proportions ---
run 0 'two sources' sh -c 'dc-mix -k --batch 7 --steps 60 --shuffle 20 --rejects r.tsv --name-shards "a=2:$0" "b=0.5:$1" >mix.dcs' "$a" "$b"
check 'a whole stream' dc-peek --check mix.dcs
cut -f 1,2,4 r.tsv | sort -u >got; grep -q '^b1.tar	./zz	blank-caption' got; ok $? 'a refused sample is listed with its shard'
dc-peek --text mix.dcs >out 2>err
said 'a  samples 336  epochs 4.8' 'epochs are counted for each'
said 'b  samples 84  epochs 1.68' 'of them'
run 0 'decoding leaves a slot empty' sh -c 'dc-mix --batch 7 --steps 60 --shuffle 20 "a=2:$0" "b=0.5:$1" >decoded.dcs' "$a" "$b"
said '^dc-mix: 4[0-9]+ in = 41[0-9] out \+ [0-9]+ rejected \([0-9]+ blank-caption, [0-9]+ image\)' 'and is counted'
PYTHON=; for p in ${DC_PYTHON:-} /usr/bin/python3 python3; do "$p" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null && PYTHON=$p && break; done
if [ -n "$PYTHON" ]; then
	cat >shares.py <<'END'
import sys
from fractions import Fraction
sys.path.insert(0, sys.argv[1])
import dcstream
weights = [Fraction(w) for w in sys.argv[3].split(",")]
prefix = sys.argv[4].split(",")
order, slots = [], []
for f in dcstream.frames(open(sys.argv[2], "rb")):
    if f.kind == "samples":
        order += [next(i for i, p in enumerate(prefix) if s.startswith(p)) for s in f.body["shard"]]
        slots += list(f.body["slot"])
assert slots == list(range(len(slots))), "slots"
total, count, worst = sum(weights), [0] * len(weights), 0
for n, i in enumerate(order, 1):
    count[i] += 1
    for c, w in zip(count, weights):
        p = w / total
        assert abs(c - n * p) <= Fraction(1, 2) + p * len(weights) / 2, (n, count)
        if n % (total.numerator if total.denominator == 1 else n + 1) == 0:
            assert c == n * p, (n, count)
print(count)
END
	dc-mix -k --batch 7 --steps 60 --shuffle 20 --name-shards "a=2:$a" 'b=0.5:b{0,2}.tar' >two.dcs 2>err
	check 'of the first n samples each source has its share, for every n' "$PYTHON" shares.py "$top/tests/reference" two.dcs 4,1 train,b
	dc-mix -k --name-shards --steps 40 --batch 10 a=0.3:train-000.tar b=1.1:train-001.tar c=1:train-002.tar d=0.01:b0.tar >four.dcs 2>err
	check 'of four sources too' "$PYTHON" shares.py "$top/tests/reference" four.dcs 30,110,100,1 train-000,train-001,train-002,b
else
	skip 'no Python' 'shares'
fi
for j in 1 3; do
	run 0 "-j $j" sh -c 'dc-mix -j $2 --batch 7 --steps 60 --shuffle 20 "a=2:$0" "b=0.5:$1" >j.dcs' "$a" "$b" $j
	check 'the same bytes' cmp j.dcs decoded.dcs
done

# --- skipping, ranks, the end ---
for skip in 1 17 41 59; do
	run 0 "--skip $skip" sh -c 'dc-mix --batch 7 --steps 60 --shuffle 20 --skip $2 "a=2:$0" "b=0.5:$1" >rest.dcs' "$a" "$b" $skip
	if [ -n "$PYTHON" ]; then
		cat >tail.py <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import dcstream
a, b = [[f for f in dcstream.frames(open(p, "rb")) if f.kind == "samples"] for p in sys.argv[2:4]]
assert b and [f.raw for f in a[-len(b):]] == [f.raw for f in b] and len(a) - len(b) == int(sys.argv[4])
END
		check 'the rest, byte for byte' "$PYTHON" tail.py "$top/tests/reference" decoded.dcs rest.dcs $skip
	fi
done
for r in 0 1; do dc-mix -k --world 2 --rank $r --batch 8 --steps 20 a=2:"$a" b=1:"$b" >rank$r.dcs 2>>err; done
dc-mix -k --batch 8 --steps 20 a=2:"$a" b=1:"$b" >all.dcs 2>>err
check 'two ranks send what one would' sh -c 'for f in rank0 rank1; do dc-peek --text $f.dcs | grep -c "^frame.*samples"; done | sort -u | grep -x 20'
run 0 'an epoch' sh -c 'dc-mix -v -k "a=1:$0" "b=1:$1" >epoch.dcs' "$a" "$b"
said '= 119 out' 'is as many samples as all have'
said 'a: weight 1, 60 samples = 0.857 epochs' 'in their proportions'
unread
run 3 'the reader goes away' sh -c 'dc-mix a=1:train-000.tar b=1:b0.tar >&4'
mkdir none && echo x >none/a.txt && tar -cf none.tar -C none .
run 1 'a source without samples' sh -c 'dc-mix --steps 3 a=1:train-000.tar nothing=1:none.tar >x.dcs'
said 'no usable sample in nothing' 'is named'
run 1 'when they are counted, too' dc-mix --count a=1:train-000.tar nothing=1:none.tar
head -c 9000 train-000.tar >short.tar
run 0 'a damaged shard' sh -c 'dc-mix --steps 9 --batch 4 a=1:short.tar b=1:b0.tar >x.dcs'
said 'short.tar: damaged at byte' 'is named'
[ "$(grep -c 'damaged at' err)" = 1 ]; ok $? 'once'
run 1 '--strict' sh -c 'dc-mix --strict --steps 9 --batch 4 a=1:short.tar b=1:b0.tar >x.dcs'

# --- in the ring ---
cat >arch.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
END
train=$top/pipelines/train.sh
run 0 'train.sh --mix' "$train" -q --mix "a=2:$a" --mix "b=1:$b" --run whole --arch arch.json --merges 60 --batch 12 --steps 10 --save-every 4 --shuffle 9
cp -r whole again && rm -r again/step-00000008 again/step-00000010 && ln -sfn step-00000004 again/latest
run 0 'goes on from step 4' "$train" -q --run again
said 'continuing at batch 4 of 10' 'with the recorded sources'
check 'to the same bytes' sh -c 'for f in $(cd whole/step-00000010 && find . -type f); do cmp whole/step-00000010/$f again/step-00000010/$f || exit; done'
run 1 'another weight' "$train" -q --mix "a=3:$a" --mix "b=1:$b" --run whole
said "mix: was" 'is refused'
run 2 '--data beside --mix' "$train" -q --mix "a=2:$a" --data train-000.tar --run x
run 2 '--mix without a weight' "$train" -q --mix "$a" --run x
run 0 'an epoch is that of all sources' "$train" -n --mix "a=2:$a" --mix "b=1:$b" --run y --arch arch.json --batch 12
said '^# 120 samples an epoch, 10 batches of 12 in all' 'together'
done_testing
