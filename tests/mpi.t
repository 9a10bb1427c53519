#!/bin/sh
# SPDX-License-Identifier: MIT
# Several ranks train as one: the same losses and parameters, the same bytes again, resumed with as many and with others;
# a rank that dies, stops, is slow or differs is named.
. "${0%/*}/lib.sh"
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; export OMPI_ALLOW_RUN_AS_ROOT OMPI_ALLOW_RUN_AS_ROOT_CONFIRM
OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none
export OMPI_MCA_rmaps_base_oversubscribe OMPI_MCA_hwloc_base_binding_policy
unset OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE SLURM_STEP_NUM_TASKS
command -v mpirun >/dev/null || skip_all 'no mpirun (make deps installs it)'
[ -x "$DC_BIN/dc-mpi" ] || skip_all 'dc-mpi is not built: no OpenMPI (make deps installs it)'
timeout 60 mpirun -n 2 true >out 2>&1 </dev/null || skip_all "mpirun does not work here: $(grep -v '^[- ]*$' out | head -n 1)"
need_python
train=$top/pipelines/train.sh
DC_SHM_DIR=$tmp/tmpfs; export DC_SHM_DIR
TMPDIR=$tmp/small; export TMPDIR
mkdir "$DC_SHM_DIR" "$TMPDIR" spy pids

cat >arch.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 64, "heads": 1, "layers": 2}}
END
shards=$tmp/'scenes/train-{000..002}.tar'
options="--arch ./arch.json --batch 24 --shuffle 24 --threads 1 --warmup 4 --lr 1e-4"

# Every tool says its process number, by rank. dc-step has a larger epsilon in AdamW: with the recipe's, whatever has no
# gradient moves by its rounding. The dc-augment of rank 1 may get only the first $HOLD bytes, and then wait for more; its
# dc-step may start from another run, its dc-encode and dc-decode may have one more option.
cat >spy/tool <<'END'
#!/bin/sh
name=${0##*/} rank=${OMPI_COMM_WORLD_RANK-0}
case " $* " in *' --print '* | *' --count '*) exec "$REAL/$name" "$@" ;; esac
echo $$ >"$PIDS/$name.$rank.new" && mv "$PIDS/$name.$rank.new" "$PIDS/$name.$rank"
[ "$name" != dc-step ] || set -- "$@" --eps 1e-6
[ "$name" != dc-mpi ] || [ -z "${DEAD-}" ] || set -- "$@" --dead "$DEAD"
[ "$name$rank" != "${MORE%% *}1" ] || set -- "$@" "${MORE#* }"
[ "$name$rank" != dc-step1 ] || [ -z "${OTHER-}" ] || set -- "$@" --run "$OTHER"
if [ "$name$rank" = dc-augment1 ] && [ -n "${HOLD-}" ]; then
	rm -f "$PIDS/held"; mkfifo "$PIDS/held"
	exec 3<&0
	{ head -c "$HOLD" <&3; while kill -0 $$ && kill -0 "$(cat "$PIDS/dc-decode.1")"; do sleep 0.1; done 2>/dev/null; } >"$PIDS/held" &
	exec 3<&-
	exec "$REAL/$name" "$@" <"$PIDS/held"
fi
exec "$REAL/$name" "$@"
END
chmod +x spy/tool
for f in "$DC_BIN"/dc-*; do ln -s "$f" spy/; done
for tool in dc-decode dc-augment dc-encode dc-mpi dc-loss dc-step; do ln -sf tool "spy/$tool"; done
REAL=$DC_BIN PIDS=$tmp/pids; export REAL PIDS
HOLD='' OTHER='' DEAD='' MORE=''; export HOLD OTHER DEAD MORE
via='' hosts='-n 2' # how mpirun is started, and where
# milliseconds in which all ranks have to end when one has died; on a machine of its own 10000 is plenty (try it: DC_LIMIT_MS=10000)
limit=${DC_LIMIT_MS:-120000}
spied() { DC_BIN=$tmp/spy "$@"; }

