#!/bin/sh
# SPDX-License-Identifier: MIT
# A ring that loses a tool ends at once and names it, one that is asked to stop keeps its last step; either goes on after.
. "${0%/*}/lib.sh"
# shellcheck source=ring.sh
. "$top/tests/ring.sh"
long='--steps 150 --save-every 4 --keep 3'
begin whole lost started stopped early
random=$(od -An -N2 -tu2 /dev/urandom)

goes_on() { # goes_on RUN: until it has a step or more beyond those that its log has now
	goal=$(($(tail -n 1 "$1/log.tsv" 2>/dev/null | cut -f 1) + 1 + random % 5)) random=$((random / 5))
	hold "$1" $((goal + 8)) # on a machine that is late with the signal it would come to its end
	# shellcheck disable=SC2086
	start "$1" $long
	until_true reached "$1" $goal
}

ended() { # ended RUN TOOL: it died of SIGKILL, and so ended the ring, which says so; nothing is left; its model loads
	{
		[ "$got" = 1 ] || echo "status $got, wanted 1"
		[ "$took" -lt "$limit" ] || echo "took $took ms"
		grep -q "^train.sh: failed: $2 (killed by SIGKILL)" err || echo "the message does not name $2"
		cat err
	} >lines
	[ "$got" = 1 ] && [ "$took" -lt "$limit" ] && grep -q "^train.sh: failed: $2 (killed by SIGKILL); run again" err; code=$?
	cp lines err; ok $code "the pipeline ends with status 1 and names $2"
	until_true none_left
	{ processes; ls "$DC_SHM_DIR"; ls -d "$1/shm" "$1/loop"; } >err 2>/dev/null
	[ ! -s err ]; ok $? 'no process is left, nor shared memory'
	check 'the newest checkpoint loads' sh -c "dc-step --run $1 --print step && echo 'a red circle' |
		dc-tokenize --vocab $1/latest/bpe.txt.gz --context 16 --lines - | dc-encode --model $1 | dc-peek --check"
}

# shellcheck disable=SC2086
timeout -s KILL 300 "$train" --run whole --data "$shards" $options $long >out 2>err </dev/null
ok $? '150 steps in one go'

# one run that loses each of its tools in turn, somewhere on the way
for tool in $tools; do
	goes_on lost
	now; kill -s KILL "$(cat "pids/$tool")"; finish
	echo "# $tool killed after step $goal, $took ms"
	ended lost "$tool"
done
# shellcheck disable=SC2086
{ start lost $long; finish; } 2>/dev/null
[ "$got" = 0 ]; ok $? 'the same run, having lost each tool once, comes to its end'
same whole lost step-00000150 'with the same bytes as in one go'

# dead before it has opened anything
for AFTER in 0 0.2; do
	for tool in $tools; do
		DIES=$tool
		# shellcheck disable=SC2086
		now; start started $long; finish
		echo "# $took ms: $tool killed $AFTER s after its start"
		ended started "$tool"
	done
done
DIES=

stopped() { # stopped DESCRIPTION: with status 4, at a step that has its checkpoint
	{ [ "$got" = 4 ] || echo "status $got, wanted 4"; cat err; } >lines
	cp lines err
	[ "$got" = 4 ] && [ "$took" -lt "$limit" ] && grep -q '^train.sh: stopped at batch .* of 150, run again to continue' err
	ok $? "$1: status 4, and it says so"
	until_true none_left
	{ tail -n 1 stopped/log.tsv; dc-step --run stopped --print step; processes; ls "$DC_SHM_DIR"; } >err 2>&1
	[ "$(tail -n 1 stopped/log.tsv | cut -f 1)" = "$(dc-step --run stopped --print step)" ] && [ -z "$(processes; ls "$DC_SHM_DIR")" ]
	ok $? 'its last step is in the checkpoint; no process is left, nor shared memory'
}

# one run that is asked to stop in every way
random=$(od -An -N2 -tu2 /dev/urandom)
goes_on stopped
now; kill -s INT "$(cat pids/dc-step)"; finish
stopped 'SIGINT to dc-step'

goes_on stopped
now; kill -s INT -- "-$ring"; finish
stopped 'SIGINT to the process group, as Ctrl-C sends it'

goes_on stopped
now; kill -s TERM "$ring"; finish
stopped 'SIGTERM to train.sh'

goes_on stopped
now; kill -s HUP -- "-$ring"; finish
stopped 'SIGHUP to the process group, as a terminal that is closed sends it'

# at rest: dc-encode waits for a batch that does not come
position=$(dc-step --run stopped --print position)
hold stopped $((position + 7))
# shellcheck disable=SC2086
start stopped $long
until_true reached stopped $((position + 7))
now; kill -s INT -- "-$ring"; finish
stopped 'SIGINT while the ring waits for data'

# shellcheck disable=SC2086
start stopped $long; finish
[ "$got" = 0 ]; ok $? 'the same run, stopped five times, comes to its end'
same whole stopped step-00000150 'with the same bytes as undisturbed'

HOLD=1
# shellcheck disable=SC2086
start early $long
until_true test -s pids/dc-decode
now; kill -s TERM "$ring"; finish
[ "$got" = 4 ] && [ "$took" -lt "$limit" ]; ok $? 'SIGTERM while the tools start: status 4 too'
done_testing
