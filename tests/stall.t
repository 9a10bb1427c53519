#!/bin/sh
# SPDX-License-Identifier: MIT
# Nobody waits in silence: a tool that has waited too long says for whom, and with --stall-exit gives up. Nothing here
# depends on how long anything takes: the tests wait for what must come.
. "${0%/*}/lib.sh"
# shellcheck source=ring.sh
. "$top/tests/ring.sh"
lines_said() { [ "$(grep -c "$1" "$2")" -ge "$3" ]; } # lines_said PATTERN FILE N
ended() { kill "$job" && wait "$job"; } 2>/dev/null

# readers
mkfifo in; exec 3<>in
dc-loss --stall 0.1 <in >answer 2>says 3<&- &
job=$!
until_true lines_said 'has waited' says 3; ok $? 'a tool whose input does not come says so, again and again'
ended
check 'what it waits for' grep -qE '^dc-loss: has waited [0-9.]+ s for the writer of <stdin>, .*: nothing has come yet$' says
check 'after twice as long each time' awk '{ if ($4 < 1.99 * last) exit 1; last = $4 }' says
dc-decode --batch 60 "$shards" >samples.dcs 2>err
head -c 5000 samples.dcs >&3
dc-loss --stall 0.1 <in >answer 2>says 3<&- &
job=$!
until_true lines_said ': [0-9]* of [0-9]* bytes of the first frame$' says 1; ok $? 'in the middle of a frame, how much of it has come'
ended
exec 3<&-
sh -c 'echo $$ >writer; head -c 5000 samples.dcs; exec sleep 1000' >in &
dc-peek --quiet --stall 0.1 <in >answer 2>says &
job=$!
until_true grep -qs sleep "/proc/$(until_true test -s writer; cat writer)/comm"
kill -s STOP "$(cat writer)"
until_true lines_said "the writer of <stdin>, sleep (process $(cat writer), stopped): [0-9]* of" says 1
ok $? 'and for whom: its name, number and state'
kill -s KILL "$(cat writer)"; wait "$job" 2>/dev/null

# writers
mkfifo room; exec 4<>room
got=0; dc-decode --batch 60 --stall 0.1 --stall-exit "$shards" >room 2>says 4<&- || got=$?
cp says err; [ "$got" = 1 ]; ok $? 'a tool whose output nobody takes: --stall-exit'
check 'says what it could not write' grep -qE '^dc-decode: has waited .* s for the reader of <stdout>, .*, to take frame 1 \(samples of step 0\)$' says
check 'and that it gives up' grep -qx 'dc-decode: gives up (--stall-exit)' says
exec 4<&-
begin alone; mkfifo alone/loop; exec 3<>in
got=0; dc-step --run alone --loop alone/loop --stall 0.1 --stall-exit <in >out 2>err 3<&- || got=$?
[ "$got" = 1 ] && grep -q 's for somebody (dc-encode) to open alone/loop for reading' err; ok $? 'a dc-step whose loop nobody opens'
[ -z "$(ls "$DC_SHM_DIR")" ]; ok $? 'leaves nothing in shared memory'
exec 3<&-

# a ring
begin whole slow dead
# shellcheck disable=SC2086
timeout -s KILL 300 "$train" --run whole --data "$shards" $options --steps 12 --save-every 4 >out 2>err </dev/null; ok $? 'twelve steps'
# one of its tools stops itself before it has done anything
sed 's/kill -9 \$\$/kill -s STOP $$/' spy/tool >spy/new && chmod +x spy/new && mv spy/new spy/tool
DIES=dc-loss AFTER=0
start slow --steps 12 --save-every 4 --stall 0.5
DIES=
until_true test -s pids/dc-loss
stopped=$(cat pids/dc-loss)
until_true lines_said "dc-loss (process $stopped, stopped)" err 2; ok $? 'a ring in which a tool is stopped says which'
kill -s CONT "$stopped"
now; finish
[ "$got" = 0 ]; ok $? 'and goes on when that does'
same whole slow step-00000012 'to the same bytes'

DIES=dc-loss AFTER=0
start dead --steps 12 --save-every 4 --stall 1 --stall-exit
now; finish
DIES=
cp err said; cp err lines
[ "$got" = 1 ] && grep -q 'gives up (--stall-exit)' said; ok $? 'with --stall-exit a ring whose tool does not answer ends'
check 'that tool is killed in the end' grep -qx 'train.sh: dc-loss has not ended: killed' said
check 'and named' grep -q '^train.sh: failed: dc-loss (killed by SIGKILL)' said
until_true none_left; ok $? 'no process is left'
# shellcheck disable=SC2086
timeout -s KILL 300 "$train" --run dead --data "$shards" $options --steps 12 --save-every 4 >out 2>err </dev/null; ok $? 'the run goes on'
same whole dead step-00000012 'to the same bytes'

# what will never come is no wait
: >empty.tar
for d in '' 'absent-{0..3}.tar' '{3..1}.tar' '*.tar' /dev/null "$tmp" "$tmp/empty.tar"; do
	run 1 "dc-decode '$d' is an error" timeout 60 dc-decode "$d"
	run 1 "train.sh --data '$d' too" timeout 60 "$train" --run nothing --data "$d"
	[ ! -e nothing ]; ok $? 'and makes nothing'
done
run 2 'no shards' timeout 60 dc-decode
done_testing
