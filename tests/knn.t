#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-knn against sorting in numpy, and its contact sheets.
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/probe_streams.py" "$@"; }
for s in train val test texts captions some unlabelled one other narrow nan short noend same other-scale; do py make $s >$s.dcs || exit 99; done
right() { desc=$1; shift; cp out table; py "$@" <table >out 2>err; ok $? "$desc"; }
refused() { # refused DESCRIPTION PATTERN ARGUMENTS...: status 1, one line that says so
	desc=$1 pattern=$2; shift 2
	run 1 "$desc" dc-knn "$@"
	[ "$(wc -l <err)" = 1 ] && grep -qE -- "$pattern" err; ok $? 'says one line'
}

run 0 '--help' dc-knn --help
run 2 'no files' dc-knn
run 2 'an operand' dc-knn --base train.dcs x
run 0 'the vote' dc-knn --base train.dcs --query test.dcs -k 1,5,20 --tsv
! [ -s err ]; ok $? 'nothing on stderr'
right 'plain and weighted as in numpy' knn
mv table whole
OMP_NUM_THREADS=1 run 0 'with one thread' dc-knn --base train.dcs --query test.dcs -k 1,5,20 --tsv
cmp -s out whole; ok $? 'the same table'
run 0 'without --query' dc-knn --base train.dcs -k 1,5,20 --tsv
right 'each without itself' knn self
mv table alone
run 0 'the same file twice' dc-knn --base train.dcs --query train.dcs -k 1,5,20 --tsv
cmp -s out alone; ok $? 'each without its own id'
run 0 '--self' dc-knn --base train.dcs --query train.dcs --self -k 1 --tsv
said '^1	plain	1.000000	' 'each with its own'
nearest=$(awk -F '\t' '$1 == 1 && $2 == "plain" { print $3 }' whole)
run 0 'a low --temperature' dc-knn --base train.dcs --query test.dcs -k 20 --temperature 1e-5 --tsv
[ "$(awk -F '\t' '$2 == "weighted" { print $3 }' out)" = "$nearest" ]; ok $? 'leaves the vote to the nearest'
run 0 'for people' dc-knn --base train.dcs --query test.dcs -v
said '^500 images, neighbours among 480, 6 classes$' 'counts'
said '^200 ' 'all of the default numbers that there are'
run 0 'equal features' dc-knn --base same.dcs -k 1,9 --tsv
run 0 'some have no label' dc-knn --base some.dcs --query test.dcs -k 1
said 'some.dcs: [0-9]* rows without a label are left out' 'and are left out'

run 0 '--list' dc-knn --base train.dcs --query test.dcs --list 3
right 'cosines, rows and keys as in numpy' near test train 3
run 0 'texts look for images' dc-knn --base train.dcs --query texts.dcs --query-features text_features.0 --list 7
right 'the same way' near texts train 7
run 0 'without labels' dc-knn --base unlabelled.dcs --query texts.dcs --query-features text_features.0 --list 7
right 'no less' near texts train 7
run 0 '--softmax' dc-knn --base train.dcs --query test.dcs --list 480 --softmax
awk -F'\t' 'NR > 1 { z[$1] += exp(exp(3) * $4); p[NR] = $8; e[NR] = exp(exp(3) * $4); q[NR] = $1 }
    END { for (i in p) { d = p[i] - e[i] / z[q[i]]; if (d > 2e-5 || d < -2e-5) exit 1 } exit NR < 2 }' out; ok $? 'is what the cosines give'
