#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-recall and dc-zeroshot on features made in Python, against sorting in numpy.
. "${0%/*}/lib.sh"
need_python
py() { "$PYTHON" "$top/tests/reference/score_streams.py" "$@"; }
score() { # score STATUS DESCRIPTION STREAM COMMAND...: the stream comes through a pipe, stdout is kept in table
	code=$1 desc=$2 stream=$3; shift 3
	got=0
	cat "$stream.dcs" | "$@" >table 2>err || got=$?
	cp table out
	[ "$got" -eq "$code" ] || echo "exit $got, wanted $code: $stream $*" >>err
	[ "$got" -eq "$code" ]; ok $? "$desc"
}
right() { py "$1" <table >out 2>err; ok $? "$2"; }

py make || exit 99
run 0 'dc-recall --help' dc-recall --help
run 2 'dc-recall takes no operand' dc-recall x
score 0 'several captions per image, in parts' parts dc-recall --tsv
! [ -s err ]; ok $? 'nothing on stderr'
right recall 'recalls, ranks, errors and chance as by sorting'
mv table parts.tsv
score 0 'in one frame' whole dc-recall --tsv
check 'the same table' cmp table parts.tsv
cp table plain
"$PYTHON" - "$top/tests/reference" <<'END' || exit 99
import sys
sys.path.insert(0, sys.argv[1])
import dcstream, numpy as np
(kind, step, body), *rest = dcstream.read(open("whole.dcs", "rb"))
owner, text = body["caption_image"], body["text_features.0"]
def write(name, rows):
    with open(name, "wb") as f:
        dcstream.write(f, kind, step, {**body, "caption_image": owner[rows], "text_features.0": text[rows]})
        for r in rest:
            dcstream.write(f, *r)
