#!/bin/sh
# SPDX-License-Identifier: MIT
# The methods beside CLIP and DeCLIP: each trains, its losses fall, it goes on from a checkpoint with the same bytes; and
# every recipe gives a pipeline.
. "${0%/*}/lib.sh"
train=$top/pipelines/train.sh
DC_SHM_DIR=$tmp/tmpfs; export DC_SHM_DIR
mkdir "$DC_SHM_DIR"
cat >arch.json <<'END'
{"embed_dim": 32, "quick_gelu": true,
 "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 20, "vocab_size": 600, "width": 64, "heads": 1, "layers": 2}}
END
{
	dc-scenes --out scenes --train 96 --test 24 --zero-shot 24 --shard 48 --size 64 &&
	dc-decode --keep-encoded --captions all --tail short scenes/train-000.tar | dc-vocab --merges 60 --out vocab.gz
} >out 2>err
ok $? 'shards and a vocabulary'
data="--data $tmp/scenes/train-{000..001}.tar"
options="--arch arch.json --vocab vocab.gz --batch 16 --queue 64 --nns-after 32 --threads 2 --lr 1e-3 --warmup 4"

begin() { # begin METHOD AS RUN
	# shellcheck disable=SC2086
	dc-init --arch arch.json --method "$1" --as "$2" --vocab vocab.gz --queue 64 --nns-after 32 --simsiam-width 32 --simsiam-hidden 16 \
		--simclr-hidden 64 --simclr-width 16 --filip-width 16 --out "$3"
}
column() { awk -F '\t' -v c="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == c) k = i; next } k { print $k }' "$1/log.tsv"; }
falls() { # falls RUN TERM: its mean over the first eight steps and the last eight
	column "$1" "$2" | awk '{ v[NR] = $1 } END {
		for (i = 1; i <= 8; i++) { a += v[i] / 8; b += v[NR - 8 + i] / 8 }
		print "# from " a " to " b; exit !(NR >= 16 && b < a) }'
}
trained() { # trained RUN METHOD AS
	eda=; [ "$2" != defilip ] || eda='--eda swap,delete' # the only one with a second caption view
	# shellcheck disable=SC2086
	timeout 100 "$train" -q --run "$1" --method "$2" --as "$3" $data $options $eda --steps 32 --save-every 16 >out 2>err </dev/null
}

for method in slip filip defilip siglip; do
	as=paper; [ "$method" != defilip ] || as=released # with FILIP's selection and masked words
	begin "$method" "$as" "$method"
	trained "$method" "$method" "$as"; ok $? "$method, $as: 32 steps"
	case $method in slip) term=simclr ;; siglip) term=siglip ;; *) term=filip ;; esac
	falls "$method" total >out; ok $? "$method: the total falls"; cat out
	[ "$(column "$method" "$term" | wc -l)" = 32 ]; ok $? "$method: a column $term"
	# as if it had been killed after step 16
	cp -r "$method" "$method-again"
	rm -rf "$method-again/step-00000032" "$method-again/latest" && ln -s step-00000016 "$method-again/latest"
	trained "$method-again" "$method" "$as"; ok $? "$method: continued from step 16"
	check "$method: every file of the last checkpoint is the same" diff -r "$method/step-00000032" "$method-again/step-00000032"
done
check 'SigLIP has learned its bias' sh -c "! cmp -s siglip/step-00000000/open_clip_model.safetensors siglip/step-00000032/open_clip_model.safetensors &&
	grep -q init_logit_bias siglip/latest/open_clip_config.json"

