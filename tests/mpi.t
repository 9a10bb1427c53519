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
mkdir "$DC_SHM_DIR" "$TMPDIR" spy

cat >arch.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 64, "heads": 1, "layers": 2}}
END
shards=$tmp/'scenes/train-{000..002}.tar'
options="--arch ./arch.json --batch 24 --shuffle 24 --threads 1 --warmup 4 --lr 1e-4"

# dc-step with a larger epsilon in AdamW: with the recipe's, whatever has no gradient moves by its rounding
cat >spy/dc-step <<'END'
#!/bin/sh
case " $* " in *' --print '*) exec "$REAL/dc-step" "$@" ;; esac
exec "$REAL/dc-step" "$@" --eps 1e-6
END
chmod +x spy/dc-step
for f in "$DC_BIN"/dc-*; do [ -e "spy/${f##*/}" ] || ln -s "$f" spy/; done
REAL=$DC_BIN; export REAL
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
		spied "$train" -q --run "before-$method" --data "$shards" --arch ./arch.json --vocab vocab.gz --method $method --batch 24 --steps 60 --shuffle 24 \
			--threads 1 --queue 100 --nns-after 40 &&
		dc-init --from "before-$method" --vocab vocab.gz --method $method --queue 100 --nns-after 40 --out "first-$method" || break
	done
} >out 2>err
ok $? 'shards, a vocabulary and models to begin with'

for method in clip declip; do
	begin "one-$method" "two-$method"
	run 0 "$method: one process" train 0 "one-$method" --method $method --steps 20 --save-every 5
	run 0 "$method: two ranks" train 2 "two-$method" --method $method --steps 20 --save-every 5
	equal "one-$method" "two-$method" 'the losses and the parameters after 20 steps are the same'
done
check 'with a queue that is full' awk -F'\t' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "nns") c = i } END { exit $c + 0 <= 0 }' two-declip/log.tsv

done_testing