run 1 '--softmax over two scales' dc-knn --base train.dcs --query other-scale.dcs --list 1 --softmax
said 'are of different models: their logit_scale is 3 and 2' 'is refused'
printf '%s\n' one 'two words' three four five >names
run 0 'names of the queries' sh -c 'dc-knn --base train.dcs --query - --query-features text_features.0 --query-names names --list 1 <texts.dcs'
said '^1	two words	1	' 'stand in the list'
seq -f 'row %g' 0 479 >base.names
run 0 'names of the rows' dc-knn --base train.dcs --base-names base.names --query test.dcs --list 3
awk -F '\t' 'NR > 1 && $6 != "row " $5 { bad = 1 } END { exit bad || NR < 1500 }' out; ok $? 'stand in place of the keys'
run 1 'names too few' dc-knn --base train.dcs --base-names names --query test.dcs --list 1
said 'names: 5 names for the 480 rows of train.dcs' 'are an error'
run 0 'captions among themselves' dc-knn --base captions.dcs --base-features text_features.0 --list 1
said '^3	00001	1	1.000000	4	00001	4$' 'have the key and label of their image'
run 0 'equal rows' sh -c 'dc-knn --base captions.dcs --base-features text_features.0 --query captions.dcs --query-features text_features.0 --list 1 | cut -f 5 | tr "\n" " "'
said '^row 0 0 2 3 3 2 $' 'the first is nearest'
run 1 'names of another number' dc-knn --base train.dcs --query-names names --query test.dcs --list 1
said 'names: 5 names for the 500 rows of test.dcs' 'are an error'
dc-knn --base train.dcs --query test.dcs --list 400 2>err | true
! [ -s err ]; ok $? 'silent where the reader has enough'

refused 'k larger than N' '-k 481: train.dcs has only 480 neighbours' --base train.dcs --query test.dcs -k 1,481
refused 'k = N without --query' '-k 480: train.dcs has only 479 neighbours' --base train.dcs -k 480
refused '--list larger than N' '--list 481: train.dcs has only 480' --base train.dcs --query test.dcs --list 481
refused 'no labels' 'unlabelled.dcs: no labels' --base train.dcs --query unlabelled.dcs
refused 'one class' 'one.dcs: all labels are 3' --base one.dcs
refused 'a class that base has not' 'other.dcs: label 5 does not occur in train.dcs' --base train.dcs --query other.dcs
refused 'unequal width' 'train.dcs has features of 16 columns, narrow.dcs of 9' --base train.dcs --query narrow.dcs
refused 'NaN' 'nan.dcs: frame 2 .* row 1 is not finite' --base nan.dcs
refused 'labels too few' 'short.dcs: frame 2 .* 63 labels for 64 rows' --base short.dcs
refused 'a stream cut off' 'noend.dcs: ' --base noend.dcs
refused 'a missing file' 'none.dcs: No such file' --base none.dcs
run 2 '-k 0' dc-knn --base train.dcs -k 0
run 2 '--show without --images' dc-knn --base train.dcs --show x.png
run 2 '--show to no picture' dc-knn --base train.dcs --show x.gif --images train.dcs
run 2 '--list with -k' dc-knn --base train.dcs --list 1 -k 1

# --- the sheet: pictures by id, of samples decoded, samples as they are, and views ---
py pictures >samples.dcs
run 0 '--show' dc-knn --base train.dcs --query test.dcs -k 1 --show a.png --images samples.dcs --rows 3 --columns 2
said '^1 ' 'beside the vote'
check 'a query and two neighbours in a row, three rows' py sheet a.png 3 2
run 0 'once more' dc-knn --base train.dcs --query test.dcs --show b.png --images samples.dcs --rows 3 --columns 2
check 'the same bytes' cmp a.png b.png
run 0 'without labels' dc-knn --base unlabelled.dcs --query texts.dcs --query-features text_features.0 --query-names names --show c.jpg --images samples.dcs
! [ -s out ]; ok $? 'nothing but the sheet'
run 0 'fewer rows than the sheet has room for' dc-knn --base train.dcs --query texts.dcs --query-features text_features.0 --list 1 --show d.png --images samples.dcs --rows 99
refused 'other pictures' 'val.dcs: none of the images there has an id' --base test.dcs --query test.dcs --show e.png --images val.dcs
[ ! -e e.png ]; ok $? 'and no sheet'
done_testing
