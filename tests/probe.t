#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-probe against scikit-learn's logistic regression: its numbers are tests/golden/probe.tsv, and they are computed again
# where there is a scikit-learn.
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/probe_streams.py" "$@"; }
for s in train val test both some unlabelled one apart other narrow nan short same noend; do py make $s >$s.dcs || exit 99; done
agrees() { py probe "$top/tests/golden/probe.tsv" sweep.tsv <table >out 2>err; ok $? "$1"; }
refused() { # refused DESCRIPTION PATTERN ARGUMENTS...: status 1, one line that says so, and no table
	desc=$1 pattern=$2; shift 2
	run 1 "$desc" dc-probe "$@"
	[ "$(wc -l <err)" = 1 ] && [ ! -s out ] && grep -qE -- "$pattern" err; ok $? 'says one line'
}

run 0 '--help' dc-probe --help
run 2 'no files' dc-probe
run 2 'an operand' dc-probe --train train.dcs --test test.dcs x
run 0 'a sweep of 13 lambdas' dc-probe --train train.dcs --val val.dcs --test test.dcs --lambdas 13 --sweep sweep.tsv --tsv --per-class
cp out table
! [ -s err ]; ok $? 'nothing on stderr'
agrees 'objective and accuracy of each lambda, the choice, top-1, top-5 and every class as in scikit-learn'
OMP_NUM_THREADS=1 run 0 'with one thread' dc-probe --train train.dcs --val val.dcs --test test.dcs --lambdas 13 --tsv --per-class
cmp -s out table; ok $? 'the same table'
if "${DC_TORCH_PYTHON:-false}" -c 'import sklearn, msgpack_numpy, xxhash' 2>/dev/null; then
	OMP_NUM_THREADS=1 "$DC_TORCH_PYTHON" "$top/tests/reference/probe_streams.py" golden >golden.tsv 2>err
	check 'golden numbers are what scikit-learn says here' diff golden.tsv "$top/tests/golden/probe.tsv"
else
	skip 'no scikit-learn in $DC_TORCH_PYTHON' 'golden numbers are what scikit-learn says here'
fi

run 0 'one lambda' dc-probe --train both.dcs --test test.dcs --lambda 0.01 --tsv
grep -E '^(top-1|mean_per_class)' out >one
grep -E '^(top-1|mean_per_class)' table | cmp -s - one; ok $? 'as the sweep that chose it, which trains on both sets too'
run 0 '--save' dc-probe --train both.dcs --test test.dcs --lambda 10 --save probe.safetensors
check 'weights and bias at which the objective is least' py weights probe.safetensors
run 0 'for people' dc-probe --train train.dcs --val val.dcs --test test.dcs --lambdas 13 -v
said '^640 images to train on, 500 to test, 6 classes, 16 columns$' 'counts'
said '^lambda 0.01, the best of 13 by 160 of these: 72.50 % there$' 'the choice'
said '13 lambdas, 13 of them converged' 'statistics'

run 0 'a validation part of --train' dc-probe --train both.dcs --test test.dcs --lambdas 7 --seed 1 --tsv
cp out seed1
said '^validation	0\.[0-9]*				12[789]$' 'a fifth of each class'
run 0 '--val-share' dc-probe --train both.dcs --test test.dcs --lambdas 3 --val-share 0.5 --tsv
said '^validation	0\.[0-9]*				3(1[89]|2[0-2])$' 'another part of each class'
run 2 '--val-share beside --val' dc-probe --train train.dcs --val val.dcs --test test.dcs --val-share 0.5
run 0 'again' dc-probe --train both.dcs --test test.dcs --lambdas 7 --seed 1 --tsv
cmp -s out seed1; ok $? 'the same'
run 0 'another seed' dc-probe --train both.dcs --test test.dcs --lambdas 7 --seed 2 --tsv
! cmp -s out seed1; ok $? 'another part'
run 0 '--search' dc-probe --train train.dcs --val val.dcs --test test.dcs --search --sweep search.tsv --tsv
[ "$(wc -l <search.tsv)" -le 16 ] && grep -q '^0.01	' search.tsv; ok $? 'at most 15 lambdas'
awk 'NR > 1 { if (NR > 2 && $1 >= last) exit 1; last = $1 }' search.tsv; ok $? 'by falling lambda'
run 0 '--unit' dc-probe --train train.dcs --test test.dcs --lambda 1 --unit --tsv
! cmp -s out one; ok $? 'is something else'
run 0 'equal features' dc-probe --train same.dcs --test same.dcs --lambda 1 --tsv
said '^top-1	0.500000	' 'score chance'
run 0 'some have no label' dc-probe --train some.dcs --test test.dcs --lambda 1 --tsv
said 'some.dcs: [0-9]* rows without a label are left out' 'and are left out'
printf '%s\n' a b c d e f g h i j k l >names
refused 'names too few' 'names: 12 names, but there is a label 200' --train train.dcs --test test.dcs --lambda 1 --names names
i=0; while [ $i -le 200 ]; do echo "name$i"; i=$((i + 1)); done >names
run 0 'names' dc-probe --train train.dcs --test test.dcs --lambda 1 --names names --per-class
said '^name200 ' 'stand in the table'
run 0 '--confusion' dc-probe --train train.dcs --test test.dcs --lambda 1 --confusion confusion.tsv
[ "$(wc -l <confusion.tsv)" = 7 ] && [ "$(head -n 1 confusion.tsv | tr '\t' ,)" = class,3,4,7,10,11,200 ]; ok $? 'a row and a column a class'

refused 'no labels' 'unlabelled.dcs: no labels' --train unlabelled.dcs --test test.dcs
refused 'one class' 'one.dcs: all labels are 3' --train one.dcs --test one.dcs
refused 'no class with two rows' 'no class has two rows' --train apart.dcs --test apart.dcs
refused 'a class that was not trained' 'other.dcs: label 5 does not occur in train.dcs' --train train.dcs --test other.dcs
refused 'unequal width' 'train.dcs has features of 16 columns, narrow.dcs of 9' --train train.dcs --test narrow.dcs
refused 'NaN' 'nan.dcs: frame 2 .* row 1 is not finite' --train nan.dcs --test test.dcs
refused 'labels too few' 'short.dcs: frame 2 .* 63 labels for 64 rows' --train short.dcs --test test.dcs
refused 'a stream cut off' 'noend.dcs: ' --train noend.dcs --test test.dcs
refused 'no such features' "has no 'text_features.0'" --train train.dcs --test test.dcs --features text_features.0
refused 'a missing file' 'none.dcs: No such file' --train none.dcs --test test.dcs
run 2 '--lambda with --search' dc-probe --train train.dcs --test test.dcs --lambda 1 --search
run 2 '--lambda 0' dc-probe --train train.dcs --test test.dcs --lambda 0
said 'must be a number in' 'is no lambda'
run 1 'a full output device' sh -c 'dc-probe --train train.dcs --test test.dcs --lambda 1 >/dev/full'
done_testing
