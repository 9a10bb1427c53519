#!/bin/sh
# SPDX-License-Identifier: MIT
# dc-step, driven through the frames of a ring by a stand-in for dc-encode and dc-loss.
. "${0%/*}/lib.sh"
need_python
fake="timeout 120 $PYTHON $top/tests/reference/fake_encode.py"
cat >arch.json <<'END'
{"embed_dim": 8, "vision_cfg": {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8},
 "text_cfg": {"context_length": 8, "vocab_size": 600, "width": 16, "heads": 2, "layers": 1}}
END
DC_SHM_DIR=$tmp/tmpfs; mkdir "$DC_SHM_DIR"; export DC_SHM_DIR
init="dc-init --arch arch.json --queue 10 --nns-after 4 --simsiam-width 8 --simsiam-hidden 4 --seed 5"
$init --out first >out 2>err; ok $? 'a run to begin with'

begin() { # begin RUN: a copy of the first run
	rm -rf "$1"; cp -r first "$1"; mkfifo "$1/loop"
}
ring() { # ring RUN "FAKE'S OPTIONS" DC-STEP'S OPTIONS: statuses in $a (fake) and $b (dc-step), rows in rows
	d=$1 f=$2; shift 2
	rm -f status
	($fake --run "$d" $f 2>err.fake; echo $? >status) |
	timeout 120 dc-step --run "$d" --loop "$d/loop" --lr 1e-2 --warmup 2 --steps 30 "$@" >rows 2>err
	b=$? a=$(cat status)
	cat err.fake >>err; cp err err.all
}
rows_of() { # rows_of RUN N: wait until its log has N lines
	tries=600
	until [ -f "$1/log.tsv" ] && [ "$(wc -l <"$1/log.tsv")" -ge "$2" ] || [ $((tries -= 1)) -eq 0 ]; do sleep 0.1; done
}
# dc-step that leaves its process number in step.pid
cat >pid-step <<'END'
#!/bin/sh
rm -f asleep; echo $$ >step.pid; exec dc-step "$@"
END
chmod +x pid-step
wait_for() { # wait_for FILE
	tries=600
	until [ -s "$1" ] || [ $((tries -= 1)) -eq 0 ]; do sleep 0.1; done
}
ends() { # ends A B DESCRIPTION: the statuses of the last ring
	[ "$a" = "$1" ] && [ "$b" = "$2" ] || echo "statuses $a $b, wanted $1 $2" >>err
	[ "$a" = "$1" ] && [ "$b" = "$2" ]; ok $? "$3"
}
clean() { # clean RUN DESCRIPTION: nothing is left of the shared memory
	[ ! -e "$1/shm" ] && [ ! -L "$1/shm" ] && [ -z "$(ls "$DC_SHM_DIR")" ]; ok $? "$2"
}

# usage
run 2 'no run'                     dc-step --loop x
run 2 'no loop'                    dc-step --run first
run 2 'a rate out of range'        dc-step --run first --loop x --lr -1
run 2 'a warm-up beyond the steps' dc-step --run first --loop x --warmup 9 --steps 8
run 1 'no such run'                dc-step --run absent --loop x
run 1 'no such FIFO'               dc-step --run first --loop absent
said 'absent'                      'names it'
: >file
run 1 'a file is not a FIFO'       dc-step --run first --loop file
said 'not a FIFO'                  'and says so'
run 0 '--print position'           dc-step --run first --print position
said '^0$'                         'it is 0'
run 0 '--print config'             dc-step --run first --print config
said '"method":"declip"'           'it is JSON'