ranks() { # ranks N COMMAND...
	n_ranks=$1; shift
	timeout -s KILL 300 mpirun -n "$n_ranks" "$@"
}
train() { # train RANKS RUN OPTION...: that many ranks, or without mpirun where 0
	n_ranks=$1 d=$2; shift 2
	# shellcheck disable=SC2086
	if [ "$n_ranks" = 0 ]; then
		spied timeout -s KILL 300 "$train" -q --run "$d" --data "$shards" $options "$@"
	else
		spied ranks "$n_ranks" "$train" -q --run "$d" --data "$shards" $options "$@"
	fi
}
begin() { for d; do rm -rf "$d"; cp -r "first-$method" "$d"; done; }
equal() { # equal RUN RUN DESCRIPTION
	check "$3" "$PYTHON" "$top/tests/compare_runs.py" "$1" "$2" step-00000020 1e-5
	sed 's/^/# /' out
}
same() { # same RUN RUN DESCRIPTION: every file of the last checkpoint, and the log but for the times, byte by byte
	{
		for f in $(cd "$1/step-00000020" && find . -type f); do cmp "$1/step-00000020/$f" "$2/step-00000020/$f"; done
		for d in "$1" "$2"; do awk -F'\t' -v OFS='\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^(pairs_per_s|wait_s)$/) time[i] = 1 }
			{ for (i in time) $i = ""; print }' "$d/log.tsv" >"$d.rows"; done
		cmp "$1.rows" "$2.rows"
	} >err 2>&1
	[ -d "$1/step-00000020" ] && [ ! -s err ]; ok $? "$3"
}

# a model that knows its pictures apart: the batch norms of a fresh one enlarge every rounding
{
	dc-scenes --out scenes --train 60 --test 1 --zero-shot 1 --shard 20 --size 40 &&
	dc-decode --keep-encoded --captions all --tail short scenes/train-000.tar | dc-vocab --merges 60 --out vocab.gz &&
	for method in clip declip; do
		heads="--method $method --queue 100 --nns-after 40 --simsiam-width 32 --simsiam-hidden 16 --vocab vocab.gz"
		# shellcheck disable=SC2086
		dc-init --arch ./arch.json $heads --out "before-$method" &&
		spied "$train" -q --run "before-$method" --data "$shards" --arch ./arch.json --method $method --batch 24 --steps 60 --shuffle 24 --threads 1 &&
		dc-init --from "before-$method" $heads --out "first-$method" || break
	done
} >out 2>err
ok $? 'shards, a vocabulary and models to begin with'

# dc-loss: of the whole batch's gradients it gives the own rows, and the scales' in rank 0 alone
check 'dc-loss answers for its own rows' env PYTHONPATH="$top/tests/reference" "$PYTHON" -c '
import io, subprocess
import numpy as np, dcstream

r = np.random.default_rng(1)
f4 = lambda *shape: r.normal(size=shape).astype("<f4")
N, D, F, G = 7, 8, 4, 3
words = np.cumsum([0] + [2, 0, 1, 3, 2, 1, 2]).astype("<i4")
body = {f"{k}_features.{v}": f4(N, D) for k in ("image", "text") for v in (0, 1)}
body |= {f"simsiam_{k}.{v}": f4(N, 6) for k in "zp" for v in (0, 1)}
body |= {"mlm_nll": np.abs(f4(9)), "filip_image": f4(N, G, F), "filip_text": f4(words[-1], F), "filip_off": words,
         "logit_scale": 2.0, "filip_logit_scale": 2.0, "position": 1}
own = [1, 3, 4]
several = body | {"local": np.array(own, "<i8"), "local_mlm": np.array([2, 4], "<i8"), "rank": 1, "ranks": 2}

def answer(b, *options):
    f = io.BytesIO()
    dcstream.write(f, "features", 0, b)
    dcstream.write(f, "end", 0, {})
    out = subprocess.run(["dc-loss", "--method", "defilip", "--queue", "50", "--nns-after", "1", *options], input=f.getvalue(), capture_output=True, check=True)
    return [b for kind, _, b in dcstream.read(io.BytesIO(out.stdout)) if kind == "dfeatures"]