there = np.arange(len(owner))
write("mixed.dcs", np.argsort(owner * 7919 % 71, kind="stable"))      # images in another order, those of one image in theirs
nth = np.array([(owner[:c] == owner[c]).sum() for c in there])
write("first.dcs", there[nth == 0])
write("second.dcs", there[nth < 2])
assert (nth > 1).any()
END
score 0 'captions in another order than the images' mixed dc-recall --tsv
check 'score the same' cmp table plain
for k in 1:first 2:second; do
	score 0 "the first ${k%:*} alone" ${k#*:} dc-recall --tsv
	cp table want
	! cmp -s want plain; ok $? 'something else'
	score 0 "--captions ${k%:*}" whole dc-recall --tsv --captions ${k%:*}
	check 'is that' cmp table want
	score 0 'in another order' mixed dc-recall --tsv --captions ${k%:*}
	check 'too' cmp table want
done
score 0 '--captions of more than there are' whole dc-recall --tsv --captions 99
check 'is all' cmp table plain
score 0 'for people' whole dc-recall
said '^70 images, 110 captions$' 'counts'
said '^image -> text  R@1  ' 'recalls'
score 0 'all features equal' same dc-recall --tsv
said '^i2t_R@5	0.500000	[0-9.]*	0.500000	0.00	10$' 'is chance: image -> text'
said '^t2i_R@1	0.100000	[0-9.]*	0.100000	0.00	10$' 'is chance: text -> image'
said '^t2i_mean_rank	5.5000' 'and the mean rank half way'
score 0 '-v' whole dc-recall -v
said '^dc-recall: 1 frames, 70 images, 110 captions' 'counts on stderr'
score 1 'fewer captions than images' few dc-recall
said '9 captions for 10 images and no caption_image' 'needs caption_image'
score 1 'two epochs' twice dc-recall
said 'image id 0 comes twice' 'are refused'
score 1 'caption_image outside' outside dc-recall
said 'caption_image 70: outside' 'is named'
score 1 'NaN' nan dc-recall
said 'image_features.0: row 1 is not finite' 'is named with its row'
score 1 'images and captions of unequal width' widths dc-recall
said '^dc-recall: <stdin>: frame 1 .*: image features of 16 columns, text features of 17' 'are an error'
score 1 'a width that changes' narrow dc-recall
said '^dc-recall: <stdin>: frame 2 .*: image_features.0: 15 columns, wanted 16 as before' 'is an error'
score 1 'an image of norm zero' zero dc-recall
said 'image_features.0: row 0 is all zeros and has no direction' 'is an error'
score 1 'a caption of norm zero' zero_text dc-recall
said 'text_features.0: row 0 is all zeros' 'is an error'
score 1 'images without captions' images_only dc-recall
said 'no captions: it has no text_features.0' 'are an error'
[ "$(wc -l <err)" -eq 1 ] && ! [ -s table ]; ok $? 'of one line, without a table'
score 1 'an empty stream' nothing dc-recall
score 1 'texts only' textonly dc-recall
said 'no images: it has no image_features.0' 'names what is missing'
score 3 'no end, from a pipe' noend dc-recall
! [ -s err ] && ! [ -s table ]; ok $? 'says nothing and prints no table'

i=0; while [ $i -lt 7 ]; do echo "name$i"; i=$((i + 1)); done >names
run 0 'dc-zeroshot --help' dc-zeroshot --help
run 2 'dc-zeroshot needs --classes' dc-zeroshot
score 1 'a missing file' parts dc-zeroshot --classes none.dcs
said 'none.dcs: No such file' 'is named'
score 0 'classes by names' parts dc-zeroshot --classes prompts.dcs --names names --per-class --tsv
right zeroshot 'top-1, top-5, mean per class and every class as in numpy'
mv table by-names.tsv
score 0 'classes by number, prompts in another order' parts dc-zeroshot --classes shuffled.dcs --prompts 3 --names names \
	--per-class --tsv
check 'the same table' cmp table by-names.tsv
score 0 'for people' whole dc-zeroshot --classes prompts.dcs --prompts 3 -v
said '^69 images, 7 classes, 21 prompts$' 'counts'
said '1 without a label' 'says how many had no label'
score 1 'prompts that do not divide' parts dc-zeroshot --classes prompts.dcs --prompts 4
said '21 prompts are not a multiple of 4' 'are an error'
score 1 'names that do not fit' parts dc-zeroshot --classes prompts.dcs --prompts 1 --names names
said 'names: 7 names for 21 classes' 'are an error'
head -n 4 names >four
score 1 'names that do not divide the prompts' parts dc-zeroshot --classes prompts.dcs --names four
said '21 prompts do not divide among the 4 names of four' 'are an error'
score 1 'a label without class' label dc-zeroshot --classes prompts.dcs --prompts 3
said 'label 7, but there are 7 classes' 'is named'
score 1 'images of another width than the prompts' wide dc-zeroshot --classes prompts.dcs --prompts 3
said 'image features of 32 columns, prompts of 16' 'is an error'
score 1 'an image of norm zero' zero dc-zeroshot --classes prompts.dcs --prompts 3
said 'image_features.0: row 0 is all zeros' 'is an error'
score 1 'NaN among the prompts' parts dc-zeroshot --classes nan_text.dcs
said '^dc-zeroshot: nan_text.dcs: .*text_features.0: row 1 is not finite' 'is an error'
score 1 'prompts that cancel' parts dc-zeroshot --classes cancel.dcs --prompts 2
said 'cancel.dcs: the prompts of class 0 cancel' 'are an error'
score 1 'frames without labels' no_label dc-zeroshot --classes prompts.dcs --prompts 3
said 'none of the 70 images has a label .a .cls file' 'are an error'
score 1 'labels of -1 only' unlabelled dc-zeroshot --classes prompts.dcs --prompts 3
score 1 'a line that comes twice' parts dc-zeroshot --classes line_twice.dcs
said 'line_twice.dcs: ' 'is an error'
score 1 'a class file without end' parts dc-zeroshot --classes noend.dcs
run 1 'two streams, one after the other' sh -c 'cat parts.dcs parts.dcs | dc-recall'
said '^dc-recall: <stdin>: something follows the end frame' 'are an error: the second would not count'
run 1 'rubbish after the end' sh -c '{ cat parts.dcs; echo; } >long.dcs; dc-recall <long.dcs'
said '^dc-recall: <stdin>: something follows the end frame' 'is one too'
run 1 'a full output device' sh -c 'dc-recall <parts.dcs >/dev/full'
done_testing