# a whole run, by reference and by value
begin a
ring a '--until 12 --partial 3 --skip 5' --save-every 5
ends 0 0 'twelve batches: every update as computed, a skipped one, one without head gradients'
clean a 'the shared memory is gone'
[ "$(readlink a/latest)" = step-00000011 ] && [ -d a/step-00000005 ] && [ -d a/step-00000010 ] && [ ! -d a/step-00000001 ]
ok $? 'checkpoints every five steps and at the end'
printf 'step\tclip\tmvs\tsimsiam\tmlm\tnns\ttotal\tlr\tlogit_scale\tgrad_norm\taccuracy\tpairs_per_s\twait_s\tsimsiam_std\tbatch_size\n' >want
head -n 1 a/log.tsv >have; check 'the header of the log' cmp want have
check 'a row a step' test "$(cut -f 1 a/log.tsv | tr '\n' ' ')" = 'step 1 2 3 4 5 6 7 8 9 10 11 '
sed -n 2p a/log.tsv | cut -f 2-9 | tr '\t' ' ' >have
check 'its values' grep -qx '2.5 2 -0.5 6 nan 1.25 0.001 3' have
sed -n 2p a/log.tsv | cut -f 11,13 >have
check 'accuracy and seconds waited' grep -qx '0.5	0.750' have
check 'the same rows on stdout' cmp rows a/log.tsv
begin v
ring v '--until 12 --partial 3 --skip 5 --by-value' --save-every 5 --by-value
ends 0 0 'the same by value'
check 'gives the same checkpoint' diff -r a/latest v/latest
begin c
ring c '--until 4 --clip 0.05' --grad-clip 0.05 --save-every 0 --keep 1
ends 0 0 'gradients clipped by their global norm'
check 'no checkpoint but at the end' test "$(echo c/step-*)" = 'c/step-00000000 c/step-00000004'
begin k
ring k '--until 6' --save-every 1 --keep 2
ends 0 0 'with --keep'
check 'the newest two and the first are kept' test "$(echo k/step-*)" = 'k/step-00000000 k/step-00000005 k/step-00000006'

# the log of a run without heads and with one view
$init --out clip --method clip >out 2>err; mkfifo clip/loop
ring clip '--until 2 --limits 0,4.6051701859880914'
ends 0 0 'a run of clip: no heads, no queue, its own limits of logit_scale'
head -n 1 clip/log.tsv >have
check 'and one term in the log' grep -q '^step	clip	total	' have

# resume
begin d
ring d '--until 7 --partial 3 --skip 5' --save-every 3
ring d '--until 12' --save-every 3
ends 0 0 'seven batches, then on to twelve'
check 'is byte for byte the same as twelve in one go' diff -r a/latest d/latest
cut -f 1-11,13 a/log.tsv >want; cut -f 1-11,13 d/log.tsv >have
check 'so is the log but for its clock' cmp want have
begin e
ring e '--until 12 --partial 3 --skip 5 --die 9' --save-every 3
ends 3 3 'the encoder dies in a step: 3'
check 'silently' test ! -s err.all
check 'without a last checkpoint' test "$(readlink e/latest)" = step-00000006
clean e 'the shared memory is gone then too'
echo 'torn ro' >>e/log.tsv; mkdir e/.step-00000009.tmp
ring e '--until 12' --save-every 3
ends 0 0 'it continues from the newest checkpoint'
check 'and comes to the same' diff -r a/latest e/latest
cut -f 1-11,13 e/log.tsv >have
check 'the log was cut back' cmp want have
check 'what was half written is gone' test ! -e e/.step-00000009.tmp

# an average of the weights
begin m
ring m '--until 5' --ema 0.9
ring m '--until 9' --ema 0.9
ends 0 0 'with --ema, and resumed'
begin n
ring n '--until 9' --ema 0.9
check 'the average is in the checkpoint, the same' diff -r m/latest n/latest
check 'as a model of its own' test -f n/latest/ema/open_clip_config.json -a -f n/latest/ema/heads/declip.safetensors
check 'and differs from the weights' test "$(cmp n/latest/ema/open_clip_model.safetensors n/latest/open_clip_model.safetensors | wc -l)" = 1

# numbers that are none
begin x
ring x '--until 6 --nan 4' --save-every 2
ends 3 1 'a NaN stops the run'
said 'step 5: the gradient of text_projection is not finite' 'and is named'
check 'the checkpoint before it is the newest' test "$(readlink x/latest)" = step-00000004
check 'the state before it is kept aside, and equals it' diff -r x/bad-00000005 x/step-00000004
begin y
ring y '--until 6 --inf 3' --nan skip
ends 0 0 'with --nan skip an infinity is passed over'
said 'batch skipped' 'with a warning'
check 'five updates, six batches' test "$(dc-step --run y --print step) $(dc-step --run y --print position)" = '5 6'

