#!/bin/sh
# SPDX-License-Identifier: MIT
# ablation.mk: interrupted it continues, finished it does nothing, a changed experiment is run again and no other; its tables.
. "${0%/*}/lib.sh"
command -v make >/dev/null || skip_all 'no make'
cat >arch.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
END
dc-scenes --out scenes --train 40 --test 12 --zero-shot 1 --shard 20 --size 24 >out 2>err
ok $? 'scenes'
mkdir conf
echo '--method clip' >conf/clip.conf
printf '# with fewer heads\n--weights clip=0.8,mvs=0.2,simsiam=0,mlm=0,nns=0\n' >conf/mvs.conf
# shellcheck disable=SC2120
ablate() { # ablate ARGUMENT...
	make -f "$top/pipelines/ablation.mk" DATA='scenes/train-{000..001}.tar' TEST=scenes/test-000.tar OUT=out.d ARCH=arch.json METHODS='clip mvs' \
		SEEDS=1 EPOCHS=2 BATCH=8 VAL_EVERY=4 THREADS=1 METHOD_DIR=conf BLUR=0.1,1 OPTIONS='--merges 60 --augment "--flip-p 0"' "$@"
}

run 0 'a dry run' ablate -n
cp out dry
said 'train.sh. -q --run .out.d/runs/clip-s1-[0-9a-f]{10}. .* --method clip' 'prints the runs'
check 'with a blur where there is one' sh -c 'grep -q "augment --flip-p..0..--blur..0.1..1.*val" dry && ! grep "method clip" dry | grep -q blur'
[ ! -e out.d ]; ok $? 'and makes nothing'

# the ring dies in the first run: dc-decode gives six batches and breaks off
mkdir broken && ln -s "$DC_BIN"/* broken/ && rm broken/dc-decode
held=$(dc-decode --batch 8 --seed 1 --epochs 2 'scenes/train-{000..001}.tar' 2>/dev/null | wc -c)
cat >broken/dc-decode <<END
#!/bin/sh
case " \$* " in *' --skip 0 '*) "$DC_BIN/dc-decode" "\$@" | head -c $((held * 6 / 10)) ;; *) exec "$DC_BIN/dc-decode" "\$@" ;; esac
END
chmod +x broken/dc-decode
(DC_BIN=$tmp/broken; export DC_BIN; ablate >out 2>err); [ $? -eq 2 ]; ok $? 'a run that breaks off fails'
check 'after its first checkpoint' test -d out.d/runs/clip-s1-*/step-00000004
[ ! -e out.d/results.tsv ]; ok $? 'and has no result'
run 0 'make again' ablate
said 'train.sh: continuing at batch 4 of 10' 'continues it'
check 'two results' test "$(wc -l <out.d/results.tsv)" -eq 3
check 'of the two methods' test "$(cut -f 1,2 out.d/results.tsv | tr '\t\n' '  ')" = 'method seed clip 1 mvs 1 '
awk -F '\t' 'NR > 1 { print $3, $4, $5, $6, $7, $(NF - 1) }' out.d/results.tsv >rows
while read -r dir checkpoint config steps pairs mean; do
	[ -d "out.d/$dir/$checkpoint" ] && [ "${dir##*-}" = "$config" ] && [ "$steps $pairs" = '10 80' ]
	ok $? "$dir and its checkpoint are there"
	check 'its last validation, on the same images, has the same score' test "$(tail -n 1 "out.d/$dir/val.tsv" | awk '{ print $NF }')" = "$mean"
done <rows
check 'results.md has them' grep -q '^| mvs − clip | 1 | [-+]' out.d/results.md
if command -v gnuplot >/dev/null; then
	check 'a picture' sh -c 'head -c 8 out.d/ablation.png | od -An -c | grep -q "P   N   G"'
else
	skip 'no gnuplot' 'a picture'
fi

touch stamp; sleep 0.05
run 0 'once more' ablate
cp out printed
check 'trains and scores nothing' sh -c '! grep -E "train.sh|val.sh" printed'
check 'and touches no run' test -z "$(find out.d/runs -newer stamp)"