all, = answer(body)
mine, = answer(several)
for k, x in all.items():
    if k == "mlm_nll":
        assert np.array_equal(mine[k], x[2:6]), k
    elif k == "filip_text":
        assert np.array_equal(mine[k], np.concatenate([x[words[i]:words[i + 1]] for i in own])), k
    elif k == "nn_enqueue" or not isinstance(x, np.ndarray):
        assert np.array_equal(mine[k], x) or k.endswith("scale"), k
    else:
        assert np.array_equal(mine[k], x[own]), k
assert mine["logit_scale"] == mine["filip_logit_scale"] == 0 != all["logit_scale"]
assert mine["batch_size"] == N and all["loss"] == mine["loss"] and "batch_size" not in all
first, = answer(several | {"rank": 0})
assert first["logit_scale"] == all["logit_scale"]
parts = answer(several, "--rows", "2")
assert len(parts) == 2 and np.array_equal(np.concatenate([p["image_features.1"] for p in parts]), mine["image_features.1"])
none, = answer(several | {"local": np.array([], "<i8"), "local_mlm": np.array([0, 0], "<i8")})
assert none["image_features.0"].shape == (0, D) and none["loss"] == all["loss"]'
said_bad() { run 1 "$1" env PYTHONPATH="$top/tests/reference" "$PYTHON" -c '
import io, subprocess, sys
import numpy as np, dcstream
f = io.BytesIO()
x = np.ones((4, 8), "<f4")
dcstream.write(f, "features", 0, {"image_features.0": x, "text_features.0": x, "logit_scale": 2.0, "local": np.array(eval(sys.argv[1]), "<i8"), "rank": 0})
sys.exit(subprocess.run(["dc-loss", "--method", "clip"], input=f.getvalue(), stdout=subprocess.DEVNULL).returncode)' "$2"; said 'local: row' "$3"; }
said_bad 'a row that is not there' '[1, 4]' 'is refused'
said_bad 'rows out of order' '[2, 1]' 'are refused'

for method in clip declip; do
	begin "one-$method" "two-$method"
	run 0 "$method: one process" train 0 "one-$method" --method $method --steps 20 --save-every 5
	run 0 "$method: two ranks" train 2 "two-$method" --method $method --steps 20 --save-every 5
	equal "one-$method" "two-$method" 'the losses and the parameters after 20 steps are the same'
done
check 'with a queue that is full' awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "nns") c = i } END { exit !c || $c + 0 <= 0 }' two-declip/log.tsv


# four ranks, and a batch that they cannot share out evenly; at the end of an epoch a rank has no sample at all
method=declip; begin four
run 0 'four ranks' train 4 four --steps 20
equal one-declip four 'are one process too'
method=clip; begin short-1 short-4
for n_short in 1 4; do
	run 0 "batches of 29 and 2, $n_short ranks" train $((n_short > 1 ? n_short : 0)) short-$n_short --batch 29 --tail short --steps 6
done
check 'are the same' "$PYTHON" "$top/tests/compare_runs.py" short-1 short-4 step-00000006 1e-5
check 'the log has the sizes of the whole batches' sh -c 'cut -f 10 short-4/log.tsv | tail -n +2 | sort -u | tr "\n" " " | grep -x "2 29 "'
method=declip; begin uneven-1 uneven-4
for n_short in 1 4; do
	run 0 "DeCLIP, batches of 27, 27 and 6, $n_short ranks" train $((n_short > 1 ? n_short : 0)) uneven-$n_short --method declip --batch 27 --tail short --steps 6
done
check 'are the same' "$PYTHON" "$top/tests/compare_runs.py" uneven-1 uneven-4 step-00000006 1e-5
sed 's/^/# /' out
method=clip; begin short-go
run 0 'five such batches' train 4 short-go --batch 29 --tail short --steps 5
run 0 'continued where the next gives two ranks nothing' train 4 short-go --override --batch 29 --tail short --steps 7
check 'to its end' test "$(dc-step --run short-go --print position)" = 7
method=declip; begin few
run 0 'batches of 59 and 1' train 2 few --batch 59 --tail short --steps 4
check 'the ones make no step' test "$(wc -l <few/log.tsv) $(dc-step --run few --print position)" = '3 4'

