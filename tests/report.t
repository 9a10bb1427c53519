#!/bin/sh
# SPDX-License-Identifier: MIT
# report.sh: its page of a tiny run is well-formed and whole in itself, says what the run has and what it lacks.
. "${0%/*}/lib.sh"
need_python
report=$top/pipelines/report.sh train=$top/pipelines/train.sh
OMP_NUM_THREADS=1; export OMP_NUM_THREADS
page() { "$PYTHON" "$top/tests/reference/check_page.py" "$@"; }
whole() { page "$1" >"$1.txt" 2>err; ok $? "$2"; cp "$1.txt" out; }

cat >arch.json <<'EOF'
{"embed_dim": 32, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 24, "width": 64, "heads": 1, "layers": 1}}
EOF
{
	dc-scenes --out scenes --train 60 --test 30 --zero-shot 1 --size 24 &&
	for set in train test; do   # captions that would be HTML
		mkdir $set && tar xf scenes/$set-000.tar -C $set && sed -i 's|$| \&amp; "<b>bold</b>" <script>|' $set/*.txt && tar cf $set.tar --sort=name -C $set . || exit
	done
	"$train" -q --data train.tar --run 'a run' --arch arch.json --merges 60 --batch 8 --steps 14 --save-every 7 --warmup 2 \
	    --weights simsiam=0 --queue 80 --nns-after 8 --threads 1 --val test.tar --val-every 7 &&
	"$train" -q --data train.tar --run clip --method clip --arch arch.json --merges 60 --batch 8 --steps 5 --threads 1
} >out 2>err </dev/null
ok $? 'two runs to report'

# the command line
run 2 'no run'                    "$report"
run 2 'an unknown option'         "$report" --frobnicate clip
said 'unknown option --frobnicate' 'is named'
run 2 'samples out of range'      "$report" --samples 0 clip
run 1 'a directory that is no run' "$report" scenes
said 'scenes: no run'             'is named'
run 1 'a page that cannot be written' "$report" -o no/where.html clip
said 'cannot write no/where.html' 'is named'

# everything
run 0 'a run with all that there is' "$report" --test test.tar --title 'A & B <C>' 'a run'
check 'the page is in the run' cp 'a run/report.html' full.html
whole full.html 'it is well-formed, has every picture in it and loads nothing'
for s in Training 'Validation while training' Scores 'What the model saw' 'Nearest neighbours in the queue' 'What it finds' Configuration; do
	said "^section: $s$" "section: $s"
done
grep '^missing' full.html.txt >err; [ ! -s err ]; ok $? 'nothing is missing'
for c in 'Loss, the weighted total' CLIP: MLM: NNS: 'Right within the batch' 'Learning rate' 'Logit scale' 'Norm of the gradient' 'Pairs a second' \
    'Seconds waited' 'Image to text, R@1' 'Text to image, R@10' 'Mean of the recalls'; do said "^chart: $c" "chart: $c"; done
check 'sixteen views, and images for four captions or more' awk '/^pictures:/ { n = $2 } END { exit !(n >= 16 + 4 * 5 && n <= 16 + 8 * 6) }' full.html.txt
check 'the title is escaped' grep -q '<h1>A &amp; B &lt;C&gt;</h1>' full.html
check 'captions are' grep -q '<dd>[^<]* &quot;&lt;b&gt;bold' full.html
page full.html cells Scores >scores.txt 2>err
"$top/pipelines/score.sh" --tsv recall 'a run' test.tar 2>/dev/null >score.tsv
awk -F '\t' '$1 == "t2i_R@5" { printf "text to image, R@5\t%.1f ± %.1f\n", 100 * $2, 100 * $3 }' score.tsv >want
cut -f 1,2 scores.txt | grep '^text to image, R@5' >have
check 'the scores are those of score.sh' diff want have
page full.html cells Configuration >configuration.txt
grep -qx -- "--batch	8" configuration.txt && grep -qx 'weights of the terms	clip 0.4, mlm 0.2, mvs 0.2, nns 0.2, simsiam 0' configuration.txt
ok $? 'the configuration is there'
"$report" --test test.tar --title 'A & B <C>' -o - 'a run' >again.html 2>err
check 'the same run again gives the same bytes' cmp full.html again.html

# What NNS would choose: with a learning rate of 0 features never change, and the last 130 captions are all of an epoch and more.
{ "$train" -q --data scenes/train-000.tar --run still --arch arch.json --merges 60 --batch 8 --steps 20 --threads 1 --lr 0 \
    --captions first --weights simsiam=0 --queue 130 --nns-after 8 && "$report" -o still.html still; } >out 2>err; ok $? 'a run that stands still'
page still.html cells 'Nearest neighbours in the queue' >cells 2>err
check 'every caption finds itself in the queue' awk -F '\t' 'NR > 1 { n++; if ($1 != $2 || $3 != "1.0000") exit bad = 1 } END { exit bad || n != 8 }' cells
whole still.html 'without validation and test'
said '^missing: No checkpoint was scored while it trained' 'it says so'
said '^missing: Nothing was scored' 'twice'

# less
run 0 'two runs' "$report" -o two.html clip 'a run'
whole two.html 'a page'
said '^missing: This run has no nearest-neighbour term' 'the pictures are of the first'
[ "$(grep -c 'class="line s1"' two.html)" -ge 8 ]; ok $? 'the second is drawn beside it'
page two.html cells Configuration >configuration.txt
grep -qx -- '--method	clip	declip' configuration.txt; ok $? 'and their options stand side by side'
mv train.tar moved.tar
run 0 'shards that are gone' "$report" --test none.tar -o gone.html 'a run'
said '^report.sh: a run could not be scored: .*none.tar' 'says so'
whole gone.html 'a page'
said '^missing: The batches cannot be made again: .*train.tar: No such file' 'that says why there are no views'
said '^missing: a run could not be scored: .*none.tar' 'and no scores'
mkdir bare && cp clip/log.tsv bare && printf 'what\tvalue\nR@1 <5>\t0.5\n' >bare/scores.tsv
run 0 'a directory with a log only' "$report" bare
whole bare/report.html 'a page'
grep -q 'bare has no checkpoint' bare/report.html; ok $? 'that says what is missing'
page bare/report.html cells Scores >scores.txt
grep -qx 'R@1 <5>	0.5' scores.txt; ok $? 'and shows its scores.tsv'
head -n 1 clip/log.tsv >bare/log.tsv
run 0 'a log without rows' "$report" bare
whole bare/report.html 'a page'
said '^missing: bare has no step in its log yet' 'that says so'
done_testing
