#!/bin/sh
# SPDX-License-Identifier: MIT
# train.sh and its ring of six tools: killed as a whole and run again it ends in the same bytes; what it refuses and says.
. "${0%/*}/lib.sh"
# shellcheck source=ring.sh
. "$top/tests/ring.sh"

ring() { # ring STATUS DESCRIPTION RUN OPTION...
	code=$1 desc=$2 d=$3; shift 3
	# shellcheck disable=SC2086
	run "$code" "$desc" timeout -s KILL 40 "$train" --run "$d" --data "$shards" $options "$@"
}

# killed as a whole, and run again
begin whole killed
ring 0 'twenty steps in one go' whole --steps 20 --save-every 5 --rejects whole.tsv
check 'three epochs with rejects: a JPEG cut short, a blank caption, none' sh -c '
	test "$(grep -c cut whole.tsv)" -ge 1 -a "$(grep -c blank whole.tsv)" -ge 1 -a "$(grep -c bare whole.tsv)" -ge 1'
check 'and a queue that was full and wrapped' test "$(awk '$6 == "nan"' whole/log.tsv | wc -l)" -le 3
HOLD=$(dc-decode --batch 8 --steps 7 --shuffle 24 "$shards" 2>/dev/null | wc -c)
start killed --steps 20 --save-every 5
until_true reached killed 7
kill_all; HOLD=
[ "$(tail -n 1 killed/log.tsv | cut -f 1) $(dc-step --run killed --print step)" = '7 5' ]
ok $? 'every process killed after step 7, with the checkpoint of step 5'
ring 0 'run again to step 20' killed --steps 20 --save-every 5
said 'continuing at batch 5 of 20' 'it says where it goes on'
same whole killed step-00000020 'every byte of the last checkpoint and the log is as in one go'
[ ! -e killed/shm ] && [ -z "$(ls "$DC_SHM_DIR")" ] && [ ! -e killed/loop ]; ok $? 'nothing is left in shared memory'
ring 0 'a finished run' killed --steps 20 --save-every 5
said 'killed is finished: 20 of 20 batches' 'says so'
run 0 'the same again by --run alone' "$train" --run killed

# what train.sh refuses
run 2 'an unknown option'             "$train" --run whole --data x --frobnicate 3
said 'unknown option --frobnicate'    'is named'
run 2 'no run'                        "$train" --data "$shards"
run 2 'no data'                       "$train" --run absent
run 2 'an option without its value'   "$train" --run x --data
run 1 'a shard that is not there'     "$train" --run absent --data "$tmp/scenes/train-{000..003}.tar"
said 'train-003.tar'                  'is named'
ring 1 'a changed option'             killed --steps 30 --save-every 5
said "^  --steps: was '20', now '30'" 'is shown as it was and is'
ring 0 '--override goes on'           killed --steps 22 --save-every 5 --override
check 'to its end' test "$(dc-step --run killed --print step)" = 22
begin failing
ring 1 'a tool that fails' failing --steps 20 --wordnet "$tmp/absent"
said 'failed: dc-augment \(status 1\); run again' 'is named, and no other'
check 'and its run holds a model' dc-step --run failing --print step
mkdir none && (cd more && tar cf ../none/a.tar 000001.jpg bare.jpg) && (cd more && tar cf ../none/b.tar 000001.txt)
begin unusable
run 1 'no usable sample' timeout 5 "$train" --run unusable --data "$tmp/none/a.tar" --steps 20
said 'no usable|no caption|\.jpg' 'says why'
# shellcheck disable=SC2086
run 0 '-n' "$train" --run dry --data "$shards" $options --steps 20 -n
said '^  dc-step --run dry ' 'prints the ring'
[ ! -e dry ]; ok $? 'and makes nothing'
done_testing
