#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-loss on streams made in Python: values and gradients on the wire, state, parts, mistakes.
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/loss_streams.py" "$@"; }
loss() { # loss STATUS DESCRIPTION STREAM OPTION...: stdout is kept in got
	code=$1 desc=$2 stream=$3; shift 3
	py make "$stream" >in.dcs || exit 99
	got=0
	cat in.dcs | dc-loss "$@" >got 2>err || got=$?
	: >out
	[ "$got" -eq "$code" ] || echo "exit $got, wanted $code: $stream $*" >>err
	[ "$got" -eq "$code" ]; ok $? "$desc"
}
right() { py check "$1" <got >out 2>err; ok $? "$2"; }
silent() { ! [ -s err ]; ok $? 'and says nothing'; }

run 0 '--help' dc-loss --help
run 0 '--list names methods, terms and weights' dc-loss --list
said '^  mvs +0\.2 +0\.3 ' 'with both readings'
run 2 'unknown method' dc-loss --method simclr
run 2 'weight out of range' dc-loss --mvs -1
run 2 'an operand' dc-loss x
said 'standard input' 'is refused'
run 2 'a term that the method has not' dc-loss --method clip --mvs .2
said "method clip has no such term" 'is named'
for term in simclr filip siglip; do
	run 2 "--$term" dc-loss --$term .1
	said "method declip has no such term" 'is for other methods'
done
run 2 'nothing left for clip' dc-loss --mvs .9
said 'give --clip' 'asks for it'
run 2 'limits the wrong way round' dc-loss --logit-scale-min 7

loss 0 'a run with state, parts, foreign frames, batches of 1 and 0' ring
silent
right ring 'values as in numpy, the queue from the state; skip below two samples; the rest passed on, state taken'
mv got whole
loss 0 'options that agree with the state' ring --method declip --as paper --clip 0.4 --mvs .2 --simsiam .2 --queue 10 --nns-after 4 \
	--logit-scale-min 3 --logit-scale-max 6
check 'change nothing' cmp got whole
loss 0 'again' ring
check 'the same bytes' cmp got whole
for o in '--method clip' '--as released' '--clip 0.5' '--nns 0' '--queue 11' '--nns-after 5' '--logit-scale-max 5'; do
	# shellcheck disable=SC2086
	loss 1 "$o contradicts the state" ring $o
	said "^dc-loss: ${o%% *}? ?.*${o#* } contradicts the run's config, which says" 'and both are named'
done

loss 0 'differences along a direction' differences --nns 0
right differences 'agree with every gradient; a term left out gives its weight back'
loss 0 'one view, method clip' views1 --method clip
right views1 'no more keys than needed'
loss 0 '--rows' plain --queue 5 --rows 2
right rows 'splits dfeatures into parts'
loss 0 'without a state the queue starts empty' nostate_nns --queue 20 --nns-after 11
right nostate_nns 'and nns waits for its rows'
loss 0 'NaN in the features' nan
said '^dc-loss: step 0: the loss is not finite: total -?nan, clip -?nan' 'warns'
right nan 'and is passed on'
loss 0 'logit_scale below its limit' outside; mv got low
loss 0 'counts' inside
check 'as the limit' cmp got low
loss 0 '-v' ring -v
said '^dc-loss: 19 samples, 5 batches, ' 'says how much there was'

loss 1 'a missing second view' views1
said '^dc-loss: <stdin>: frame 1 \(features\).*image_features.1' 'is named'
loss 1 'views of different width' wide
said 'text_features.0 is \[6,9\], wanted \[6,8\]' 'are named'
loss 1 'views of different length' rowless
said 'text_features.1 is \[5,8\], wanted \[6,8\]' 'are named'
loss 1 'float64' double
said 'image_features.0: wanted f32' 'is refused'
loss 1 'no logit_scale' noscale
said 'logit_scale' 'is named'
loss 1 'a head that is missing' heads
said 'simsiam_p.1' 'is named'
loss 1 'or missing in one part' heads_part
said 'simsiam_p.1 is \[5,5\] in all, wanted \[6,5\]' 'is named'
loss 1 'parts out of order' order
said 'part 1 of 2, wanted part 0 of 2' 'are named'
loss 1 'parts of two steps' steps
said 'part 1 is of step 1, the parts before of step 0' 'are named'
loss 1 'an end inside a batch' halves
said 'the features of step 0 are not whole: 1 of 2 parts came' 'is an error'
loss 0 'but not after a stop' stopped
silent
loss 1 'a second state' two_states
said 'a second state' 'is refused'
loss 1 'a late state' late_state
said 'the state comes after features' 'is refused'
loss 1 'a state that is no JSON' bad_json
said 'frame 1 \(state\).*config' 'is refused'
loss 1 'a config without a method' no_method
said "no method ''" 'is refused'
loss 1 'a state without queue' no_queue
said 'nn_queue' 'names it'
loss 1 'nn_head outside' bad_head
said 'nn_head 10, nn_valid 4: outside a queue of 10 rows' 'is named'
loss 1 'nn_valid outside' bad_valid
loss 1 'a queue of another length than the config says' bad_queue
said 'nn_queue is \[11,8\], the config says \[10,8\]' 'is named'

py make ring >ring.dcs
head -c 5000 ring.dcs >cut.dcs
run 1 'a truncated frame from a pipe' sh -c 'cat cut.dcs | dc-loss >got'
said '^dc-loss: <stdin>: frame [0-9]+ .*byte [0-9]+' 'names frame and byte'
py make order | cat >noend.dcs
py make late_state >all.dcs
"$PYTHON" -c '
import sys; sys.path.insert(0, sys.argv[1])
import dcstream
f = next(dcstream.frames(open("all.dcs", "rb"))); open("noend.dcs", "wb").write(f.raw)' "$top/tests/reference"
run 3 'a neighbour that died before end' sh -c 'cat noend.dcs | dc-loss >got'
silent
run 1 'a file without end' sh -c 'dc-loss <noend.dcs >got'
said 'truncated' 'is called truncated'
unread
run 3 'a reader that went away' sh -c 'cat ring.dcs | dc-loss >&4'
exec 4>&-
# memory of the order of N: twice the batch takes less than twice as much, and there is no room for one number a pair
peak() { # peak METHOD N [OPTION...]: megabytes
	m=$1 n_pairs=$2; shift 2
	"$PYTHON" "$top/tests/reference/loss_large.py" "$m" "$n_pairs" 64 | dc-loss -v --method "$m" "$@" 2>&1 >/dev/null | tee err | sed -n 's/^dc-loss: .* \([0-9]*\) MB$/\1/p'
}
if dc-loss --version | grep -q sanitize; then
	skip 'a sanitizer takes memory of its own' 'the memory of large batches'
else
	for large in 'clip 8192' 'declip 4096 --queue 1000 --nns-after 1'; do
		# shellcheck disable=SC2086
		set -- $large
		m=$1 n_pairs=$2; shift 2
		half=$(peak "$m" $((n_pairs / 2)) "$@") whole=$(peak "$m" "$n_pairs" "$@")
		[ "$half" -gt 0 ] && [ "$whole" -lt $((2 * half)) ] && [ "$whole" -lt $((n_pairs * n_pairs * 4 / 1000000)) ]
		ok $? "$m: $half MB for $((n_pairs / 2)) pairs, $whole MB for $n_pairs"
	done
fi
run 1 'a full output device' sh -c 'dc-loss <ring.dcs >/dev/full'
done_testing
