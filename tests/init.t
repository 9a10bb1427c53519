#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-init: what it writes, how it draws, how it starts from another model, and what it refuses.
. "${0%/*}/lib.sh"
need_python
torch=${DC_TORCH_PYTHON:-python3}
cat >tiny.json <<'END'
{"embed_dim": 8, "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
 "text_cfg": {"context_length": 8, "vocab_size": 600, "width": 16, "heads": 2, "layers": 1}}
END
small="--queue 10 --simsiam-width 8 --simsiam-hidden 4"
meta() { dc-step --run "$1" --print config >config; }

# usage
run 2 'neither --arch nor --from'  dc-init --out x
run 2 'neither --out nor --model'  dc-init --arch tiny.json
run 2 'an operand'                 dc-init --arch tiny.json --out x y
run 2 'a method nobody knows'      dc-init --arch tiny.json --out x --method simclr
run 1 'an unknown architecture'    dc-init --arch vit-z --out x
said 'no such architecture'        'is named'
run 2 'a term nobody knows'        dc-init --arch tiny.json --out x --weights clip=1,foo=2
run 2 'a weight that is no number' dc-init --arch tiny.json --out x --weights clip=abc
run 2 'a negative weight'          dc-init --arch tiny.json --out x --weights clip=-1
run 2 'weights that leave clip less than nothing' dc-init --arch tiny.json --out x --weights mvs=0.9
run 2 'a freeze list'              dc-init --arch tiny.json --out x --freeze conv2
run 2 'limits the wrong way round' dc-init --arch tiny.json --out x --logit-scale 6,3
echo '{"embed_dim": 8' >bad.json
run 1 'a broken architecture'      dc-init --arch ./bad.json --out x
echo '{"embed_dim": 8, "vision_cfg": {"layers": [3, 4, 6], "image_size": 64, "width": 64}, "text_cfg": {}}' >bad.json
run 1 'a ResNet of three layers'   dc-init --arch ./bad.json --out x
said 'list of four'                'is named'
check 'nothing was written'        test ! -e x

# a run
run 0 'begins a run' dc-init --arch tiny.json $small --seed 1 --out a
[ ! -s err ] && [ ! -s out ]; ok $? 'silently'
check 'with all its files' test -f a/latest/open_clip_model.safetensors -a -f a/latest/open_clip_config.json \
	-a -f a/latest/heads/declip.safetensors -a -f a/latest/state.safetensors -a "$(readlink a/latest)" = step-00000000
run 0 'at position 0' dc-step --run a --print position
run 1 'not twice in one place' dc-init --arch tiny.json $small --out a
dc-init --arch tiny.json $small --seed 1 --out b
check 'the same seed gives the same bytes' diff -r a b
OMP_NUM_THREADS=1 dc-init --arch tiny.json $small --seed 1 --out b1
check 'with one thread too' diff -r a b1
dc-init --arch tiny.json $small --seed 2 --out c
check 'another seed another model' test "$(cmp a/latest/open_clip_model.safetensors c/latest/open_clip_model.safetensors | wc -l)" = 1
dc-init --arch tiny.json --method clip --seed 1 --out d
check 'a method changes nothing in the towers' cmp a/latest/open_clip_model.safetensors d/latest/open_clip_model.safetensors
check 'clip has no heads' test ! -e d/latest/heads
meta a
check 'weights of the paper'    grep -q '"weights":{"clip":0.4[0-9]*,"mlm":0.2[0-9]*,"mvs":0.2[0-9]*,"nns":0.2[0-9]*,"simsiam":0.2[0-9]*}' config
check 'its own freeze'          grep -q '"freeze":"conv1"' config
dc-init --arch tiny.json $small --weights nns=0,mlm=0,simsiam=0 --freeze none --out e
meta e
check 'terms left out give their weight to clip' grep -q '"clip":0.[78][09]*[0-9],"mlm":0.0,"mvs":0.2' config
check 'and nothing is frozen'   grep -q '"freeze":"none"' config
check 'no heads where no term has one' test ! -e e/latest/heads
dc-init --arch tiny.json $small --as released --seed 1 --out f
meta f
check 'weights of the released code' grep -q '"clip":0.\(1\|09\)[0-9]*,"mlm":0.2' config

# how it draws
dc-init --arch vit-s64-p16 --queue 100 --model paper
dc-init --arch vit-s64-p16 --queue 100 --as released --model released
check "parameters are OpenAI's in distribution"    "$PYTHON" "$top/tests/reference/check_init.py" paper
check "with --as released the image tower's are the text tower's" "$PYTHON" "$top/tests/reference/check_init.py" released released
dc-init --arch vit-s64-p16 --queue 100 --init released --model mixed
check 'so they are with --init released' "$PYTHON" "$top/tests/reference/check_init.py" mixed released
"$PYTHON" - >out 2>err <<END
import sys
sys.path.insert(0, "$top/tests/reference")
import numpy as np
from compare import load
t, m = load("released/state.safetensors")
q = t["nn_queue"]
assert m["nn_valid"] == "100" and np.allclose((q ** 2).sum(1), 1, atol=1e-5) and abs(q.mean()) < 0.01, m
t, m = load("paper/state.safetensors")
assert m["nn_valid"] == "0" and not t["nn_queue"].any(), m
assert set(t["simsiam.projector.0.bn.running_var"]) == {1} and not t["simsiam.projector.0.bn.running_mean"].any()
assert [m[k] for k in ("step", "position", "nn_head")] == ["0"] * 3 and "openblas" not in m
h = open("paper/open_clip_model.safetensors", "rb").read(8)
assert (int.from_bytes(h, "little") + 8) % 64 == 0
END
ok $? 'the released queue is full of unit vectors, the other empty; the state is at its beginning'
code=0; "$torch" "$top/tests/reference/check_init.py" --open-clip paper >out 2>err || code=$?
if [ "$code" -eq 77 ] || [ "$code" -eq 127 ]; then skip 'no open_clip' 'open_clip takes the model, strictly'
else ok "$code" 'open_clip takes the model, strictly'; fi

