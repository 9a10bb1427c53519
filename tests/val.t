#!/bin/sh
# SPDX-License-Identifier: MIT
# train.sh --val: checkpoints are scored beside the ring; the training does not notice, and a run that was killed ends with
# the same table.
. "${0%/*}/lib.sh"
# shellcheck source=ring.sh
. "$top/tests/ring.sh"

dc-scenes --out test --train 1 --test 12 --zero-shot 16 --size 24 >out 2>err
ok $? 'a test set'
val="--val $tmp/test/test-000.tar --val-every 4"
ring() { # ring STATUS DESCRIPTION RUN OPTION...
	code=$1 desc=$2 d=$3; shift 3
	# shellcheck disable=SC2086
	run "$code" "$desc" timeout -s KILL 300 "$train" --run "$d" --data "$shards" $options --steps 14 "$@"
}
column() { awk -F '\t' -v n="$2" 'NR > 1 { printf "%s%s", s, $n; s = " " } END { print "" }' "$1/val.tsv"; }

begin plain whole killed
ring 0 'fourteen steps' plain --save-every 2
# shellcheck disable=SC2086
ring 0 'the same with --val, every second checkpoint, of which one is kept' whole --save-every 2 --keep 1 $val
same plain whole step-00000014 'train to the same bytes'
check 'a row for every fourth step and for the last' test "$(column whole 1)" = '4 8 12 14'
check 'with the pairs seen' test "$(column whole 2)" = '32 64 96 112'
check 'and seven scores' test "$(head -n 1 whole/val.tsv | tr '\t' ' ')" = 'step pairs i2t_r1 i2t_r5 i2t_r10 t2i_r1 t2i_r5 t2i_r10 mean'
awk -F '\t' 'NR > 1 { for (i = 3; i <= 8; i++) if (!($i >= 0 && $i <= 1)) bad = 1; d = ($3 + $4 + $5 + $6 + $7 + $8) / 6 - $9; if (d * d > 1e-10) bad = 1 } END { exit bad || NR != 5 }' whole/val.tsv
ok $? 'the last is the mean of the others'
top_step=$(awk -F '\t' 'NR > 1 && (NR == 2 || $NF > max) { max = $NF; s = $1 } END { printf "step-%08d", s }' whole/val.tsv)
check 'best is a link to the highest' test "$(readlink whole/best)" = "$top_step"
check 'whose checkpoint is there' test -f whole/best/open_clip_model.safetensors
check 'others are gone but for the newest and the first' test "$(cd whole && echo step-*)" = \
	"$(printf '%s\n' step-00000000 "$top_step" step-00000014 | sort -u | tr '\n' ' ' | sed 's/ $//')"
check 'the row of a model by hand' sh -c '"$0" --model whole --val test/test-000.tar >row' "$top/pipelines/val.sh"
check 'is the last of the run' sh -c 'tail -n 1 row | cmp - last.row' -- "$(tail -n 1 whole/val.tsv >last.row)"
run 0 'its recall' sh -c 'dc-decode --captions all --tail short test/test-000.tar | dc-augment --recipe eval --size 16 |
	dc-tokenize --model whole --mlm 0 | dc-encode --model whole | OMP_NUM_THREADS=1 dc-recall --tsv'
check 'is what dc-recall says' test "$(awk -F '\t' '$1 ~ /_R@5$/ { printf "%s%s", s, $2; s = " " }' out)" = "$(awk -F '\t' 'NR == 5 { print $4, $7 }' whole/val.tsv)"

# killed as a whole, and run again
hold killed 10
# shellcheck disable=SC2086
start killed --steps 14 --save-every 2 --keep 1 $val
until_true reached killed 9
kill_all; HOLD=
[ "$(tail -n 1 killed/log.tsv | cut -f 1)" -lt 14 ]; ok $? 'every process killed'
# a row of a checkpoint that is no longer there, and half a row
cp whole/.val.how killed/
[ -f killed/val.tsv ] || head -n 1 whole/val.tsv >killed/val.tsv
printf '13\t104\t1\t1\t1\t1\t1\t1\t1\n14\t11' >>killed/val.tsv
# asked to stop: val.sh leaves at once, and what it had no time for comes later. A quick machine is at its end before.
# shellcheck disable=SC2086
start killed --steps 14 --save-every 2 --keep 1 $val
until_true test -s pids/dc-step
kill -s TERM "$ring" 2>/dev/null
since=0; finish
[ "$got" = 4 ] || [ "$got" = 0 ]; ok $? "SIGTERM: status 4 (or 0): $got"
until_true none_left
check 'with nothing left running' none_left
# shellcheck disable=SC2086
ring 0 'and run again' killed --save-every 2 --keep 1 $val
same whole killed step-00000014 'every byte is as in one go'
check 'the table too' cmp whole/val.tsv killed/val.tsv
check 'and best' test "$(readlink whole/best)" = "$(readlink killed/best)"
cp killed/val.tsv before
run 0 'once more' "$train" --run killed
check 'changes nothing' cmp before killed/val.tsv
sed -i '$d' killed/val.tsv
mkdir killed/.step-00000006.old
run 0 'a finished run that lacks a row' "$train" --run killed
check 'gets it' cmp before killed/val.tsv
[ ! -e killed/.step-00000006.old ]; ok $? 'and a checkpoint that was half removed is gone'