# the same bytes: as many ranks again, by value
begin again
run 0 'two ranks again, gradients by value' train 2 again --steps 20 --save-every 5 --by-value
same two-declip again 'give the same bytes'

# a ResNet's batch norms see a rank's own rows: both keep the statistics of both, or the hash after a step tells
cat >resnet.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8},
 "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 64, "heads": 1, "layers": 1}}
END
run 0 'a ResNet on two ranks' train 2 resnet --arch ./resnet.json --vocab vocab.gz --method clip --steps 3 --warmup 1 --save-every 1 --batch 8 --part 4
check 'takes the statistics of both' "$PYTHON" -c '
import sys
data = open("resnet/latest/open_clip_model.safetensors", "rb").read()
import json, struct
n = struct.unpack("<Q", data[:8])[0]
t = json.loads(data[8:8 + n])["visual.bn1.num_batches_tracked"]["data_offsets"]
raw = data[8 + n + t[0]:8 + n + t[1]]
seen = struct.unpack("<q" if len(raw) == 8 else "<f", raw)[0]
sys.exit(seen != 3 * 2)'

# ranks that do not have the same parameters
begin differ
# shellcheck disable=SC2086
dc-init --arch ./arch.json $heads --seed 7 --out other >out 2>&1
OTHER=$tmp/other
run 1 'rank 1 with parameters of its own' train 2 differ --steps 20
OTHER=
said 'the parameters of rank [01] \(.*\) are not those of rank [01] \(' 'is found out at once'
[ "$(dc-step --run differ --print step)" = 0 ]; ok $? 'before a step is made'

MORE='dc-encode --by-value'
run 1 'rank 1 with gradients by value, rank 0 by reference' train 2 differ --steps 20
MORE=
said 'gradients of step 0 are of another shape' 'is found out'

MORE='dc-decode --skip=3'
run 1 'rank 1 at another batch' train 2 differ --steps 20
MORE=
said 'has a batch that ends at position|is at features of step' 'is found out too'

