#!/bin/sh
# SPDX-License-Identifier: MIT
# Checkpoints: a changed bit is found and named, the one before is offered, what is kept, and the order in which files,
# directories and links reach the disk.
. "${0%/*}/lib.sh"
need_python
fake="timeout 120 $PYTHON $top/tests/reference/fake_encode.py"
cat >arch.json <<'END'
{"embed_dim": 8, "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
 "text_cfg": {"context_length": 8, "vocab_size": 600, "width": 16, "heads": 2, "layers": 1}}
END
DC_SHM_DIR=$tmp/tmpfs; mkdir "$DC_SHM_DIR"; export DC_SHM_DIR
dc-init --arch arch.json --queue 10 --nns-after 4 --simsiam-width 8 --simsiam-hidden 4 --seed 5 --out first >out 2>err
ok $? 'a run to begin with'

begin() { rm -rf "$1"; cp -r first "$1"; mkfifo "$1/loop"; }
trace=''
ring() { # ring RUN "FAKE'S OPTIONS" DC-STEP'S OPTIONS: status of dc-step
	d=$1 f=$2; shift 2
	# shellcheck disable=SC2086
	$fake --run "$d" $f 2>err.fake | $trace timeout 120 dc-step --run "$d" --loop "$d/loop" --lr 1e-2 --warmup 2 --steps 30 "$@" >rows 2>err
}

begin a
ring a '--until 6' --save-every 2 --ema 0.9; ok $? 'six steps, a checkpoint every two'
run 0 '--verify' dc-step --verify a
printf 'checkpoint\tstep\tposition\tlink\tverdict\n' >want
for s in 0 2 4; do printf 'step-0000000%s\t%s\t%s\t-\twhole\n' $s $s $s; done >>want
printf 'step-00000006\t6\t6\tlatest\twhole\n' >>want
cp out table
cut -f 1-3,6- table >have; check 'a row for each, oldest first' cmp want have
[ "$(awk -F '\t' '$1 == "step-00000006" { print $4 }' table)" = "$(find a/step-00000006 -type f ! -name checksums.tsv | wc -l)" ]
ok $? 'of all its files'
cat >sums.py <<'END'
import os, struct, json, sys, xxhash
d = sys.argv[1]
rows = [l.split("\t") for l in open(d + "/checksums.tsv").read().splitlines()]
assert rows[0] == ["xxh3", "bytes", "file", "part"]
seen = set()
for want, n, name, part in rows[1:-1]:
    data = open(d + "/" + name, "rb").read()
    if part != "-":
        head, = struct.unpack("<Q", data[:8])
        at, end = (0, 8 + head) if part == "=header" else [8 + head + x for x in json.loads(data[8:8 + head])[part]["data_offsets"]]
        data = data[at:end]
    assert xxhash.xxh3_64_hexdigest(data) == want and len(data) == int(n), (name, part)
    seen.add((name, part))
files = {os.path.relpath(os.path.join(p, f), d) for p, _, fs in os.walk(d) for f in fs} - {"checksums.tsv"}
assert {f for f, part in seen if part == "-"} == files, files
for f in files:
    if f.endswith(".safetensors"):
        data = open(d + "/" + f, "rb").read()
        names = set(json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])) - {"__metadata__"}
        assert {part for g, part in seen if g == f} == names | {"-", "=header"}, f
END
check 'the recorded checksums are what xxhash says of files, headers and tensors' "$PYTHON" sums.py a/latest

# a bit in every file, at several places
cat >flip.py <<'END'
import sys
f = open(sys.argv[1], "r+b")
for at in map(int, sys.argv[2:]):
    f.seek(at)
    c = f.read(1)[0]
    f.seek(at)
    f.write(bytes([c ^ 4]))
END
flip() { "$PYTHON" flip.py "$@"; } # flip FILE BYTE...
cp -r a b; rm -r b/step-00000000 b/step-00000004; : >bad; tried=0
for f in $(cd a/step-00000006 && find . -type f); do
	size=$(stat -c %s "a/step-00000006/$f")
	for at in 3 $((size / 2)) $((size - 1)); do
		flip "b/step-00000006/$f" "$at"
		tried=$((tried + 1)) got=0
		dc-step --verify b >out 2>err || got=$?
		[ "$got" -eq 1 ] && grep -q "^step-00000006.*${f#./}.*damaged" out && [ "$(grep -c 'whole$' out)" -eq 1 ] || echo "$f byte $at: $got $(cat out)" >>bad
		cp "a/step-00000006/$f" "b/step-00000006/$f"
	done
