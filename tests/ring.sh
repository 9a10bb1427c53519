# SPDX-License-Identifier: MIT
# Sourced by ring.t and stop.t after lib.sh: a tiny model, shards with rejects among them, and rings that can be stopped.
# shellcheck shell=sh
train=$top/pipelines/train.sh
DC_SHM_DIR=$tmp/tmpfs; export DC_SHM_DIR
TMPDIR=$tmp/small; export TMPDIR
mkdir "$DC_SHM_DIR" "$TMPDIR" pids spy
# Milliseconds in which a ring has to end that lost a tool. On a machine of its own that is less than 5000 (try it:
# DC_LIMIT_MS=5000), but one that others load may take any time; here it is only told from a ring that waits for the dead.
limit=${DC_LIMIT_MS:-60000}
ring=; HOLD=''; DIES=''; AFTER=''

cat >arch.json <<'END'
{"embed_dim": 32, "vision_cfg": {"image_size": 16, "layers": 2, "width": 64, "patch_size": 8},
 "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 64, "heads": 1, "layers": 2}}
END

# 60 pictures in three shards; in the second also a JPEG cut short, a blank caption and none at all
{
	dc-scenes --out scenes --train 60 --test 1 --zero-shot 1 --shard 20 --size 24 &&
	mkdir more && tar xf scenes/train-000.tar -C more 000001.jpg 000001.txt && cd more &&
	head -c 500 000001.jpg >cut.jpg && cp 000001.txt cut.txt && cp 000001.jpg blank.jpg && echo ' ' >blank.txt &&
	cp 000001.jpg bare.jpg && tar rf ../scenes/train-001.tar cut.jpg cut.txt blank.jpg blank.txt bare.jpg && cd .. &&
	dc-decode --keep-encoded --captions all --tail short scenes/train-000.tar | dc-vocab --merges 60 --out vocab.gz &&
	dc-init --arch arch.json --vocab vocab.gz --queue 40 --nns-after 16 --simsiam-width 32 --simsiam-hidden 16 --out first
} >out 2>err
ok $? 'shards, a vocabulary and a model to begin with'

shards=$tmp/'scenes/train-{000..002}.tar'
# ($RING_THREADS: 1 for the thread sanitizer, which does not know OpenMP's barriers)
# an epoch is 7.6 batches, the queue wraps after five
options="--arch arch.json --vocab vocab.gz --batch 8 --queue 40 --nns-after 16 --shuffle 24 --threads ${RING_THREADS:-2} --warmup 4 --lr 2e-3"

# Every tool of a ring with DC_BIN=spy says its process number; it may die before it has opened anything ($DIES, $AFTER
# seconds), or get only the first $HOLD bytes of its input and then wait for more.
cat >spy/tool <<'END'
#!/bin/sh
name=${0##*/}
case " $* " in *' --count '* | *' --print '*) exec "$REAL/$name" "$@" ;; esac
echo $$ >"$PIDS/$name.new" && mv "$PIDS/$name.new" "$PIDS/$name"
if [ "${DIES-}" = "$name" ]; then
	[ "$AFTER" = 0 ] || sleep "$AFTER"
	kill -9 $$
fi
if [ "$name" = dc-augment ] && [ -n "${HOLD-}" ]; then
	rm -f "$PIDS/held"; mkfifo "$PIDS/held"
	exec 3<&0
	{ head -c "$HOLD" <&3; while kill -0 $$ && kill -0 "$(cat "$PIDS/dc-decode")"; do sleep 0.1; done 2>/dev/null; } >"$PIDS/held" &
	exec 3<&-
	exec "$REAL/$name" "$@" <"$PIDS/held"
fi
exec "$REAL/$name" "$@"
END
chmod +x spy/tool
tools='dc-decode dc-augment dc-tokenize dc-encode dc-loss dc-step'
for tool in $tools; do ln -s tool "spy/$tool"; done
REAL=$DC_BIN PIDS=$tmp/pids; export REAL PIDS

begin() { # begin RUN...: a fresh run
	for d; do rm -rf "$d"; cp -r first "$d"; done
}

start() { # start RUN OPTION...: train in the background, in a session of its own: $ring
	d=$1; shift
	rm -f pids/*
	export HOLD DIES AFTER
	# shellcheck disable=SC2016,SC2086
	DC_BIN=$tmp/spy timeout -s KILL "${RING_SECONDS:-300}" env --default-signal=INT,TERM,HUP setsid sh -c 'echo $$ >"$PIDS/ring"; exec bash "$@"' - \
		"$train" --run "$d" --data "$shards" $options "$@" >rows 2>err </dev/null &
	job=$!
	until_true test -s pids/ring
	ring=$(cat pids/ring)
}

until_true() { # until_true COMMAND...: wait for it, two minutes at most; the status says whether it came
	deadline=$(($(date +%s) + 120))
	until "$@" 2>/dev/null; do
		[ "$(date +%s)" -lt $deadline ] || return 1
		sleep 0.02
	done
}

reached() { # reached RUN STEP: its log has this step
	[ -f "$1/log.tsv" ] && [ "$(tail -n 1 "$1/log.tsv" | cut -f 1)" -ge "$2" ]
}

hold() { # hold RUN STEP: the ring that is started next gets no batch after this one
	at=$(dc-step --run "$1" --print position)
	HOLD=$(dc-decode --batch 8 --skip "$at" --steps "$2" --shuffle 24 "$shards" 2>/dev/null | wc -c)
}

processes() { ps -eo sid=,pid=,args= | awk -v s="$ring" '$1 == s && !/<defunct>/'; }
none_left() { [ -z "$(processes)" ]; }
tools_dead() {
	for tool in $tools; do ! kill -0 "$(cat "pids/$tool")" || return 1; done
}

finish() { # wait for the ring: status in $got, milliseconds since $since in $took
	wait "$job"; got=$?
	took=$((($(date +%s%N) - since) / 1000000))
	HOLD=
}
now() { since=$(date +%s%N); }

kill_all() { # SIGKILL to every process of the ring
	until_true kill_once
	wait "$job" 2>/dev/null
	HOLD=
}
kill_once() { # again for what was being forked
	for p in $(processes | awk '{ print $2 }'); do kill -9 "$p"; done
	none_left
}
trap '[ -z "$ring" ] || kill_all; rm -rf "$tmp"' EXIT

same() { # same RUN RUN STEP DESCRIPTION: every file of that checkpoint, and the log but for the times, byte by byte
	{
		for f in $(cd "$1/$3" && find . -type f); do cmp "$1/$3/$f" "$2/$3/$f" || echo "$f"; done
		for f in $(cd "$2/$3" && find . -type f); do [ -e "$1/$3/$f" ] || echo "$2/$3/$f is too many"; done
		for d in "$1" "$2"; do cut -f 1-11 "$d/log.tsv" >"$d.rows"; done
		cmp "$1.rows" "$2.rows" || diff "$1.rows" "$2.rows"
	} >err 2>&1
	[ -d "$1/$3" ] && [ ! -s err ]; ok $? "$4"
}