# asked to stop while only rows are missing: a dc-recall that waits for ever
mkdir held && ln -s "$DC_BIN"/dc-* held/ && rm held/dc-recall
printf '#!/bin/sh\necho $$ >"%s/scoring"\nwhile [ ! -e "%s/go" ]; do sleep 0.05; done\n' "$tmp" "$tmp" >held/dc-recall
chmod +x held/dc-recall
alive() { ps -o stat= -p "$(cat "$1")" | grep -qv Z; }
dead() { ! alive "$1"; }
asked() { # asked DESCRIPTION ARGUMENT...: of train.sh, which gets SIGTERM while a row is made
	desc=$1; shift
	rm -f scoring go status
	# shellcheck disable=SC2016
	(DC_BIN=$tmp/held; export DC_BIN; sh -c 'echo $$ >train.pid; exec "$@"' - "$train" "$@"; echo $? >status) >rows 2>err </dev/null &
	until_true test -s scoring
	kill -TERM "$(cat train.pid)"
	until_true test -s status || : >go
	check "$desc: status 4" test "$(cat status)" = 4
	until_true dead scoring
	check 'and the row is not made on without it' dead scoring
	: >go
	wait $!
}
sed -i '$d' killed/val.tsv
asked 'SIGTERM to a finished run that lacks a row' --run killed
run 0 'once more' "$train" --run killed
check 'has it' cmp before killed/val.tsv
begin late
# shellcheck disable=SC2086
asked 'SIGTERM after the last step, before the last row' --run late --data "$shards" $options --steps 4 $val --save-every 4
check 'the training is finished' test "$(dc-step --run late --print step)" = 4
run 0 'and run again' timeout -s KILL 300 "$train" --run late
check 'the row is there' test "$(column late 1)" = 4

there=$(cd killed && for d in step-*; do echo $((1${d#step-} - 100000000)); done | grep -vx 0 | tr '\n' ' ')
run 0 'another test set' "$train" --run killed --val "$tmp/scenes/train-000.tar"
check 'another table, of the checkpoints that are there' test "$(column killed 1) " = "$there"

run 0 'checkpoints of every 08 steps' "$top/pipelines/val.sh" --run killed --val "$tmp/scenes/train-000.tar" --every 08
[ ! -s err ]; ok $? 'are those of every eight'

# zero-shot
run 0 'classes in place of captions' timeout -s KILL 300 "$train" --run killed --val "$tmp/test/test-colour-000.tar" --val-prompts "$tmp/test/colour-prompts.txt" --val-names "$tmp/test/colours.txt"
check 'are scored zero-shot' sh -c 'head -n 1 killed/val.tsv | grep -q "top_1.*top_5"'

# what is refused, and -n
# shellcheck disable=SC2086
ring 2 'steps without a checkpoint' never --save-every 3 $val
said '^train.sh: --val-every 4: must be a multiple of --save-every 3' 'are refused'
ring 1 'shards that are not there' never --val absent.tar --val-every 4
said 'absent.tar' 'are named'
! grep -q "line [0-9]" err; ok $? "and the shell complains of nothing"
[ ! -e never ]; ok $? 'and nothing is made'
# shellcheck disable=SC2086
ring 1 'names that are not there' never $val --val-names absent.txt
said '^train.sh: --val-names absent.txt: no such file' 'are named'
[ ! -e never ]; ok $? 'before anything is made'
# shellcheck disable=SC2086
ring 0 '-n' plain --save-every 2 $val -n
said 'val.sh --run plain --val .* --every 4' 'prints that too'
for more in '--epochs 2:the next one fills it up' '--steps 1:the next one fills it up' '--epochs 1:the batch is of [0-9]*' '--epochs 2 --tail short:the batch is of [0-9]*'; do
	# shellcheck disable=SC2086
	run 0 "a batch larger than an epoch, ${more%:*}" "$train" --run never --data "$shards" $options --batch 1000 --warmup 1 ${more%:*} -n
	said "^train.sh: warning: --batch 1000: an epoch has only [0-9]* samples: ${more#*:}" 'is remarked upon'
done
done_testing
