#!/bin/sh
# SPDX-License-Identifier: MIT
# A ResNet as image tower: trains, goes on in the same bytes, is encoded by its running statistics, travels as a file.
. "${0%/*}/lib.sh"
export OMP_NUM_THREADS=2
DC_SHM_DIR=$tmp/tmpfs; export DC_SHM_DIR
mkdir "$DC_SHM_DIR"
cat >arch.json <<'END'
{"embed_dim": 24, "vision_cfg": {"image_size": 32, "layers": [1, 2, 1, 1], "width": 4, "patch_size": null, "head_width": 32},
 "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 64, "heads": 1, "layers": 1}}
END
{
	dc-scenes --out scenes --train 24 --test 1 --zero-shot 1 --shard 24 --size 32 &&
	dc-decode --keep-encoded --captions all --tail short scenes/train-000.tar | dc-vocab --merges 60 --out vocab.gz &&
	dc-init --arch arch.json --vocab vocab.gz --queue 40 --nns-after 16 --simsiam-width 32 --simsiam-hidden 16 --out whole &&
	dc-init --arch arch.json --vocab vocab.gz --method clip --freeze bn --out fixed
} >out 2>err
ok $? 'models to begin with'
check 'as open_clip writes a ResNet' grep -q '"patch_size": null' whole/latest/open_clip_config.json

ring() { # ring RUN OPTION...
	d=$1; shift
	timeout -s KILL 300 "$top/pipelines/train.sh" --run "$d" --data "$tmp/scenes/train-000.tar" --vocab vocab.gz --arch arch.json \
		--batch 8 --shuffle 24 --threads 2 --warmup 2 --lr 2e-3 "$@" >rows 2>err </dev/null
}
ring whole --queue 40 --nns-after 16 --steps 6 --save-every 3 --method declip; ok $? 'DeCLIP: six steps'
cp -r whole again
rm -rf again/step-00000006 again/latest
ln -s step-00000003 again/latest
ring again --queue 40 --nns-after 16 --steps 6 --save-every 3 --method declip; ok $? 'and from the third on again'
check 'every byte is the same' diff -r whole/step-00000006 again/step-00000006

f=open_clip_model.safetensors
number() { # number RUN STEP TENSOR: bytes of a tensor, in hexadecimal
	# shellcheck disable=SC2016
	/usr/bin/python3 -c 'import json,struct,sys
f = open(sys.argv[1], "rb"); n, = struct.unpack("<Q", f.read(8)); t = json.loads(f.read(n))[sys.argv[2]]
f.seek(8 + n + t["data_offsets"][0]); print(t["dtype"], f.read(t["data_offsets"][1] - t["data_offsets"][0]).hex())' "$1/$2/$f" "$3"
}
[ "$(number whole step-00000003 visual.bn1.num_batches_tracked)" = 'I64 0600000000000000' ] &&
	[ "$(number whole step-00000006 visual.layer2.1.bn2.num_batches_tracked)" = 'I64 0c00000000000000' ]
ok $? 'two views a step are counted in whole numbers'
[ "$(number whole step-00000003 visual.bn1.running_var)" != "$(number whole step-00000006 visual.bn1.running_var)" ]
ok $? 'running statistics move'
ring fixed --method clip --freeze bn --steps 3 --save-every 3; ok $? '--freeze bn: three steps'
[ "$(number fixed step-00000000 visual.bn1.running_var)" = "$(number fixed step-00000003 visual.bn1.running_var)" ] &&
	[ "$(number fixed step-00000000 visual.bn1.weight)" != "$(number fixed step-00000003 visual.bn1.weight)" ]
ok $? 'they stay, and the weights move'

# over how many images it is normalised is the run's choice, and recorded
begin() { dc-init --arch arch.json --vocab vocab.gz --method clip --seed 3 "$@"; }
begin --out as-it-comes && begin --part 8 --out eight && begin --part 3 --out three && ring as-it-comes --method clip --steps 2 --seed 3 &&
	ring eight --method clip --steps 2 --seed 3 --part 8 && ring three --method clip --steps 2 --seed 3 --part 3; ok $? '--part: three runs'
check 'a whole batch, as it comes' cmp "as-it-comes/latest/$f" "eight/latest/$f"
[ "$(number eight latest visual.bn1.running_mean)" != "$(number three latest visual.bn1.running_mean)" ] &&
	[ "$(number eight latest visual.bn1.num_batches_tracked)" = 'I64 0200000000000000' ] &&
	[ "$(number three latest visual.bn1.num_batches_tracked)" = 'I64 0600000000000000' ]
ok $? 'and three, three and two'
check 'is in the configuration' grep -q 'part[^a-z]*:3' three/latest/state.safetensors
run 2 'no ResNet, no part' dc-init --arch vit-s64-p16 --part 8 --out none
said '--part: the image tower is no ResNet' 'is said'

# encoded alone: by the running statistics, so who else is in the batch says nothing
dc-decode --batch 24 --tail short --captions first scenes/train-000.tar 2>err | dc-augment --recipe eval --model whole 2>>err >views.dcs
dc-encode --model whole --only images <views.dcs >a.dcs 2>>err; ok $? 'encodes'
run 0 'is written as one file' dc-export --to openai --out bare.safetensors whole
run 0 'and read again' dc-export --to openclip --out back bare.safetensors
check 'with the same towers' cmp "whole/latest/$f" "back/$f"
dc-encode --model bare.safetensors --only images <views.dcs >b.dcs 2>err; ok $? 'which encodes'
check 'the same' cmp a.dcs b.dcs
run 1 'Hugging Face has no such model' dc-export --to hf --out hf whole
said 'a ResNet, for which hf has no place' 'is said'
done_testing