# vocabulary
printf '#version: 0.2\na b</w>\nc d\ncd e</w>\n' | gzip -n >bpe.txt.gz
run 0 'with a vocabulary' dc-init --arch tiny.json $small --vocab bpe.txt.gz --model v -v
said 'vocabulary has 517 ids; the architecture.s 600 is replaced' 'whose size the model takes'
check 'and which lies beside it' cmp bpe.txt.gz v/bpe.txt.gz
check 'its size is in the config' grep -q '"vocab_size": 517' v/open_clip_config.json
run 1 'no such vocabulary' dc-init --arch tiny.json $small --vocab absent --model v2

# from another model
run 0 'from a model' dc-init --from v $small --seed 9 --out w -v
check 'its towers' cmp v/open_clip_model.safetensors w/latest/open_clip_model.safetensors
check 'its heads'  cmp v/heads/declip.safetensors w/latest/heads/declip.safetensors
check 'its vocabulary' cmp v/bpe.txt.gz w/latest/bpe.txt.gz
rm -r v/heads v/state.safetensors
run 0 'from towers alone' dc-init --from v $small --seed 9 --out x -v
said 'heads/declip.safetensors: not there: all new' 'says that the heads are new'
check 'its towers again' cmp v/open_clip_model.safetensors x/latest/open_clip_model.safetensors
mkdir cache snapshot; cp v/open_clip_model.safetensors cache/0123; cp v/*.json v/bpe.txt.gz snapshot
ln -s ../cache/0123 snapshot/open_clip_model.safetensors
run 0 'from a directory of links, as in a cache' dc-init --from snapshot $small --out xx
run 0 'from a run that has only clip, adding heads' dc-init --from d $small --seed 9 --out y
check 'which are there' test -f y/latest/heads/declip.safetensors
run 0 'and back' dc-init --from y --method clip --out z
check 'without them' cmp d/latest/open_clip_model.safetensors z/latest/open_clip_model.safetensors
run 0 'the architecture may be said again' dc-init --from a --arch tiny.json $small --out aa
run 1 'another is an error'        dc-init --from a --arch vit-s64-p16 --out ab
run 1 'another vocabulary is'      dc-init --from a --vocab bpe.txt.gz $small --out ab
said '517 ids, but the model'      'and says so'
run 1 'heads of another width are' dc-init --from w --queue 10 --simsiam-width 16 --out ab
said 'simsiam.projector.0.weight'  'and named'
run 1 'no such model'              dc-init --from absent --out ab

damage() { # damage PYTHON: the tensors t of the towers, changed, in the model directory dam
	rm -rf dam; cp -r v dam
	"$PYTHON" - "$1" >out 2>err <<END
import json, struct, sys
sys.path.insert(0, "$top/tests/reference")
import numpy as np
from compare import load
t, m = load("v/open_clip_model.safetensors")
exec(sys.argv[1])
at, head = 0, {}
for k, x in t.items():
    head[k] = {"dtype": {4: "F32", 8: "F64"}[x.itemsize], "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
    at += x.nbytes
h = json.dumps(head).encode()
open("dam/open_clip_model.safetensors", "wb").write(struct.pack("<Q", len(h)) + h + b"".join(x.tobytes() for x in t.values()))
END
}
damage 'pass'
run 0 'a file with its header unpadded is read too' dc-init --from dam $small --out ac
damage 'del t["visual.proj"]'
run 1 'a missing tensor'   dc-init --from dam $small --out ad
said 'visual.proj is missing' 'is named'
damage 't["visual.attnpool"] = t["visual.proj"]'
run 1 'one too many'       dc-init --from dam $small --out ad
said 'visual.attnpool'     'is named'
damage 't["visual.proj"] = t["visual.proj"].T'
run 1 'a wrong shape'      dc-init --from dam $small --out ad
said 'visual.proj has shape \[8,16\], the config asks for \[16,8\]' 'is named'
damage 't["visual.proj"] = t["visual.proj"].astype("f8")'
run 1 'a wrong type'       dc-init --from dam $small --out ad
said 'visual.proj is f64'  'is named'
check 'nothing was written' test ! -e ad/latest

# --dry-run, and failing to write
run 0 'an estimate' dc-init --arch vit-b-32 --dry-run --batch 256
said '^parameters 180 million' 'of the parameters'
for a in vit-b-16 vit-s64-p8; do
	run 0 "there is $a" dc-init --arch $a -n
done
mkdir ro; : >ro/step-00000000.txt
run 1 'an --out that is a file' dc-init --arch tiny.json $small --out bad.json
run 1 'a --model without a parent' dc-init --arch tiny.json $small --model no/such/dir
done_testing