# stopping
begin s
$fake --run s --until 1000 --sleep 0.05 2>err.fake | ./pid-step --run s --loop s/loop --lr 1e-2 --warmup 2 --steps 30 >rows 2>err.step &
job=$!
rows_of s 4
run 1 'a second ring on the run is an error' dc-step --run s --loop s/loop
said 'another ring' 'that says so'
pid=$(cat step.pid)
kill -INT "$pid"; kill -TERM "$pid"
wait $job; code=$?; [ "$code" -eq 0 ] && [ ! -s err.fake ] && [ ! -s err.step ]; ok $? 'an interrupt, sent twice at once, stops it well'
steps=$(dc-step --run s --print step)
check 'with a checkpoint of the last row' test "$(tail -n 1 s/log.tsv | cut -f 1)" = "$steps" -a "$steps" -gt 2
begin t
ring t "--until $steps" --save-every 0
check 'the same as a run of that length' diff -r s/latest t/latest
begin f
ring f '--until 1000 --stop 3'
ends 0 0 'a stop frame does the same'
check 'after the step under way' test "$(dc-step --run f --print position)" = 4
begin ign
(trap '' INT TERM; exec sh -c "$fake --run ign --until 1000 --sleep 0.05 2>err.fake | ./pid-step --run ign --loop ign/loop --lr 1e-2 --warmup 2 --steps 30 >rows 2>err") &
job=$!
rows_of ign 2
kill -TERM "$(cat step.pid)"
wait $job; ok $? 'signals that were ignored are caught all the same'

begin u
$fake --run u --until 1000 --sleep 100 --asleep asleep 2>err.fake | ./pid-step --run u --loop u/loop --lr 1e-2 --warmup 2 --steps 30 >rows 2>err.step &
job=$!
wait_for asleep   # a step is under way: its dfeatures are on the loop
pid=$(cat step.pid)
tries=60   # the first is soon answered, and one that comes more than a second later is the second
while kill -INT "$pid" && grep -q '^State:.[RSD]' "/proc/$pid/status" && [ $((tries -= 1)) -gt 0 ]; do sleep 0.4; done 2>/dev/null
wait $job; [ $? -eq 130 ]; ok $? 'a second interrupt, later, kills it'
check 'its shared memory is still there' test -e u/shm/gradients.safetensors
ring u '--until 2'
ends 0 0 'the next ring starts all the same'
clean u 'and leaves nothing of either'

# whoever holds the other end of the lifeline goes away
begin life
mkfifo line; exec 5<>line 6<line
$fake --run life --until 1000 --sleep 0.05 2>err.fake 5>&- 6<&- |
    ./pid-step --run life --loop life/loop --lr 1e-2 --warmup 2 --steps 30 --lifeline 6 >rows 2>err.step 5>&- &
job=$!
rows_of life 3
exec 5>&-
wait $job; ok $? 'a lifeline that hangs up stops it as a signal does'
check 'which it says' grep -qx 'dc-step: whoever started this ring is gone: stopping' err.step
[ ! -s err.fake ] && [ "$(tail -n 1 life/log.tsv | cut -f 1)" = "$(dc-step --run life --print step)" ]; ok $? 'after the step under way, with a checkpoint'
clean life 'and nothing is left'
begin alone
mkfifo quiet
run 0 'also before anybody has opened the loop' timeout 60 sh -c 'dc-step --run alone --loop alone/loop --lifeline 6 <>quiet'
exec 6<&-
run 2 'a lifeline that is not open' dc-step --run first --loop x --lifeline 17
said 'lifeline 17: not a pipe that is open here' 'is named'
run 2 'a file is no lifeline' sh -c 'dc-step --run first --loop x --lifeline 9 9<arch.json'

begin w
mkfifo rows.pipe; exec 4<>rows.pipe; head -c 61440 /dev/zero >&4   # room for the header, and nobody reads
$fake --run w --until 1000 2>err.fake | timeout 120 ./pid-step --run w --loop w/loop --lr 1e-2 --warmup 2 --steps 30 >&4 2>err &
job=$!
rows_of w 2
sleep 0.3; kill -TERM "$(cat step.pid)"
wait $job; ok $? 'a signal stops it too while nobody reads its rows'
exec 4>&-
check 'with a checkpoint' test "$(dc-step --run w --print step)" = 1

