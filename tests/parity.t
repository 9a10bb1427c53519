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

begin() { # begin CASE RUN: the checkpoint that PyTorch began with
	mkdir -p "$2/step-00000000"
	cp "$golden/$1/"*.safetensors "$golden/$1/"*.json "$golden/start/"*.safetensors "$2/step-00000000"
	[ "$1" = clip ] || cp -r "$golden/start/heads" "$2/step-00000000"
	ln -s step-00000000 "$2/latest"
}

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
	begin "$case" "$case"
	ring "$case"; ok $? "$case: three steps round the ring"
	"$PYTHON" "$top/tests/reference/compare.py" "$golden/$case/golden.npz" "$case" "$case.dcs" "$n" >out 2>err; code=$?
	cat out
	n=$((n + $(grep -cE '^(not )?ok ' out)))
	ok "$code" "$case: the ring equals PyTorch"
done
done_testing
