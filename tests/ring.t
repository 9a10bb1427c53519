#!/bin/sh
# SPDX-License-Identifier: MIT
# train.sh and its ring of six tools: killed as a whole and run again it ends in the same bytes; what it refuses and says.
. "${0%/*}/lib.sh"
# shellcheck source=ring.sh
. "$top/tests/ring.sh"

ring() { # ring STATUS DESCRIPTION RUN OPTION...
	code=$1 desc=$2 d=$3; shift 3
	# shellcheck disable=SC2086
	run "$code" "$desc" timeout -s KILL 300 "$train" --run "$d" --data "$shards" $options "$@"
}

# killed as a whole, and run again
begin whole killed
ring 0 'twenty steps in one go' whole --steps 20 --save-every 5 --rejects whole.tsv
check 'three epochs with rejects: a JPEG cut short, a blank caption, none' sh -c '
	test "$(grep -c cut whole.tsv)" -ge 1 -a "$(grep -c blank whole.tsv)" -ge 1 -a "$(grep -c bare whole.tsv)" -ge 1'
check 'and a queue that was full and wrapped' test "$(awk '$6 == "nan"' whole/log.tsv | wc -l)" -le 3
check 'and pairs a second in six digits, for slow steps too' awk -F'\t' '
	NR == 1 { for (i = 1; i <= NF; i++) if ($i == "pairs_per_s") c = i } $c ~ /[.][0-9][0-9]/ { found = 1 } END { exit !found }' whole/log.tsv
hold killed 7
start killed --steps 20 --save-every 5
until_true reached killed 7
kill_all
[ "$(tail -n 1 killed/log.tsv | cut -f 1) $(dc-step --run killed --print step)" = '7 5' ]
ok $? 'every process killed after step 7, with the checkpoint of step 5'
ring 0 'run again to step 20' killed --steps 20 --save-every 5
said 'continuing at batch 5 of 20' 'it says where it goes on'
same whole killed step-00000020 'every byte of the last checkpoint and the log is as in one go'
[ ! -e killed/shm ] && [ -z "$(ls "$DC_SHM_DIR")" ] && [ ! -e killed/loop ]; ok $? 'nothing is left in shared memory'
ring 0 'a finished run' killed --steps 20 --save-every 5
said 'killed is finished: 20 of 20 batches' 'says so'
run 0 'the same again by --run alone' "$train" --run killed

begin profile
ring 0 'with --profile' profile --steps 20 --save-every 5 --profile steps.tsv
same whole profile step-00000020 'the bytes are the same'
check 'and the rows of the profile make the whole step' awk -F'\t' '
	$1 == "the whole step" { whole = $2; share = $3 } /^GFLOP/ { work = $2; next } NR > 1 && $1 != "the whole step" { sum += $2; if ($2 < 0) bad = 1 }
	END { exit bad || whole <= 0 || share != 1 || work <= 0 || sum < whole - 2e-5 || sum > whole + 2e-5 }' steps.tsv

