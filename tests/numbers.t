#!/bin/sh
# SPDX-License-Identifier: MIT
# Numbers that go wrong: a step with one that is not finite is refused, its batch can be made again, bit for bit; losses
# that jump and outputs that collapse are told.
. "${0%/*}/lib.sh"
need_python
# shellcheck source=ring.sh
. "$top/tests/ring.sh"
fake="timeout 120 $PYTHON $top/tests/reference/fake_encode.py"
fake_ring() { # fake_ring RUN "FAKE'S OPTIONS" DC-STEP'S OPTIONS: status of dc-step; what it said in said
	d=$1 f=$2; shift 2
	rm -rf "$d"; cp -r first "$d"; mkfifo "$d/loop"; got=0
	# shellcheck disable=SC2086
	$fake --run "$d" $f 2>err.fake | timeout 120 dc-step --run "$d" --loop "$d/loop" --lr 1e-2 --warmup 2 --steps 30 "$@" >rows 2>err || got=$?
	cat err.fake >>err; cp err said
	return $got
}
told() { grep -qE -- "$1" said; ok $? "$2"; } # told PATTERN DESCRIPTION

# what is refused
for what in 'nan:the gradient of text_projection is not finite' 'inf:the gradient of text_projection is not finite' \
    'huge:the gradient is too large: its norm is 1e.30' 'nan-stat:simsiam.*running_mean is not finite' 'nan-loss:the loss is not finite: mlm is nan'; do
	fake_ring x "--until 6 --${what%%:*} 4" --save-every 2; [ $? -eq 1 ]; ok $? "${what%%:*}: the run stops"
	told "^dc-step: step 5: ${what#*:}" 'and says what'
	told "dc-decode --skip 4 --steps 5 .* train.sh --run x --replay bad-00000005" 'and how the batch is made again'
	check 'the state before it is kept' diff -r x/bad-00000005 x/step-00000004
	fake_ring y "--until 6 --${what%%:*} 4" --nan skip; ok $? '--nan skip passes over it'
	told 'step 5: .*: batch skipped' 'with a warning'
	check 'five updates, six batches' test "$(dc-step --run y --print step) $(dc-step --run y --print position)" = '5 6'
	check 'and nothing in the checkpoint is not finite' dc-step --verify y
done

# what is told
fake_ring s '--until 28 --spike 25' --save-every 0; ok $? 'a total that jumps'
[ "$(grep -c 'the total rises' said)" = 1 ]; ok $? 'is told, once'
told '^dc-step: step 26: the total rises to 1000; before it was 13.25, with a standard deviation of 7.2$' 'with what it was before'
fake_ring s '--until 28 --spike 25' --save-every 0 --spike 0; ok $? 'with --spike 0'
[ ! -s said ]; ok $? 'it is not'
fake_ring s '--until 28 --std 0.001' --save-every 0; ok $? 'outputs of SimSiam that collapse'
told '^dc-step: step 1: SimSiam collapses: its normalised outputs have a standard deviation of 0.001, 1/sqrt\(32\) = 0.177 is ideal$' 'are told'
[ "$(wc -l <said)" = 1 ]; ok $? 'once'
tail -n 1 s/log.tsv | cut -f 14 >have
check 'and logged' grep -qx 0.001 have
fake_ring s '--until 28 --std 0.17' --save-every 0; [ ! -s said ]; ok $? 'those that do not are not told'
cut -f 1-13 s/log.tsv >older && head -n 11 older >s/log.tsv; rm -r s/step-00000028; ln -sfn step-00000000 s/latest
# shellcheck disable=SC2086
$fake --run s --until 3 2>err.fake | timeout 120 dc-step --run s --loop s/loop --lr 1e-2 --warmup 2 --steps 30 >rows 2>err; ok $? 'a log that was begun with fewer columns goes on with these'
check 'in every row' awk -F '\t' 'NF != 13 { exit 1 }' s/log.tsv

