#!/bin/sh
# SPDX-License-Identifier: MIT
# Three whole steps through the real ring equal PyTorch's: every loss, every gradient, the queue, the statistics and the
# parameters (tests/reference/three_steps.py made the golden numbers). And the ring does the same whether tensors go by
# value or by reference, and with a Python filter in it.
. "${0%/*}/lib.sh"
need_python
for tool in dc-encode dc-loss dc-step; do
	[ -x "$DC_BIN/$tool" ] || skip_all "$tool is not built"
done
golden=$top/tests/golden/steps
gzip -dc "$golden/batches.dcs.gz" >batches.dcs

begin() { # begin CASE RUN: the checkpoint that PyTorch began with
	mkdir -p "$2/step-00000000"
	cp "$golden/start/"*.safetensors "$2/step-00000000"
	cp "$golden/$1/"*.safetensors "$golden/$1/"*.json "$2/step-00000000"
	case $1 in
	paper | released) cp -r "$golden/start/heads" "$2/step-00000000" ;;
	*) [ ! -d "$golden/$1/heads" ] || cp -r "$golden/$1/heads" "$2/step-00000000" ;;
	esac
	ln -s step-00000000 "$2/latest"
	: >err
}

ring() { # ring RUN BY_VALUE FILTER...: what passes the filter is kept in RUN.dcs; fails if any tool does
	run=$1 value=$2; shift 2
	mkfifo "$run/loop"
	(timeout -s KILL 300 dc-encode --loop "$run/loop" $value 2>>err <batches.dcs; echo "dc-encode $?" >status1) |
	(dc-loss 2>>err; echo "dc-loss $?" >status2) |
	("$@" 2>>err; echo "$* $?" >status3) | tee "$run.dcs" |
	dc-step --run "$run" --loop "$run/loop" $value --save-every 1 --steps 10 --lr-start 4e-4 --lr 1e-3 --warmup 2 \
		--weight-decay 0.1 --beta2 0.98 --eps 1e-6 >rows 2>>err
	echo "dc-step $?" >status4
	! grep -v ' 0$' status[1-4] >>err
}

for case in paper released clip slip filip defilip siglip; do
	begin "$case" "$case"
	ring "$case" --by-value cat; ok $? "$case: three steps round the ring"
	"$PYTHON" "$top/tests/reference/compare.py" "$golden/$case/golden.npz" "$case" "$case.dcs" "$n" >out 2>err; code=$?
	cat out
	n=$((n + $(grep -cE '^(not )?ok ' out)))
	ok "$code" "$case: the ring equals PyTorch"
done

begin paper reference
ring reference '' cat; ok $? 'three steps with tensors by reference'
check 'every file is the same as by value' diff -r paper/step-00000003 reference/step-00000003
begin paper same
ring same '' "$PYTHON" "$top/pipelines/examples/scale_gradient.py" 1; ok $? 'three steps with a Python filter in the ring'
check 'that scales by 1: every file is the same' diff -r paper/step-00000003 same/step-00000003
begin paper half
ring half '' "$PYTHON" "$top/pipelines/examples/scale_gradient.py" 0.5; ok $? 'a filter that scales by 1/2'
[ -f half/step-00000003/open_clip_model.safetensors ] && ! cmp -s paper/step-00000003/open_clip_model.safetensors half/step-00000003/open_clip_model.safetensors
ok $? 'changes the text tower'
run 1 'make parity: a stage that is not there' sh "$top/tests/parity/run.sh" 50-eda 99-none
said '^run.sh: no stage 99-none; there are .*50-eda' 'is named, at once'
done_testing
