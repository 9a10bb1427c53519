#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make install` puts below its prefix works there, without the sources: a run, its scores, a Python filter in the ring.
. "${0%/*}/lib.sh"
unset MAKEFLAGS MAKELEVEL MFLAGS
run 0 'make install' make -s -C "$top" B="$DC_BIN" DESTDIR="$tmp" PREFIX=/opt/dc install-files
root=$tmp/opt/dc share=$tmp/opt/dc/share/dc
PATH=/usr/bin:/bin:$root/bin; export PATH
unset DC_ARCH_DIR
DC_BIN=; unset DC_BIN
check 'every tool is there' sh -c 'for t in "$0"/dc-*.c; do t=${t##*/}; test -x "$1/bin/${t%.c}" || exit; done' "$top/tools" "$root"
cat "$root"/share/man/man?/* >have; cat "$top"/man/*.1 "$top"/man/*.5 "$top"/man/*.7 >want
check 'every page' cmp want have
for s in "$top"/pipelines/*.sh; do check "${s##*/}" cmp "$s" "$share/${s##*/}"; done

cd "$tmp" && mkdir work && cd work || exit 99
dc-scenes --out scenes --train 60 --test 20 --zero-shot 1 --size 24 >out 2>err; ok $? 'shards'
cat >arch.json <<'EOF'
{"embed_dim": 32, "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "width": 64, "heads": 1, "layers": 1}}
EOF
run 0 'train.sh finds the tools' "$share/train.sh" -q --data scenes/train-000.tar --run run --arch arch.json --merges 60 --batch 16 --steps 3
run 0 'and the architectures' "$share/train.sh" -n --data scenes/train-000.tar --run other --arch vit-b-32
run 0 'score.sh' "$share/score.sh" recall run scenes/test-000.tar

for PYTHON in ${DC_PYTHON:-} /usr/bin/python3 python3 ''; do
	[ -z "$PYTHON" ] || "$PYTHON" -c 'import numpy, msgpack, msgpack_numpy, xxhash' 2>/dev/null && break
done
if [ -n "$PYTHON" ]; then
	cat >lengths.py <<EOF
import sys
sys.path.insert(0, '$share/examples')
import dcstream

for kind, step, body in dcstream.read(sys.stdin.buffer):
    if kind == 'views':
        print(step, [len(c.split()) for c in body['caption.0']], file=sys.stderr)
    dcstream.write(sys.stdout.buffer, kind, step, body)
EOF
	"$share/train.sh" --data scenes/train-000.tar --run filtered --arch arch.json --merges 60 --batch 16 --steps 3 -n >plain.sh 2>err
	sed "s#^  dc-tokenize#  $PYTHON lengths.py |\n&#; s#^  dc-step#  $PYTHON $share/examples/scale_gradient.py 1 |\n&#" plain.sh >filtered.sh
	run 0 'a ring with a Python filter of the user, and an example' timeout 300 sh filtered.sh
	said '^2 \[[0-9, ]*\]$' 'which says what it saw'
	for f in open_clip_model.safetensors state.safetensors; do
		check "the same $f" cmp "run/latest/$f" "filtered/latest/$f"
	done
else
	skip 'no Python with numpy, msgpack, msgpack_numpy, xxhash' 'a ring with a Python filter of the user, and an example'
fi
done_testing