# a real ring, in which a filter puts a NaN into one batch's features
cat >poison.py <<END
import sys
sys.path.insert(0, "$top/tests/reference")
import dcstream
for f in dcstream.frames(sys.stdin.buffer):
    if f.kind == "features" and f.body["position"] == int(sys.argv[1]):
        body = dict(f.body)
        x = body["image_features.0"].copy()
        x[1, 2] = float("nan")
        body["image_features.0"] = x
        dcstream.write(sys.stdout.buffer, f.kind, f.step, body)
    else:
        sys.stdout.buffer.write(f.raw)
        sys.stdout.buffer.flush()
END
cat >same.py <<END
import sys
sys.path.insert(0, "$top/tests/reference")
import dcstream, numpy as np
def plain(v):
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items() if k != "wait_s"}
    return (v.dtype.str, v.shape, v.tobytes()) if isinstance(v, np.ndarray) else repr(v)
def frames(path, step):
    return [(k, plain(b)) for k, s, b in dcstream.read(open(path, "rb")) if s == step and k in ("features", "dfeatures", "gradients")]
a, b = frames(sys.argv[1], int(sys.argv[3])), frames(sys.argv[2], int(sys.argv[3]))
kinds = [k for k, _ in a]
print(kinds)
assert a and a == b, [k for k, _ in b]
END
begin bad skipped
# shellcheck disable=SC2086
run 0 '-n' "$train" --run bad --data "$shards" $options --steps 12 --by-value -n
cp out plain.sh
insert() { # insert SCRIPT: the filter after dc-encode, and copies of what flows
	sed "s#^  dc-loss .*#  $PYTHON poison.py 7 |\n  tee ${2-first}.features |\n&\n  tee ${2-first}.losses |#" "$1" | sed '/^#/d'
}
insert plain.sh >poisoned.sh
timeout -s KILL 300 sh poisoned.sh >out 2>err; cp err said
told 'dc-step: step 7: the loss is not finite: ' 'a NaN in the features of a batch stops the ring'
check 'the state before it is kept' test -f bad/bad-00000007/state.safetensors
"$train" --run bad --data "$shards" $options --steps 12 --by-value --replay bad-00000007 -n >replay.sh 2>err; ok $? 'train.sh --replay -n'
check 'prints the commands, dc-decode --skip 6 among them' grep -q 'dc-decode .*--skip 6 .*--steps 7' replay.sh
sed "s#^  tee bad/replay/features.dcs#  $PYTHON poison.py 7 |\n&#" replay.sh >replayed.sh
timeout -s KILL 300 sh replayed.sh >out 2>err; cp err said
told 'dc-step: step 7: the loss is not finite: ' 'the same filter in it: the same is refused again'
check 'the features are the same, bit for bit' "$PYTHON" same.py first.features bad/replay/features.dcs 6
check 'so are the losses and all gradients' "$PYTHON" same.py first.losses bad/replay/losses.dcs 6
said "'dfeatures', 'gradients'" 'which were compared'
check 'and the state before it' diff -r bad/bad-00000007 bad/replay/bad-00000007
# shellcheck disable=SC2086
run 0 'train.sh --replay runs them' "$train" --run bad --data "$shards" $options --steps 12 --by-value --replay bad-00000007
said '^bad/replay/features.dcs bad/replay/losses.dcs$' 'and says where the frames are'
run 1 'another name' "$train" --run bad --data "$shards" --replay bad-00000099
# shellcheck disable=SC2086
"$train" --run skipped --data "$shards" $options --steps 12 --by-value --nan skip -n >plain.sh 2>err
insert plain.sh second >skipping.sh
timeout -s KILL 300 sh skipping.sh >out 2>err; cp err said
told 'dc-step: step 7: .*: batch skipped' 'with --nan skip it is passed over'
check 'eleven updates, twelve batches' test "$(dc-step --run skipped --print step) $(dc-step --run skipped --print position)" = '11 12'
check 'no NaN stays, in the queue neither' dc-step --verify skipped
done_testing