done
cp bad err
[ ! -s bad ] && [ "$tried" -ge 21 ]; ok $? 'a bit changed in any file, anywhere, is found'
begin c
ring c '--until 4' --save-every 2
cp -r c whole
at=$("$PYTHON" -c 'import json, struct
f = open("c/latest/state.safetensors", "rb"); n, = struct.unpack("<Q", f.read(8)); print(8 + n + json.loads(f.read(n))["m.visual.proj"]["data_offsets"][0] + 5)')
flip c/latest/state.safetensors "$at"
run 1 'a run whose newest checkpoint has a changed bit does not start' dc-step --run c --loop c/loop
said 'step-00000004/state.safetensors: tensor m.visual.proj is damaged' 'the message names file and tensor'
said "^dc-step: step-00000002 is whole: to go on from it, ln -sfn step-00000002 c/latest$" 'and offers the one before'
sh -c "$(sed -n 's/.*go on from it, //p' err)"
ring c '--until 4' --save-every 2; ok $? 'which is taken as it says'
check 'and comes to the same bytes' diff -r c/step-00000004 whole/step-00000004
flip c/step-00000004/heads/declip.safetensors 20
flip c/step-00000002/open_clip_config.json 20
run 1 'two damaged' dc-step --run c --loop c/loop
said 'heads/declip.safetensors: its header is damaged' 'a header is named as such'
said 'step-00000000 is whole: to go on' 'the newest that is whole is offered'
truncate -s -1 c/step-00000000/open_clip_model.safetensors
run 1 'all damaged' dc-step --run c --loop c/loop
said 'c has no other checkpoint that is whole' 'says so'
run 1 '--verify' dc-step --verify c
said 'open_clip_model.safetensors: has [0-9]* bytes, had' 'tells a file that was cut short'
said 'c: 3 of 3 checkpoints damaged' 'and counts'
rm c/step-00000002/open_clip_config.json
run 1 'a file that is missing' dc-step --verify c
said 'open_clip_config.json: is missing' 'is named'
printf 'xxh3\tbytes\tfile\tpart\naaaaaaaaaaaaaaaa\t1\t../../etc/passwd\t-\n' >c/step-00000002/checksums.tsv
run 1 'a list of checksums that was made up' dc-step --verify c
said 'checksums.tsv: damaged' 'is refused'
cp -r whole old; rm old/step-*/checksums.tsv
run 0 'checkpoints without checksums' dc-step --verify old
said 'step-00000004.*latest.*can be loaded, but has no checksums' 'are taken, and told'
ring old '--until 6' --save-every 2; ok $? 'and trained on'
run 1 'no run' dc-step --verify absent
said 'absent' 'is named'

# numbers that are none
"$PYTHON" - <<'END'
import json, struct
f = open("old/latest/open_clip_model.safetensors", "r+b")
n, = struct.unpack("<Q", f.read(8))
f.seek(8 + n + json.loads(f.read(n))["visual.proj"]["data_offsets"][0] + 8)
f.write(struct.pack("<f", float("nan")))
END
rm old/step-00000006/checksums.tsv
run 1 'a parameter that is no number' dc-step --run old --loop old/loop
said 'visual.proj is not finite: element 2 is nan' 'is named'
said 'step-00000004 is whole' 'and the checkpoint before offered'

# what is kept
begin k
ring k '--until 9' --save-every 1 --keep 2 --keep-every 3; ok $? 'with --keep 2 --keep-every 3'
check 'the newest two, every third and the first are kept' test "$(echo k/step-*)" = \
    'k/step-00000000 k/step-00000003 k/step-00000006 k/step-00000008 k/step-00000009'

# the order in which things reach the disk, as a library that is loaded first sees it (faultlib.c)
cat >order.py <<'END'
import os, sys
done, made, failed = set(), set(), []
def need(path, why):
    if path not in done:
        failed.append("%s was not synced before %s" % (path, why))
named = pointed = 0
lines = [line.split("\t") for line in open(sys.argv[1]).read().splitlines()]
for call, path, *to in lines:
    if call in ("create", "mkdir"):
        if "/.step-" in path:
            made.add(path)
            done.discard(path)
    elif call == "write":
        done.discard(path)
    elif call == "sync":
        done.add(path)
    elif os.path.basename(path).startswith(".step-"):
        for p in made:
            need(p, "the checkpoint got its name")
        done.discard(os.path.dirname(path))
        named += 1
    elif os.path.basename(to[0]) == "latest":
        run = os.path.dirname(to[0])
        need(run, "the link to the checkpoint in it")
        done.discard(run)
        made.clear()
        pointed += 1
need(run, "the end")
if not named or named != pointed:
    failed.append("%d checkpoints named, %d links" % (named, pointed))
log = [i for i, line in enumerate(lines) if line[1].endswith("/log.tsv")]
if log and lines[log[-1]][0] != "sync":
    failed.append("log.tsv was not synced")
print("\n".join(failed) or "%d checkpoints of %d files and directories" % (named, len({l[1] for l in lines if "/.step-" in l[1]})), file=sys.stderr)
sys.exit(bool(failed))
END
seen="env LD_PRELOAD=$(faultlib) DC_FAULT_TRACE=$tmp"
run 0 'a run is begun' $seen/trace.init dc-init --arch arch.json --out made
check 'the first checkpoint: files, directories and links are synced in order' "$PYTHON" order.py trace.init
begin s
trace=$seen/trace.step
ring s '--until 4' --save-every 2 --ema 0.9; ok $? 'four steps'
check 'two checkpoints by dc-step: the same' "$PYTHON" order.py trace.step
said '^2 checkpoints of [1-9][0-9] files' 'both were seen'
for what in '/state.safetensors' '/checksums.tsv' '/heads' '/s' '/log.tsv'; do
	[ "$(grep -c "^sync	.*$what\$" trace.step)" -gt 0 ]; ok $? "$what is synced"
	grep -v "^sync	.*$what\$" trace.step >less
	run 1 "and without that the order is wrong" "$PYTHON" order.py less
done
awk -F '\t' '/^sync.*\/state.safetensors$/ { late = $0; next } { print } /^rename.*\/\.step-/ { print late }' trace.step >less
run 1 'a sync that comes after the name is too late' "$PYTHON" order.py less
for bad in fsync,1 fsync,3 fsync,9 rename,1 rename,2; do # a rename that fails is tried in another way first
	begin t
	trace="env LD_PRELOAD=$(faultlib) DC_FAULT_TOOL=dc-step DC_FAULT_CALLS=${bad%,*} DC_FAULT_AT=${bad#*,} DC_FAULT_TIMES=99 DC_FAULT_ACTION=errno:EIO"
	ring t '--until 4' --save-every 2; [ $? -eq 1 ]; ok $? "${bad%,*} number ${bad#*,} fails: so does dc-step"
	said 'Input/output error' 'and says it'
	trace=''
	run 0 'what there is, is whole' dc-step --verify t
done
done_testing