# --- a rank that dies ---
until_true() { # until_true COMMAND...: wait for it, two minutes at most; the status says whether it came
	deadline=$(($(date +%s) + 120))
	until "$@" 2>/dev/null; do
		[ "$(date +%s)" -lt $deadline ] || return 1
		sleep 0.05
	done
}
reached() { [ -f "$1/log.tsv" ] && [ "$(tail -n 1 "$1/log.tsv" | cut -f 1)" -ge "$2" ]; }
all_dead() {
	for p in pids/*.[01]; do ! kill -0 "$(cat "$p")" || return 1; done
}
at_seven() { # at_seven RUN: two ranks in the background, which have made seven of twenty steps and wait: $job
	rm -f pids/*
	begin "$1"
	HOLD=$(dc-decode --batch 24 --rank 1 --world 2 --steps 7 --shuffle 24 "$shards" 2>/dev/null | wc -c)
	# shellcheck disable=SC2016,SC2086
	DC_BIN=$tmp/spy timeout -s KILL 300 env --default-signal=INT,TERM,HUP $via mpirun $hosts sh -c \
		'echo $$ >"$PIDS/train.$OMPI_COMM_WORLD_RANK" && exec bash "$@"' - "$train" --run "$1" --data "$shards" $options --steps 20 --save-every 5 \
		>rows 2>err </dev/null &
	job=$!
	HOLD=
	until_true reached "$1" 7
}
finish() { # wait for it: status in $got, milliseconds in $took
	since=$(date +%s%N)
	wait "$job"; got=$?
	took=$((($(date +%s%N) - since) / 1000000))
}
dies() { # dies TOOL RANK
	at_seven dead
	kill -KILL "$(cat "pids/$1.$2")"
	finish
	[ $got -ne 0 ] && [ $took -lt "$limit" ] || echo "status $got after $took ms" >>err
	[ $got -ne 0 ] && [ $took -lt "$limit" ]; ok $? "$1 of rank $2 is killed: all ranks end"
	said "rank $2 \\(.*\\)( failed|: failed: $1 \\(killed by SIGKILL)|process rank $2 with .*(Killed)" 'with a message that names the rank'
	until_true all_dead; ok $? 'no tool is left'
	[ -z "$(ls "$DC_SHM_DIR")" ]; ok $? 'nothing is left in shared memory'
	run 0 'the checkpoints are whole' dc-step --verify dead
}
dies dc-encode 1
run 0 'run again by two' train 2 dead --steps 20 --save-every 5
same two-declip dead 'to the same bytes'
dies train 1
dies dc-step 0
dies dc-mpi 1
run 0 'run again by four' train 4 dead --steps 20 --save-every 5
said 'was trained by 2 processes, and goes on with 4' 'which is said'
equal one-declip dead 'to the same losses and parameters'

# --- one that stops ---
at_seven stop
kill -TERM "$(cat pids/dc-step.1)"
finish
[ $got -eq 4 ]; ok $? 'a rank is stopped: the run ends with status 4'
said 'rank 1 \(.*\) was stopped at step 7: stopping' 'and says whose fault it is'
check 'with a checkpoint' test "$(dc-step --run stop --print step)" = 7
run 0 'run again' train 2 stop --steps 20 --save-every 5
same two-declip stop 'to the same bytes'
at_seven stop
kill -USR1 "$(pgrep -P "$job" mpirun || echo "$job")"
finish
[ $got -eq 4 ] && [ "$(dc-step --run stop --print step)" = 7 ]; ok $? 'SIGUSR1 to mpirun: stopped, with a checkpoint'
run 0 'run again by one process' train 0 stop --steps 20 --save-every 5
equal one-declip stop 'to the same losses and parameters'

# --- what the table says; what is refused ---
check 'a row for each step but the last' test "$(wc -l <two-declip/ranks.tsv)" -eq 20
check 'with the bytes' awk -F'\t' 'NR == 1 { bad = $8 != "sent_bytes"; next } $8 <= 0 || $3 > 1 || $5 < 0 { bad = 1 } END { exit bad }' two-declip/ranks.tsv
printf '%s\t%s\n' encode_rate 1e11 loss_rate 5e10 step_rate 1e9 other_seconds 0.001 data_seconds 0.002 data_bytes 7e7 >rates
"$top/pipelines/plan.sh" -t --arch ./arch.json --method clip --vocab vocab.gz --batch 48 --nodes 2 --rates rates >out 2>err &&
	awk -F'\t' '$1 ~ /network, a/ { print $2 * 1e6 }' out >planned && method=clip && begin bytes &&
	train 2 bytes --method clip --batch 48 --steps 4 >out 2>err && cut -f 8 bytes/ranks.tsv | tail -n 1 >sent &&
	awk 'NR == 1 { want = $1; next } { print "# a rank sends " $1 " bytes, plan.sh says " want; exit !($1 > .8 * want && $1 < 1.2 * want) }' planned sent
ok $? 'the bytes that a rank sends in a step are those of plan.sh'
method=declip
run 0 'with rows on standard output' ranks 2 "$train" --run again --steps 21 --override --stall 60
[ "$(grep -c '^21' out)" = 1 ]; ok $? 'of rank 0 alone'
run 0 'what three ranks would do' ranks 3 "$train" -n --run none --data "$shards" --arch ./arch.json --vocab vocab.gz --batch 48
said '^# in each of 3 processes, 16 samples a batch:' 'is said for each'
mkdir taken && printf 'ready another\n0 60\n' >taken/.ranks
(exec 9>taken/.ring && flock 9 && run 1 'a run that another job is training' ranks 2 "$train" --run taken --data "$shards" --arch ./arch.json --vocab vocab.gz --steps 3)
n=$((n + 1))
check 'is left alone' grep -qx 'ready another' taken/.ranks
run 2 'standard input as data' ranks 2 "$train" --run none --data - --steps 3 --arch ./arch.json --vocab vocab.gz
said 'each rank reads the shards' 'is refused'
printf 'not a picture' >0007.jpg; printf 'a caption' >0007.txt; cp 0007.jpg 0008.jpg; cp 0007.txt 0008.txt
tar cf bad.tar 0007.jpg 0007.txt 0008.jpg 0008.txt
run 0 'two samples that are no pictures' train 2 refuse --data "$tmp/bad.tar" --vocab vocab.gz --method clip --steps 4 --warmup 1 --rejects "$tmp/list"
check 'are listed by the ranks that read them' sh -c 'test -f list.rank-1 && cat list list.rank-1 | grep -c "000[78]" | grep -x "[2-9]"'
[ ! -e refuse/.ranks ]; ok $? 'what rank 0 told the others is gone at the end'
slurm() { run 1 "$2" env SLURM_STEP_NUM_TASKS=2 SLURM_PROCID="$1" SLURM_JOB_ID=7 SLURM_STEP_ID=0 timeout 60 "$train" --run gone --data "$tmp/none.tar"; }
slurm 0 'rank 0 fails before there is a run'
slurm 1 'the other one ends too'
run 0 'mpirun -n 1' train 1 alone --vocab vocab.gz --method clip --steps 2 --warmup 1
[ ! -e alone/ranks.tsv ]; ok $? 'needs no dc-mpi'
run 0 '-n' ranks 2 "$train" -n --run one-clip --steps 20 --save-every 5
said '^  dc-mpi --refs' 'shows where dc-mpi stands'

# --- ranks with networks of their own ---
network() { # network NAME ADDRESS: a namespace with one end of a cable
	ip netns add "$1" && ip -n "$1" link set lo up && ip link set "$1" netns "$1" && ip -n "$1" addr add "$2/30" dev "$1" && ip -n "$1" link set "$1" up
}
a=dca$$ b=dcb$$
if [ "$(id -u)" = 0 ] && command -v ip >/dev/null && ip link add $a type veth peer name $b 2>/dev/null; then
	trap 'for p in $(ip netns pids $a) $(ip netns pids $b); do kill -KILL $p; done; ip netns del $a; ip netns del $b; rm -rf "$tmp"' EXIT
	printf '#!/bin/sh\nshift\nexec ip netns exec %s sh -c "$*"\n' $b >agent && chmod +x agent
	method=declip; begin apart
	net=10.$(($$ / 250 % 250)).$(($$ % 250))
	network $a "$net.1" && network $b "$net.2"; ok $? 'two networks joined by a cable'
	# shellcheck disable=SC2086
	OMPI_MCA_plm_rsh_agent=$tmp/agent run 0 'a rank in each, by the example on_hosts.sh' spied ip netns exec $a timeout -s KILL 300 \
		"$top/pipelines/examples/on_hosts.sh" "$net.1,$net.2" -q --run apart --data "$shards" $options --steps 20 --save-every 5
	same two-declip apart 'gives the same bytes'
	DEAD=3 via="ip netns exec $a" hosts="--host $net.1:1,$net.2:1 --mca plm_rsh_agent $tmp/agent -n 2"
	at_seven cut
	ip -n $a link set $a down
	until_true all_dead; ok $? 'the cable is cut: all ranks end'
	said 'rank 1 \(.*\) failed at step 7: nothing was heard of it for 3' 'with a message that names the rank'
	[ -z "$(ls "$DC_SHM_DIR")" ]; ok $? 'nothing is left in shared memory'
	# mpirun and its daemon wait for each other
	for p in $(ip netns pids $a) $(ip netns pids $b); do kill -KILL "$p"; done 2>/dev/null
	finish 2>/dev/null
	run 0 'the checkpoints are whole' dc-step --verify cut
else
	skip 'not root, or no network namespaces' 'ranks with networks of their own'
fi
done_testing
