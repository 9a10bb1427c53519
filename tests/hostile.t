#!/bin/sh
# SPDX-License-Identifier: MIT
# Files that mean harm: nothing executes what a file says, nothing is written where a file says, and nothing grows to what a
# file claims.
. "${0%/*}/lib.sh"
need_python
harmless() { # harmless DESCRIPTION: nothing was executed so far
	check "$1" test -z "$(find "$tmp" -name '*executed*' ! -name '*touch*')"
}

# --- a vocabulary that libarchive would start a program for ---
mkdir bin
for p in lrzip lzop grzip; do
	printf '#!/bin/sh\ntouch "%s/executed"\n' "$tmp" >bin/$p
	chmod +x bin/$p
done
for v in lrz lzop; do
	run 1 "a vocabulary packed by $v is refused" env PATH="$tmp/bin:$PATH" sh -c 'echo a | dc-tokenize --vocab "$1" --lines -' - \
		"$top/tests/fuzz/corpus/vocab/$v"
done
harmless 'and no program is started'
memory() { sanitized || echo "ulimit -v $1"; } # memory KB: a limit, where it can be had
check 'a bomb of a vocabulary' sh -c 'head -c 80000000 /dev/zero | gzip -1 >bomb.gz'
run 1 'is refused' sh -c "$(memory 500000)"'
	echo a | OMP_NUM_THREADS=1 dc-tokenize --vocab bomb.gz --lines -'
said 'more than 64 MB' 'when it gets too large'

# --- names, keys and captions that a shell would run ---
cat >arch.json <<'END'
{"embed_dim": 8, "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
 "text_cfg": {"context_length": 12, "vocab_size": 560, "width": 16, "heads": 2, "layers": 1}}
END
cat >make.py <<'END'
import io, os, sys, tarfile
with tarfile.open("scenes/train-000.tar") as t:
    good = [t.extractfile(m).read() for m in t if m.name.endswith(".jpg")]
evil = ["$(touch executed)", "`touch executed`", "; touch executed;", "-rf", "--help", "a'b\"c", "new\nline", "tab\there", "%s%n", "*",
        "a[$(touch executed)]", "../../up", "/tmp/abs", "<script>alert(1)</script>", "& touch executed &", "\\$(touch executed)"]
shard = "$(touch executed) 'x' -.tar"
with tarfile.open(shard, "w") as t:
    for i, e in enumerate(evil):
        for ext, data in (("jpg", good[i]), ("txt", e.encode()), ("cls", b"%d" % (i % 2))):
            m = tarfile.TarInfo("%s-%d.%s" % (e, i, ext) if i else "%s.%s" % (e, ext))
            m.size = len(data)
            t.addfile(m, io.BytesIO(data))
os.mkdir("photos")
for i, e in enumerate(evil):
    with open(os.path.join("photos", e.replace("/", "_") + ".jpg"), "wb") as f:
        f.write(good[i])
END
check 'a shard and photos of such names' sh -c 'dc-scenes --out scenes --train 20 --test 1 --zero-shot 1 --shard 20 --size 20 && "$1" make.py' - "$PYTHON"
shard='$(touch executed) '"'x' -.tar"
run 0 'train.sh takes them' "$top/pipelines/train.sh" --data "$shard" --run 'run $(touch executed)' --arch arch.json --merges 46 --batch 8 --steps 4 \
	--queue 8 --nns-after 8 --threads 1 --rejects rejects.tsv
run 0 'and again' "$top/pipelines/train.sh" --run 'run $(touch executed)' --override --steps 5 --threads 1
run 0 'and its script runs' sh -c '"$1" --run "$2" --override --steps 6 -n >script' - "$top/pipelines/train.sh" 'run $(touch executed)'
ln -s 'run $(touch executed)' run
run 0 'score.sh takes them' "$top/pipelines/score.sh" recall run "$shard"
printf '%s\n' '$(touch executed)' '`touch executed`' >names
run 0 'as names of classes too' "$top/pipelines/score.sh" zeroshot run names "$shard"
run 0 'search.sh takes photos of such names' "$top/pipelines/search.sh" --quiet --text run photos '$(touch executed)'
said 'touch executed' 'and finds them'
run 0 'dc-peek writes their pictures' sh -c 'dc-decode --tail short "$1" | dc-peek -q --images pictures --table table.tsv >/dev/null' - "$shard"
check 'by number, below its directory' test "$(find . -name 'up*.jpg' -o -name 'abs*.jpg' | grep -vc photos)" = 0
run 0 'report.sh takes them' "$top/pipelines/report.sh" --test "$shard" -o report.html run
check 'and writes no script into the page' sh -c '! grep -q "<script" report.html'
harmless 'nothing was executed'