# two rings on one run
begin two
rm -rf "${TMPDIR:?}"/* # what the processes that were killed have left
hold two 7
start two --steps 20 --save-every 5
until_true reached two 7
ring 1 'a second ring on a run' two --steps 20 --save-every 5
said 'another ring is running on two' 'is refused'
kill -s KILL "$ring"
until_true tools_dead; ok $? 'where train.sh alone is killed its tools end'
HOLD=
cp err said
until_true none_left; ok $? 'and no process is left'
check 'dc-step says why' grep -q '^dc-step: whoever started this ring is gone' said
check 'it has written a checkpoint of the last step' test "$(tail -n 1 two/log.tsv | cut -f 1) $(dc-step --run two --print step)" = '7 7'
[ -z "$(ls "$DC_SHM_DIR")" ] && [ ! -L two/shm ] && [ ! -e two/loop ] && [ -z "$(ls "$TMPDIR")" ]; ok $? 'and nothing is left lying about'
ring 0 'the run goes on' two --steps 20 --save-every 5
same whole two step-00000020 'to the same bytes'

# the same steps in other ways
begin value 'a peek'
ring 0 'parameters and gradients by value' value --steps 20 --save-every 0 --by-value
same whole value step-00000020 'give the same bytes'
ring 0 '-n on a run' 'a peek' --steps 20 --save-every 0 --threads 2 -n
sed -n '1,/^  dc-step/p' out | sed 's/^  dc-encode/  dc-peek --quiet --sheet sheet.png|\n&/; s/^  dc-step/  dc-peek --quiet |\n&/' >edited.sh
check 'makes nothing' diff -r first 'a peek'
check 'the ring it prints, with dc-peek put in before dc-encode and dc-step' timeout -s KILL 300 sh edited.sh
same whole 'a peek' step-00000020 'gives the same bytes'
run 1 'once more' timeout -s KILL 300 sh edited.sh
said 'a batch that ends at position 1, and the run is at 20' 'its batches were in the run already'
check 'which is as it was' test "$(readlink 'a peek/latest')" = step-00000020 -a ! -e 'a peek/loop'
begin threads
ring 0 '-n with two threads' threads --steps 20 --save-every 0 --threads 2 -n
sed -n '1,/^  dc-step/p' out | sed 's/--threads 2/--threads 1/' >threads.sh
check 'is there to be edited' grep -q 'threads 1' threads.sh
timeout -s KILL 300 sh threads.sh >out 2>err
grep -q 'dc-encode computes with 1 threads, the run is recorded with 2' err; ok $? 'a dc-encode with other threads than are recorded is refused'
check 'and a sheet of the views' sh -c 'head -c 8 sheet.png | od -An -c | grep -q "P   N   G"'

for PYTHON in ${DC_PYTHON:-} /usr/bin/python3 python3 ''; do
	[ -z "$PYTHON" ] || "$PYTHON" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null && break
done
if [ -n "$PYTHON" ]; then
	rm -rf 'a peek'; begin 'a peek'
	sed "s#^  dc-peek --quiet |#  $PYTHON '$top/pipelines/examples/scale_gradient.py' 1 |#" edited.sh >filtered.sh
	check 'the ring with a Python filter in it' grep -q scale_gradient filtered.sh
	check 'runs' timeout -s KILL 300 sh filtered.sh
	same whole 'a peek' step-00000020 'that scales by 1 changes no byte'
	cat >notes.py <<-END
		import sys
		sys.path.insert(0, "$top/tests/reference")
		import dcstream
		out = sys.stdout.buffer
		for frame in dcstream.frames(sys.stdin.buffer):
		    for i in range(4 if frame.kind == "batch" else 0):
		        dcstream.write(out, "note", frame.step, {"text": b"x" * 300000})
		    out.write(frame.raw)
		    out.flush()
	END
	begin noted
	ring 0 '-n by value' noted --steps 20 --save-every 0 --by-value -n
	sed -n '1,/^  dc-step/p' out | sed "s#^  dc-encode#  $PYTHON notes.py |\n&#" >noted.sh
	check 'large frames of a kind that no tool knows, four before each batch' timeout -s KILL 300 sh noted.sh
	same whole noted step-00000020 'stop no tool and change no byte'
else
	skip 'no Python with numpy, msgpack, msgpack_numpy, xxhash' 'the ring with a Python filter in it'
fi

# what train.sh refuses
mkdir -p unlockable/.ring
ring 1 'a run whose lock cannot be made' unlockable --steps 20
said '^train.sh: cannot write unlockable/.ring$' 'is called so'
! grep -q 'another ring' err; ok $? 'and nobody else is blamed'
run 2 'an unknown option'             "$train" --run whole --data x --frobnicate 3
said 'unknown option --frobnicate'    'is named'
run 2 'no run'                        "$train" --data "$shards"
run 2 'no data'                       "$train" --run absent
run 2 'an option without its value'   "$train" --run x --data
run 1 'a shard that is not there'     "$train" --run absent --data "$tmp/scenes/train-{000..003}.tar"
said 'train-003.tar'                  'is named'
ring 1 'a changed option'             killed --steps 30 --save-every 5
said "^  --steps: was '20', now '30'" 'is shown as it was and is'
ring 1 'another number of threads'     killed --threads 1 --steps 30 --override
said 'failed: dc-step \(status 1\)'   'is refused by dc-step'
said 'accept-numerics'                'which says how to go on'
begin one
run 0 'one thread'                    timeout -s KILL 300 "$train" --run one --data "$shards" --arch arch.json --vocab vocab.gz --batch 8 --queue 40 --nns-after 16 --warmup 1 --steps 2 --threads 1
run 0 'which holds'                   timeout -s KILL 300 "$train" --run one --steps 4 --override
run 1 'two are refused'               timeout -s KILL 300 "$train" --run one --steps 6 --override --threads 2
run 0 'and forgotten'                 timeout -s KILL 300 "$train" --run one
ring 0 '--override goes on'           killed --steps 22 --save-every 5 --override
check 'to its end' test "$(dc-step --run killed --print step)" = 22
cp killed/run.json before
run 2 '--override with a value that a tool will refuse' "$train" --run killed --lr abc --eda none --override
said 'dc-step: --lr abc' 'is refused'
said 'dc-augment: --eda none' 'by all that have a word on it'
check 'and the run is as it was' cmp killed/run.json before
run 1 'epochs in place of steps' "$train" --run killed --epochs 9
said "^  --steps: was '22', now ''" 'are another length'
run 0 'with --override' "$train" --run killed --epochs 9 --override -n
said 'dc-decode .*--epochs 9' 'they hold'
begin failing
ring 1 'a tool that fails' failing --steps 20 --wordnet "$tmp/absent"
said 'failed: dc-augment \(status 1\); run again' 'is named, and no other'
check 'and its run holds a model' dc-step --run failing --print step
mkdir none && (cd more && tar cf ../none/a.tar 000001.jpg bare.jpg) && (cd more && tar cf ../none/b.tar 000001.txt)
begin unusable
run 1 'no usable sample' timeout 300 "$train" --run unusable --data "$tmp/none/a.tar" --steps 20
said 'no usable|no caption|\.jpg' 'says why'
# shellcheck disable=SC2086
run 0 '-n' "$train" --run dry --data "$shards" $options --steps 20 -n
said '^  dc-step --run dry ' 'prints the ring'
[ ! -e dry ]; ok $? 'and makes nothing'
cp out script
# shellcheck disable=SC2086
run 2 'a value that a tool will refuse' "$train" --run dry --data "$shards" $options --steps 20 --lr abc
said 'dc-step: --lr abc' 'is refused'
[ ! -e dry ]; ok $? 'before anything is made'
# shellcheck disable=SC2086
run 2 'two such values' "$train" --run dry --data "$shards" $options --steps 20 --shuffle many --lr abc
said '^dc-decode: --shuffle many' 'both are named'
said '^dc-step: --lr abc' 'before it ends'
# shellcheck disable=SC2086
run 0 'a zero in front' "$train" --run none --data "$shards" $options --batch 010 --epochs 09 --warmup 08 --save-every 010 -n
said '^# 61 samples an epoch, 55 batches of 10 in all$' 'makes no octal number'
said '^ *dc-step .* --steps 55 --warmup 8 .*--save-every 10 ' 'anywhere'
# shellcheck disable=SC2086
run 2 'a number too large for any' "$train" --run none --data "$shards" $options --steps 99999999999999999999 -n
said '^train.sh: --steps 99999999999999999999: must be a whole number of at least 1$' 'is named'
[ "$(wc -l <err)" = 2 ]; ok $? 'and nothing else is said'
check 'what -n prints' timeout -s KILL 300 sh script
check 'is a script that does the whole run' test "$(dc-step --run dry --print position)" = 20

# other trainings, each from nothing or from another run
train() { # train STATUS DESCRIPTION OPTION...: with a model as train.sh makes it
	code=$1 desc=$2; shift 2
	run "$code" "$desc" timeout -s KILL 300 "$train" --batch 8 --threads 2 --warmup 2 "$@"
	[ -z "$(ls "$DC_SHM_DIR")" ] || ok 1 "$desc: nothing is left in shared memory"
}
small='clip=0.6,mvs=0.2,mlm=0.2'   # without the large SimSiam head
train 0 'a run that makes its own vocabulary and model' --data "$shards" --arch arch.json --merges 60 --run own --epochs 1 --tail drop
said '^train.sh: learning a vocabulary from the captions' 'says so'
check 'one epoch of 61 samples in batches of 8, the rest dropped' test "$(dc-step --run own --print position)" = 7
train 0 'CLIP alone' --data "$shards" --arch arch.json --vocab vocab.gz --run clip --method clip --steps 3
head -n 1 clip/log.tsv | tr '\t' ' ' >header
check 'has one term' grep -q '^step clip total' header
train 0 'from a run' --data "$shards" --init clip --run second --weights "$small" --steps 3
train 0 'batches in which nothing is masked' --data "$shards" --init own --run unmasked --mlm 1e-9 --steps 2
check 'have an MLM loss of 0' test "$(awk 'NR > 1 { print $5 }' unmasked/log.tsv | tr '\n' ' ')" = '0 0 '
cp -r clip torn; rm torn/latest; rm -r torn/step-00000003
train 0 'a run that was killed before its first link' --data "$shards" --arch arch.json --vocab vocab.gz --run torn --method clip --steps 3
train 0 'as the code that was released' --data "$shards" --arch arch.json --vocab vocab.gz --run released --as released --weights "$small" --steps 3
# shellcheck disable=SC2016
run 0 'shards on standard input' timeout -s KILL 300 sh -c '
	cat scenes/train-000.tar | "$0" --data - --arch arch.json --vocab vocab.gz --run piped --batch 8 --threads 2 --steps 2 --weights "$1"' "$train" "$small"
check 'two steps' test "$(dc-step --run piped --print step)" = 2
run 2 'standard input without --steps' "$train" --data - --vocab vocab.gz --arch arch.json --run nothing

# what run.json cannot hold as it is comes back as it was
begin odd
mkdir 'a\table "b' && cp scenes/train-*.tar 'a\table "b'
# shellcheck disable=SC2086
run 0 'shards in a directory with a backslash and a quote' "$train" --run odd --data "$tmp/a\\table \"b/train-{000..002}.tar" $options --steps 5
run 0 'are found again' "$train" --run odd
said 'odd is finished' 'by their recorded name'
done_testing