sed -i 's/clip=0.8,mvs=0.2/clip=0.7,mvs=0.3/' conf/mvs.conf
sed -i '1i# a comment' conf/clip.conf
run 0 'with other weights for one method' ablate
cp out printed
said 'train.sh. -q --run .out.d/runs/mvs-s1-' 'that one is trained'
check 'and no other' test "$(grep -c 'train.sh. -q' printed)" -eq 1
check 'the results are of the new one' test "$(sed -n 3p out.d/results.tsv | cut -f 3)" != "$(sed -n 2p rows | cut -d ' ' -f 1)"
check 'the other is as it was' test "$(sed -n 2p out.d/results.tsv | cut -f 3)" = "$(sed -n 1p rows | cut -d ' ' -f 1)"
run 0 'another test set' ablate TEST=scenes/train-000.tar VAL=
cp out printed
check 'is scored, and nothing is trained' test "$(grep -c 'train.sh. -q' printed) $(grep -c 'val.sh. --model' printed)" = '0 2'
run 0 'list' ablate -s list SEEDS='1 2'
cp out printed
check 'says what is finished' test "$(cut -f 2 printed | tr '\n' ' ')" = 'finished finished - - '
run 2 'a method that is not there' ablate METHODS='clip nix'
said "experiment.sh: no method 'nix'" 'is named'
# shellcheck disable=SC2016
mkdir know && printf '#!/bin/sh\necho "  -m, --method declip|kin|clip  what"\n' >know/dc-init && chmod +x know/dc-init
run 0 'one without a file that dc-init knows' env DC_BIN="$tmp/know" ARCH=x BATCH=1 "$top/pipelines/experiment.sh" options kin 1
said '--method kin ' 'is taken'
run 0 'shards in lists and ranges' "$top/pipelines/experiment.sh" data 'scenes/t{rain,est}-{000..000}.tar'
check 'are all found' test "$(cut -d ' ' -f 1 out | xargs)" = 'train-000.tar test-000.tar'
run 2 'a shard that is not there' ablate -n DATA='scenes/train-{000..002}.tar'
said 'train-002.tar: no such shard' 'is named'
run 0 'a dry run before there are shards' ablate -n DATA='later-{000..001}.tar' NOT_YET=1
said 'train.sh.*--data .later-{000..001}.tar' 'says what would be done'
said 'will have other hashes' 'and that names will differ'
run 0 'make ablation -n' make -n -C "$top" ablation SEEDS=1 METHODS=clip
said 'train.sh. -q --run .ablation/runs/clip-s1-' 'too, with the scenes or without'
run 2 'no data' make -f "$top/pipelines/ablation.mk" TEST=x
said 'DATA= is needed' 'is asked for'

# hashes: what decides the bytes counts, what does not does not
name() { env METHOD_DIR=conf ARCH=arch.json BATCH=8 EPOCHS=2 DATA_LIST='a.tar 3' "$@" "$top/pipelines/experiment.sh" name clip 1; }
first=$(name env)
check 'threads and spelling leave the name' test "$(name env OPTIONS='--threads 2   --lr 1' METHOD_OPTIONS='--lr 0.5')" = "$(name env METHOD_OPTIONS='--lr 0.5')"
exif=$(name env OPTIONS='--exif --lr 0.5')
check 'a flag takes no value' test "${exif%-*}" = clip-s1
check 'stands anywhere' test "$exif" = "$(name env OPTIONS='--lr 0.5 --exif')"
check 'and counts' test "$exif" != "$(name env OPTIONS='--lr 0.5')"
for o in "OPTIONS=--lr 1" EPOCHS=3 BATCH=4 'DATA_LIST=a.tar 4' CAPTION=json:x; do check "$o changes it" test "$(name env "$o")" != "$first"; done

# the tables on numbers that can be checked by hand: differences 3, 2, 4: mean 3, s 1, t(0.975, 2) = 4.303
printf 'method\tseed\trun\tcheckpoint\tconfig\tsteps\tpairs\tgflop_per_pair\ttflop\ttrain_s\tr1\tmean\tversion\n' >r.tsv
for row in 'clip 1 0.10 1 10' 'clip 2 0.12 1 10' 'clip 3 0.14 1 10' 'ours 1 0.13 4 40' 'ours 2 0.14 4 40' 'ours 3 0.18 4 40'; do
	echo "$row" | awk -v OFS='\t' '{ print $1, $2, "runs/" $1 $2, "step-1", "x", 5, 100, $4, $5, 7, $3, $3, "v" }' >>r.tsv
done
{
	printf 'method\tseed\trun\tstep\tpairs\ttflop\tr1\tmean\n'
	printf 'clip\t1\tr\t1\t50\t5\t0.05\t0.05\nclip\t1\tr\t2\t100\t10\t0.1\t0.1\n'
	printf 'ours\t1\tr\t1\t20\t8\t0.04\t0.04\nours\t1\tr\t2\t40\t16\t0.08\t0.08\n'
} >c.tsv
run 0 'a table' awk -v methods='clip ours' -v plot=bars -f "$top/pipelines/student.awk" -f "$top/pipelines/results.awk" r.tsv c.tsv
said '^\| clip \| 3 \| 1.000 \| 100 \| 10 \| 7 \| 12.0 ± 5.0 \| 12.0 ± 5.0 \|' 'the mean and its interval'
said '^\| ours − clip \| 3 \| \+3.00 ± 2.48 \| \+3.00 ± 2.48 \|' 'the paired difference'
said '^\| ours − clip \| 1 \| -5.00 \|' 'at equal compute, between two points of the curve'
echo 'BEGIN { n = split("1 2 5 21 30 100 1000", df, " "); for (i = 1; i <= n; i++) printf "%.3f ", quantile(df[i]) }' >t.awk
run 0 'quantiles of t' awk -f "$top/pipelines/student.awk" -f t.awk
said '^12.706 4.303 2.571 2.080 2.042 1.984 1.962 $' 'at any degrees of freedom'

