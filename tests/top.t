#!/bin/sh
# SPDX-License-Identifier: MIT
# top.sh: the tools of a running ring, and what it says where there is none.
. "${0%/*}/lib.sh"
# shellcheck source=ring.sh
. "$top/tests/ring.sh"
show=$top/pipelines/top.sh

begin one
run 1 'a run that nobody trains' "$show" one
said '^top.sh: .*one: no ring trains it now$' 'is said'
run 1 'no such directory' "$show" none
said '^top.sh: none: no such directory$' 'is said'
run 2 'no run' "$show"
run 2 'an interval of nothing' "$show" -i 0 one
said 'must be in \[0.05, 3600\]' 'is refused'

hold one 10
start one --steps 80
until_true reached one 3
run 0 'a ring that is held up' "$show" -i 0.2 one
cp out shown
check 'its tools in order' test "$(awk '$1 ~ /^dc-/ { printf "%s ", $1 }' shown)" = "$tools "
check 'with their process numbers' test "$(awk '$1 == "dc-step" { print $2 }' shown)" = "$(cat pids/dc-step)"
check 'each with its memory' awk '$1 ~ /^dc-/ { n += $5 > 0 } END { exit n != 6 }' shown
head -n 1 shown | grep -Eq '/one: step [0-9]+, [0-9.]+ pairs/s, of which dc-encode waited [0-9.]+ s$'; ok $? 'and where the run is'
begin two
run 1 'a neighbouring run' "$show" two
kill_all; HOLD=
until_true none_left
run 1 'and when it is gone' "$show" one
done_testing