# --- FILIP's own similarity ---
score() { "$top/pipelines/score.sh" --tsv "$@"; }
test=scenes/test-000.tar
encode() { # encode RUN OPTION...
	d=$1; shift
	dc-decode --captions all --tail short "$test" | dc-augment --recipe eval --model "$d" | dc-tokenize --model "$d" --mlm 0 | dc-encode --model "$d" "$@"
}
encode filip --tokens >filip.dcs 2>err; ok $? 'features with tokens'
dc-recall --tsv --similarity tokens <filip.dcs >tokens.tsv 2>err; ok $? 'scored token by token'
dc-recall --tsv <filip.dcs >features.tsv 2>err; ok $? 'and as features'
encode filip 2>warned | dc-recall --tsv | cmp - features.tsv >err 2>&1; ok $? 'which --tokens leaves as they are'
check 'but nothing trained them, which is said once' sh -c '[ "$(grep -c "nothing trained its features of whole images and captions" warned)" = 1 ] && [ "$(wc -l <warned)" = 1 ]'
score recall filip "$test" >out 2>err; cmp out tokens.tsv >>err 2>&1; ok $? 'score.sh scores a run of FILIP by tokens'
score --similarity features recall filip "$test" >out 2>err; cmp out features.tsv >>err 2>&1; ok $? 'or as it is told'
run 0 'dc-npy of tokens' sh -c 'dc-npy filip.npy <filip.dcs'
check 'says once that they are left out' sh -c 'dc-npy filip.npy <filip.dcs 2>&1 | grep -c . | grep -qx 1'
run 0 'dc-pick of tokens' sh -c 'dc-pick filip.dcs >picked.dcs'
said '^dc-pick: the tokens of --tokens are left out$' 'says it too'
run 0 'a report of FILIP' "$top/pipelines/report.sh" --test "$test" -o - filip
said 'FILIP compares token by token' 'shows no neighbours by features that nothing trained'
mkdir photos && tar -xf "$test" -C photos && rm photos/*.txt
run 1 'photos and captions by a run of FILIP' "$top/pipelines/classify.sh" filip photos 'a red circle'
said '^classify.sh: filip was trained by the method filip, which makes no features' 'are not compared'
run 1 'nor found' "$top/pipelines/search.sh" filip photos 'a red circle'
said '^search.sh: filip was trained by the method filip' 'which is said'
run 1 'nor by its newest checkpoint' "$top/pipelines/classify.sh" filip/latest photos 'a red circle'
run 1 'in either' "$top/pipelines/search.sh" filip/latest/ photos 'a red circle'
said '^search.sh: filip/latest/ was trained by the method filip' 'which is said, too'
encode defilip | dc-recall --tsv >features.tsv 2>err
score recall defilip "$test" >out 2>err; cmp out features.tsv >>err 2>&1; ok $? 'one of DeFILIP by features'
encode defilip --tokens | dc-recall --tsv --similarity tokens >tokens.tsv 2>err
score --similarity tokens recall defilip "$test" >out 2>err; cmp out tokens.tsv >>err 2>&1; ok $? 'or by tokens'
"$top/pipelines/val.sh" --model filip --val "$test" >row 2>err; ok $? 'val.sh'
[ "$(awk -F '\t' 'NR == 2 { print $3 }' row)" = "$(score recall filip "$test" | awk -F '\t' '$1 == "i2t_R@1" { print $2 }')" ]; ok $? 'with the scores of score.sh'
zeroshot="scenes/shapes.txt scenes/test-shape-000.tar"
# shellcheck disable=SC2086
score zeroshot filip $zeroshot >out 2>err; ok $? 'zero-shot by tokens'
dc-zeroshot --names scenes/shapes.txt --write-prompts | dc-tokenize --model filip --lines - | dc-encode --model filip --tokens >classes.dcs 2>err
dc-decode --caption none --tail short scenes/test-shape-000.tar | dc-augment --recipe eval --model filip | dc-encode --model filip --tokens |
	dc-zeroshot --tsv --similarity tokens --names scenes/shapes.txt --classes classes.dcs >steps.tsv 2>err
cmp out steps.tsv >>err 2>&1; ok $? 'as step by step'
run 1 'tokens of a model without FILIP' sh -c 'dc-encode --model siglip --tokens </dev/null'
said '^dc-encode: siglip: has no heads of FILIP' 'are refused'
encode siglip >plain.dcs 2>err
run 1 'no tokens in the stream' sh -c 'dc-recall --similarity tokens <plain.dcs'
said 'no tokens of images: it has no filip_image .dc-encode --tokens makes them' 'is said'
PYTHON=; for p in ${DC_PYTHON:-} /usr/bin/python3 python3; do
	[ -n "$PYTHON" ] || ! "$p" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null || PYTHON=$p
done
for d in filip defilip; do
	if [ -n "$PYTHON" ]; then
		check "$d: the tokens are those of the ring" "$PYTHON" "$top/tests/reference/check_tokens_of.py" "$d"
	else
		skip 'no Python with numpy, msgpack, msgpack_numpy, xxhash' "$d: the tokens are those of the ring"
	fi
done
# heads of the family under the names of others, and back
for d in filip defilip slip; do
	check "$d: exported" dc-export --out "$d.own" "$d"
	check "$d: with its heads" cmp "$d/latest/heads/declip.safetensors" "$d.own/heads/declip.safetensors"
done
run 1 'SLIP under the released names' dc-export --to declip --out slip.declip slip
said "it has SLIP's head, for which declip has no place" 'is refused, not cut'
for d in filip defilip; do
	check "$d: to the released names, and back" sh -c 'dc-export --to declip --out "$0.declip" "$0" && dc-export --out "$0.back" "$0.declip"' "$d"
done
check 'DeFILIP: the same heads' cmp defilip.own/heads/declip.safetensors defilip.back/heads/declip.safetensors
encode filip.own --tokens | dc-recall --tsv --similarity tokens >own.tsv 2>err
score recall filip "$test" | cmp - own.tsv >>err 2>&1; ok $? 'FILIP: a directory scores as its run'

# --- recipes ---
for file in "$top"/pipelines/recipes/*.conf; do
	name=${file##*/} name=${name%.conf}
	check "$name: every line says where it is from" awk '!/^#/ && !/^--[a-z-]+ .*# ./ { print; bad = 1 } END { exit bad }' "$file"
	arch=$(sed -n 's/^--arch \([^ ]*\).*/\1/p' "$file")
	if [ ! -f "$top/pipelines/arch/$arch.json" ]; then skip "no architecture $arch" "$name: a pipeline"; continue; fi
	# shellcheck disable=SC2086
	run 0 "$name: -n prints a pipeline" "$train" --recipe "$name" -n --run r $data --vocab vocab.gz
	method=$(sed -n 's/^--method \([^ ]*\).*/\1/p' "$file")
	for tool in dc-decode dc-augment dc-tokenize dc-encode dc-loss dc-step; do grep -q "^ *$tool " out || echo "no $tool" >>err; done
	grep -q "dc-init .*--method $method .*--as released" out || echo 'another method' >>err
	sed -i '/an epoch has only/d' err   # the recipe's batch is larger than this data set
	[ ! -s err ]; ok $? "$name: all of it"