# a short batch is left out of the curves
printf 'step\tclip\tbatch_size\n1\t4\t64\n2\t3.9\t58\n3\t3.7\t20\n4\t3.8\t64\n5\t2\t9\n' >short.tsv
awk -f "$top/pipelines/whole.awk" short.tsv >whole.tsv
check 'curves are of whole batches' test "$(cut -f 1 whole.tsv | tr '\n' ' ')" = 'step 1 2 4 '
cut -f 1,2 short.tsv >old.tsv
check 'of a log that does not say all but the last' sh -c 'awk -f "$0" old.tsv | diff - old.tsv | grep -c "^[<>]" | grep -qx 1' "$top/pipelines/whole.awk"
head -n 2 old.tsv >one.tsv
check 'but what has one row stays' sh -c 'awk -f "$0" one.tsv | cmp - one.tsv' "$top/pipelines/whole.awk"
{ head -n 3 old.tsv; sed -n '4,$p' short.tsv; } >both.tsv
check 'a run that goes on with a newer dc-step' test "$(awk -f "$top/pipelines/whole.awk" both.tsv | cut -f 1 | tr '\n' ' ')" = 'step 1 2 4 '

# windows of a chart are of equal length, the last too: means of 1 to 5 and so on, of 455 steps 1 to 455 in 90 windows
awk 'BEGIN { print "step\ttotal"; for (i = 1; i <= 455; i++) print i "\t" i }' >line.tsv
awk -F '\t' -v col=total -v id=c -v name=t -v ends=ends -f "$top/pipelines/chart.awk" line.tsv >chart.svg 2>err; ok $? 'a chart'
check 'ends with the mean of a whole window' test "$(cut -f 2 ends)" = 452.5
if command -v gnuplot >/dev/null; then
	mkdir logs && cp line.tsv logs/log.tsv && sed -i 's/$/\t0.1\t0.5/; 1s/.*/step\ttotal\tlr\taccuracy/' logs/log.tsv
	run 0 'plot.sh' "$top/pipelines/plot.sh" logs plot.svg
	[ ! -s err ] && [ -s plot.svg ]; ok $? 'is silent'
	head -n 1 logs/log.tsv >short.log && mv short.log logs/log.tsv
	run 1 'before the first step' "$top/pipelines/plot.sh" logs plot.svg
	said '^plot.sh: logs/log.tsv: no steps in it yet' 'it says so'
fi

cat >big.json <<END
{"freeze":"conv1","model":{"model_cfg":{"embed_dim":512,"text_cfg":{"context_length":77,"heads":8,"layers":12,"vocab_size":49408,"width":512},"vision_cfg":{"image_size":224,"layers":12,"patch_size":32,"width":768}}},"queue":65536,"simsiam_hidden":512,"simsiam_width":1024,"weights":{"clip":0.4,"mlm":0.2,"mvs":0.2,"nns":0.2,"simsiam":0.2}}
END
check 'the work of a DeCLIP pair with ViT-B/32: 58 GFLOP' test "$(awk -v tokens=14 -v batch=4096 -f "$top/pipelines/work.awk" big.json | cut -c 1-4)" = 57.9
# dc-encode counts what it does: towers and heads. Which positions MLM masks is chance, so it counts a little differently.
for m in clip declip; do
	run 0 "$m, ten steps" "$top/pipelines/train.sh" -v -q --data 'scenes/train-{000..001}.tar' --run "w-$m" --arch arch.json --merges 60 --batch 32 --method $m \
		--threads 1 --steps 10 --queue 40 --nns-after 16
	dc-step --run "w-$m" --print config >config
	tokens=$(sed -n 's/.* \([0-9.]*\) ids a caption view$/\1/p' err)
	awk -v tokens="$tokens" -v batch=32 -f "$top/pipelines/work.awk" config | tr '\n' ' ' >work
	sed -n 's/^dc-encode: \([0-9.]*\) GFLOP of useful work a step.*/\1/p' err >>work
	awk '{ print "#", $1 * 32, $2; bad = !($1 * 32 > 0.98 * $2 && $1 * 32 < 1.02 * $2) } END { exit bad || NR != 1 }' work; ok $? 'the work is what dc-encode counts, to 2 %'
done

# the whole family, as CLIP-Benchmark has it: methods by encoders
cat >vit.json <<'END'
{"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
END
cat >rn.json <<'END'
{"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 4, "patch_size": null, "head_width": 32},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
END
run 0 'five methods, two encoders' make -s -f "$top/pipelines/ablation.mk" DATA=scenes/train-000.tar TEST=scenes/test-000.tar OUT=fam \
	METHODS='clip slip filip declip defilip' ARCHS='rn.json vit.json' SEEDS=1 EPOCHS=1 BATCH=10 VAL= THREADS=1 BLUR=0.1,1 \
	OPTIONS='--merges 40'
cp out table
check 'one table' sh -c 'sed -n "/^| method/,/^$/p" table | diff - fam/family.md | grep -q "^> Per cent"'
check 'ten results in it' test "$(awk -F ' *[|] *' '/^[|] (clip|slip|filip|declip|defilip) / { for (i = 3; i < NF; i++) if ($i ~ /^[0-9.]+$/) n++; rows++ } END { print rows, n }' fam/family.md)" = '5 70'
done_testing