# --- a run directory from elsewhere, where a number is none ---
cp -r 'run $(touch executed)' theirs
sed -i 's/^"batch": "[0-9]*"/"batch": "a[$(touch executed1)]"/' theirs/run.json
mkdir 'theirs/step-a[$(touch executed2)]'
ln -sfn 'step-a[$(touch executed3)]' theirs/latest
printf 'a[$(touch executed4)]\t1\t1\n' >>theirs/log.tsv
printf 'step\tpairs\tx\n1\t2\t3\n' >theirs/val.tsv
for s in 'report.sh -o theirs.html theirs' 'val.sh --run theirs --val scenes/test-000.tar' 'plot.sh theirs theirs.svg' \
	'train.sh --run theirs --steps 6 --override' 'score.sh recall theirs scenes/test-000.tar'; do
	# shellcheck disable=SC2086
	timeout 120 "$top/pipelines/"$s >>out 2>&1 </dev/null
done
harmless 'report.sh, val.sh, plot.sh, train.sh and score.sh execute nothing of it'

# --- a link that leads out ---
mkdir -p victim/dc-ring-mine && echo precious >victim/dc-ring-mine/precious
cp -r 'run $(touch executed)' linked
ln -sfn "$tmp/victim/dc-ring-mine" linked/shm
run 1 'a ring that fails at its start' env DC_SHM_DIR="$tmp/nowhere" "$top/pipelines/train.sh" --run linked --override --steps 6 --lr 1e-3 --wordnet /nowhere
check "removes nothing of another's where RUN/shm leads there" test -f victim/dc-ring-mine/precious
cat >ref.py <<'END'
import sys; sys.path.insert(0, sys.argv[1] + "/tests/reference")
import dcstream
ref = {b"nd": True, b"type": "<f4", b"kind": b"", b"shape": [1], b"file": sys.argv[2], b"name": "w"}
import msgpack, xxhash
b = msgpack.packb({"gradient": {"w": ref}}, use_bin_type=True)
out = msgpack.packb(["dcs1", "gradients", 0, len(b)]) + b + msgpack.packb(xxhash.xxh3_64_intdigest(b))
b = msgpack.packb({})
sys.stdout.buffer.write(out + msgpack.packb(["dcs1", "end", 0, len(b)]) + b + msgpack.packb(xxhash.xxh3_64_intdigest(b)))
END
mkdir refs && cp run/latest/open_clip_model.safetensors outside.safetensors && ln -s "$tmp/outside.safetensors" refs/link
for f in ../outside.safetensors "$tmp/outside.safetensors" .hidden link; do
	"$PYTHON" ref.py "$top" "$f" >ref.dcs
	: >out; dc-peek --refs refs <ref.dcs >/dev/null 2>err
	said 'is not a bare file name|Too many levels of symbolic links' "a reference to $(basename "$f") is not followed"
done

# --- sizes that are claimed ---
"$PYTHON" - "$top" <<'END'
import io, os, sys, tarfile
sys.path.insert(0, sys.argv[1] + "/tests/reference")
here = os.getcwd(); os.mkdir("scratch"); os.chdir("scratch"); import shards; os.chdir(here)
with tarfile.open("bomb.tar.gz", "w:gz", compresslevel=1) as t:
    for name, data in (("big.jpg", bytes(300 << 20)), ("big.txt", b"x"), ("claims.png", shards.png(2, 2, 1, claim=(30000, 30000))), ("claims.txt", b"x"),
                       ("ok.png", shards.png(2, 2, 1)), ("ok.txt", b"x")):
        m = tarfile.TarInfo(name); m.size = len(data); t.addfile(m, io.BytesIO(data))
END
run 0 'a tar with a member of 300 MB and an image of 900 million pixels, in 200 MB' sh -c "$(memory 200000)"'
	dc-decode -j 1 --tail short --rejects bombs.tsv bomb.tar.gz >bomb.dcs'
check 'both are refused' sh -c 'grep -q "^bomb.tar.gz.big.*too-large" bombs.tsv && grep -q "^bomb.tar.gz.claims.*image: 30000 x 30000 pixels" bombs.tsv'
done_testing