# a checkpoint that cannot be written: the state's file is the largest
begin q
ring q '--until 1' --save-every 1
limit=$(($(stat -c %s q/step-00000001/state.safetensors) / 512 - 8))
trap '' XFSZ
ring_limited() { (ulimit -f $limit; ring q '--until 6' --save-every 2; echo "$a $b" >both) 2>/dev/null; read -r a b <both; }
ring_limited
ends 3 1 'a file system that is full ends the run'
said 'q/step-00000003|q/step-00000002' 'names the checkpoint'
said 'state.safetensors: cannot reserve' 'and the file'
check 'the newest checkpoint is the one before' test "$(readlink q/latest)" = step-00000001
check 'nothing is left half written' test "$(echo q/.step*)" = 'q/.step*'
trap - XFSZ
ring_limited
[ "$b" -gt 128 ]; ok $? 'killed in the middle of a checkpoint'
check 'the newest is the one before' test "$(readlink q/latest)" = step-00000001
check 'the half written one has another name' test -d q/.step-00000002.tmp -a ! -e q/step-00000002
ring q '--until 6' --save-every 2
ends 0 0 'it continues'
begin r
ring r '--until 6' --save-every 2
check 'and comes to the same' diff -r q/latest r/latest

# neighbours that are not there
begin g
got=0; sleep 0.3 | timeout 60 dc-step --run g --loop g/loop >out 2>err || got=$?
[ "$got" -eq 3 ] && [ ! -s err ]; ok $? 'no reader ever opens the FIFO and stdin closes: 3, silently'
clean g 'and nothing is left'
(sleep 0.5; :) <g/loop &
got=0; timeout 60 dc-step --run g --loop g/loop <>quiet >out 2>err || got=$?
[ "$got" -eq 3 ] && [ ! -s err ]; ok $? 'the loop loses its reader: 3'
wait
begin h
(sleep 0.1; $fake --run h --until 4 2>err.fake; echo $? >status) | timeout 120 dc-step --run h --loop h/loop --lr 1e-2 --warmup 2 --steps 30 2>err | :
check 'a lost stdout ends only the rows' test "$(cat status) $(dc-step --run h --print step)" = '0 4'
begin i
(sleep 0.1; $fake --run i --until 4 2>err.fake; echo $? >status) | timeout 120 dc-step --run i --loop i/loop --lr 1e-2 --warmup 2 --steps 30 2>err >&-
check 'so does a closed one' test "$(cat status) $(dc-step --run i --print step)" = '0 4'

# mistakes of the other side: one message each, and the run is as it was
for bad in 'step:of step 1, while step 0' 'name:no.such.tensor' 'shape:another type or shape' 'frozen:visual.conv1.weight, which is frozen' \
    'twice:second gradient' 'early:no dfeatures' 'none:no gradient came' 'file:not a bare file name' 'queue:nn_enqueue' 'position:carried the position' \
    'elsewhere:a batch that ends at position 8, and the run is at 0 (dc-decode --skip 0 goes on there)'; do
	begin z
	ring z "--until 3 --bad ${bad%%:*}"
	[ "$b" -eq 1 ] && [ "$(wc -l <err)" -eq 1 ] && grep -qF "${bad#*:}" err; ok $? "refused: ${bad%%:*}"
done
clean z 'nothing is left of the shared memory'

# numerics
begin o
ring o '--until 2' --save-every 0
OMP_NUM_THREADS=3 run 1 'another number of threads is an error on resume' dc-step --run o --loop o/loop
said 'written with 2 threads, here are 3' 'which says what'
export OMP_NUM_THREADS=3
ring o '--until 4' --accept-numerics
export OMP_NUM_THREADS=2
ends 0 0 'unless --accept-numerics'
if "$DC_BIN/test_nn" | grep -q 'oneDNN multiplies'; then
	ONEDNN_MAX_CPU_ISA=AVX2 run 1 'another library is an error on resume' dc-step --run o --loop o/loop
	said 'here is none' 'which says what'
fi

# too little room
begin p
DC_SHM_DIR=/proc ring p '--until 2'
ends 0 0 'without room in shared memory the ring runs on disk'
said 'lies on disk' 'with a warning'
[ ! -e p/shm ]; ok $? 'and tidies up'
done_testing
