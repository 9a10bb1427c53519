#!/bin/sh
# SPDX-License-Identifier: MIT
# pipelines/examples/torch_dataset.py: the tensors of PyTorch's own path, resumed, shared, and when a tool fails.
. "${0%/*}/lib.sh"
export PYTHONDONTWRITEBYTECODE=1
[ -n "${DC_TORCH_PYTHON:-}" ] || skip_all 'DC_TORCH_PYTHON is not set'
"$DC_TORCH_PYTHON" -c 'import torch' 2>/dev/null || skip_all 'no torch in DC_TORCH_PYTHON'
py() { "$DC_TORCH_PYTHON" "$top/tests/reference/check_torch.py" "$@"; }
has() { (cd "$top/tests/reference" && "$DC_TORCH_PYTHON" -c "import stubs, $1" 2>/dev/null); }
dc-scenes --out . --train 40 --test 20 --zero-shot 0 --size 48 >out 2>err &&
    dc-decode -k --captions all --tail short train-000.tar | dc-vocab --merges 60 --out vocab.gz 2>>err || exit 99

[ "$(wc -l <"$top/pipelines/examples/torch_dataset.py")" -lt 100 ]; ok $? 'under 100 lines'
check 'resumed by batch number, in 0, 1 and 3 workers' py resume vocab.gz train-000.tar test-000.tar
check 'two ranks' py ranks vocab.gz train-000.tar
check 'a tool that fails is named, and none is left' py fails vocab.gz train-000.tar

clip=$DATA/clip/bpe_simple_vocab_16e6.txt.gz
if [ ! -f "$clip" ]; then
	skip 'no vocabulary of CLIP' "the tensors of Pillow, torchvision and open_clip"
elif ! has 'open_clip, PIL'; then
	skip 'no open_clip' "the tensors of Pillow, torchvision and open_clip"
else
	check 'bit for bit the tensors of Pillow, torchvision and open_clip: scenes' py tensors "$clip" 32 77 train-000.tar
	if [ -f "$DATA/flickr8k/dev-000.tar" ]; then
		check 'and Flickr8k' py tensors "$clip" 64 77 "$DATA/flickr8k/dev-000.tar"
	else
		skip 'no Flickr8k' 'and Flickr8k'
	fi
	cat >arch.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 1}}
END
	train() { # train DATA START STEPS
		PYTHONPATH=$top/tests/reference OMP_NUM_THREADS=1 "$DC_TORCH_PYTHON" -c 'import stubs, sys, runpy; sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rsplit("/", 1)[0]); runpy.run_path(sys.argv[0], run_name="__main__")' \
		    "$top/pipelines/examples/open_clip_train.py" --arch arch.json --vocab "$clip" --batch 8 --steps 4 --data "$1" train-000.tar
	}
	train dc >dc.tsv 2>err; ok $? 'open_clip_train.py on dc'
	train python >python.tsv 2>err; ok $? 'and on Pillow, torchvision and open_clip'
	[ "$(wc -l <dc.tsv)" = 4 ] && cmp dc.tsv python.tsv >err 2>&1; ok $? 'every loss is the same'
fi
done_testing
