#!/bin/sh
# SPDX-License-Identifier: MIT
# Three whole steps through the real ring equal PyTorch's: every loss, every gradient, the queue, the statistics and the
# parameters (tests/reference/three_steps.py made the golden numbers).
. "${0%/*}/lib.sh"
need_python
for tool in dc-encode dc-loss dc-step; do
	[ -x "$DC_BIN/$tool" ] || skip_all "$tool is not built"
done
golden=$top/tests/golden/steps
gzip -dc "$golden/batches.dcs.gz" >batches.dcs

ring() { # ring RUN: its status is the worst of the three
	mkfifo "$1/loop"
	(dc-encode --loop "$1/loop" --by-value 2>>err <batches.dcs; echo $? >encode) |
	(dc-loss 2>>err; echo $? >loss) | tee "$1.dcs" |
	dc-step --run "$1" --loop "$1/loop" --by-value --save-every 1 --steps 10 --lr-start 4e-4 --lr 1e-3 --warmup 2 \
		--weight-decay 0.1 --beta2 0.98 --eps 1e-6 >rows 2>>err
	status=$?
	[ "$status" -eq 0 ] && [ "$(cat encode)" -eq 0 ] && [ "$(cat loss)" -eq 0 ]
}

for case in paper released clip; do
	: >err
	"$PYTHON" "$top/tests/reference/start_run.py" "$golden" "$case" "$case" 2>err; ok $? "$case: a run to begin with"
	: >err
	ring "$case"; ok $? "$case: three steps round the ring"
	"$PYTHON" "$top/tests/reference/compare.py" "$golden/$case.npz" "$case" "$case.dcs" "$n" >out 2>err; code=$?
	grep -v '^1\.\.' out
	n=$((n + $(grep -cE '^(not )?ok ' out)))
	[ "$code" -eq 0 ] || ok 1 "$case: the ring equals PyTorch"
done
done_testing
