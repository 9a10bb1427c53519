#!/bin/sh
# SPDX-License-Identifier: MIT
# Data from anywhere: features that Python wrote, captions that jq joined, shards as img2dataset leaves them.
. "${0%/*}/lib.sh"
examples=$top/pipelines/examples
dc-scenes --out . --train 40 --test 0 --zero-shot 0 --size 32 >out 2>err || exit 99
mkdir tree && tar -xf train-000.tar -C tree || exit 99

# --- features ---
for p in ${DC_PYTHON:-} /usr/bin/python3 python3 ''; do
	[ -z "$p" ] || ! "$p" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null || break
done
if [ -n "$p" ]; then
	"$p" -c 'import numpy as np
r = np.random.default_rng(1); x = r.normal(size=(30, 16))
np.save("images.npy", x); np.save("texts.npy", np.repeat(x, 5, 0) + r.normal(size=(150, 16)) * 0.01)' 2>err; ok $? 'features of another model'
	run 0 'write_features.py' sh -c '"$0" "$1" images.npy texts.npy >features.dcs' "$p" "$examples/write_features.py"
	check 'a whole stream' dc-peek --check features.dcs
	run 0 'dc-recall scores it' sh -c 'dc-recall <features.dcs'
	said '100' 'every caption finds its image'
	[ "$(grep -c . "$examples/write_features.py")" -le 28 ]; ok $? 'some twenty lines'
else
	skip 'no Python with numpy, msgpack, msgpack_numpy, xxhash' 'write_features.py'
fi

# --- jq ---
cat >coco.json <<'END'
{"images": [{"id": 7, "file_name": "000003.jpg"}, {"id": 9, "file_name": "000001.jpg"}, {"id": 11, "file_name": "000002.jpg"}],
 "annotations": [{"image_id": 9, "caption": "a \"quoted\" one"}, {"image_id": 7, "caption": "drei"}, {"image_id": 9, "caption": "eins"},
  {"image_id": 11, "caption": "two"}]}
END
if command -v jq >/dev/null; then
	run 0 'captions_by_jq.sh' "$examples/captions_by_jq.sh" coco.json tree coco -n 2
	[ "$(tar -xOf coco/data-000000.tar 000001.json)" = '{"captions": ["a \"quoted\" one", "eins"]}' ]; ok $? 'the captions of an image come together'
	run 0 'and are read' sh -c 'dc-decode --captions all --caption json:captions,txt coco/data-00000?.tar | dc-peek --text'
	said 'caption  *4 strings' 'all'
else
	skip 'no jq' 'captions_by_jq.sh'
fi

# --- the data stages on another machine, which is this one ---
cat >small.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
END
# shellcheck disable=SC2016
printf '#!/bin/sh\necho "$1" >asked; shift; exec sh -c "$*"\n' >sshme && chmod +x sshme
set -- --data train-000.tar --arch ./small.json --batch 8 --merges 60 --steps 3 --warmup 1 --threads 1
run 0 'train.sh' "$top/pipelines/train.sh" -q --run here "$@"
run 0 'data_elsewhere.sh' env SSH="$tmp/sshme" "$examples/data_elsewhere.sh" far --run there "$@"
check 'asks that machine' grep -qx far asked
check 'and gives the same model' cmp here/latest/open_clip_model.safetensors there/latest/open_clip_model.safetensors

# --- img2dataset: OUT/00000.tar with KEY.jpg KEY.txt KEY.json, beside each 00000.parquet and 00000_stats.json ---
mkdir i2d
for shard in 0 1; do
	mkdir part
	for i in 0 1 2 3 4 5 6 7 8 9; do
		k=$(printf '%05d%04d' $shard $i) f=tree/0000$(((shard * 10 + i) / 10))$i
		[ "$shard$i" = 13 ] || cp "$f.jpg" "part/$k.jpg" # one that was not downloaded is not in the tar
		[ "$shard$i" = 13 ] || cp "$f.txt" "part/$k.txt"
		[ "$shard$i" = 13 ] || printf '{"caption": "%s", "url": "https://example.org/%d.jpg", "key": "%s", "status": "success", "error_message": null, "width": 32, "height": 32, "original_width": 64, "original_height": 64, "exif": "{}", "sha256": "00"}' \
		    "$(cat "$f.txt")" "$i" "$k" >"part/$k.json"
	done
	(cd part && tar -cf "../i2d/0000$shard.tar" --format=gnu --owner=root --mode=0444 ./*); rm -r part
	printf 'PAR1\000\001not for us PAR1' >"i2d/0000$shard.parquet"
	printf '{"count": 10, "successes": 10, "failed_to_download": 0, "failed_to_resize": 0}' >"i2d/0000${shard}_stats.json"
done
run 0 'img2dataset: counted' dc-decode --count 'i2d/{00000..00001}.tar'
said '^19$' 'its images'
run 0 'read as it is' sh -c 'dc-decode --rejects i2d.tsv --tail short "i2d/{00000..00001}.tar" >i2d.dcs'
check 'a whole stream' dc-peek --check i2d.dcs
[ ! -s err ] && [ "$(wc -l <i2d.tsv)" = 1 ]; ok $? 'nothing is refused'
run 0 'captions from its JSON' sh -c 'dc-decode --caption json:caption --tail short "i2d/{00000..00001}.tar" >json.dcs'
check 'are those of its texts' cmp i2d.dcs json.dcs
run 0 'its folder, with all that lies there, as other shards' sh -c 'dc-decode -k "i2d/{00000..00001}.tar" | dc-shard -n 5 --split 0.7,0.3 -o smaller -'
run 0 'mixed with another' sh -c 'dc-mix --steps 4 --batch 8 "i2d=1:i2d/{00000..00001}.tar" "scenes=1:train-000.tar" | dc-peek --check'
done_testing