done
# shellcheck disable=SC2086
run 0 'what is given counts more than the recipe' "$train" --recipe yfcc15m-vit-slip -n --run r $data --vocab vocab.gz --arch ./arch.json --epochs 2 --lr 0.25 --warmup 1
said ' --epochs 2 .*' 'epochs for steps'
said 'dc-step .*--lr 0.25 ' 'and another rate'
said 'dc-augment --recipe slip ' 'the views are the recipe'"'"'s'
# shellcheck disable=SC2086
run 2 'a run shorter than its recipe'"'"'s warm-up' "$train" --recipe yfcc15m-vit-slip --run r $data --vocab vocab.gz --arch ./arch.json --steps 2
said 'the warm-up of 2500 steps is longer than the run of 2: give --warmup' 'is told so'
[ ! -e r ]; ok $? 'before anything is made'
# shellcheck disable=SC2086
run 2 'an unknown recipe' "$train" --recipe nothing -n --run r $data
said 'yfcc15m-vit-clip' 'is told which there are'
printf -- '--method slip # a comment\n\n--lr "0.5"\n--no-such 1\n' >bad.conf
# shellcheck disable=SC2086
run 1 'an option that there is not' "$train" --recipe ./bad.conf -n --run r $data
said 'bad.conf: unknown option --no-such' 'is named'
done_testing
