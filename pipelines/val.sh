#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Score the checkpoints of a run, one row each; train.sh --val has this beside its ring. man val.sh has more.
set -u -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
me=val.sh
usage() {
	cat <<-'END'
	usage: val.sh --run RUN --val SHARDS [options]
	       val.sh --model MODEL --val SHARDS [options]
	       val.sh --check --val SHARDS [options]
	Score checkpoints of a run: RUN/val.tsv gets a row for every N-th step and for the newest. Or print the row of one
	model; or only look whether shards, names and prompts go together.

	      --run RUN        whose checkpoints
	      --model MODEL    a model directory or a run: its row on standard output
	      --check          only look, and say what is wrong
	      --val SHARDS     what they are scored on (several: repeat)
	      --every N        steps between checkpoints that get a row [0: only the newest]
	      --keep N         remove other checkpoints than the newest N, the best, and those that wait for their row
	      --keep-every N   but never those of every N-th step
	      --batch N        samples of a batch, for the pairs seen [as RUN/run.json says]
	      --caption WHERE  where captions are, as for train.sh [txt]
	      --names FILE     zero-shot, not recall: the names of the classes; labels from .cls
	      --prompts FILE   and the prompts, equally many a class [templates with the names]
	      --similarity HOW features or tokens, as for score.sh [as it decides]
	      --follow         go on until standard input ends; a line "end" there: score the newest too; "stop": leave at once
	  -h, --help           print this and exit
	      --version        print the version and exit
	END
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }

shards=() caption='' run='' model='' every=0 keep='' keep_every=0 names='' prompts='' follow='' batch='' check='' similarity=''
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version) exec dc-recall --version ;;
	--follow | --check) printf -v "${1#--}" 1; shift; continue ;;
	--run | --model | --every | --batch | --keep | --keep-every | --caption | --names | --prompts | --similarity | --val) ;;
	*) die_usage "unknown option $1" ;;
	esac
	[ $# -gt 1 ] || die_usage "$1 needs a value"
	name=${1#--}
	if [ "$1" = --val ]; then shards+=("$2"); else printf -v "${name//-/_}" %s "$2"; fi
	shift 2
done
[ -n "$run$model$check" ] || { usage >&2; exit 2; }
[ ${#shards[@]} -gt 0 ] || die_usage "--val SHARDS is needed"
for name in every keep keep_every batch; do # a zero in front does not make it octal
	[[ ${!name} =~ ^[0-9]{0,18}$ ]] || die_usage "--${name//_/-} ${!name}: must be a whole number"
	[ -z "${!name}" ] || printf -v "$name" %d $((10#${!name}))
done
every=${every:-0} keep_every=${keep_every:-0}
source=()
[ -n "$batch" ] || batch=$(sed -n 's/^"batch": "\([0-9]*\)".*/\1/p' "${run:-$model}/run.json" 2>/dev/null)
batch=${batch:-1}
[ -z "$caption" ] || source=(--caption "$caption")
how=()
[ -z "$similarity" ] || how=(--similarity "$similarity")
# one thread: it is a guest on the processors, and the scores are the same on any number of them
export OMP_NUM_THREADS=1
tmp=$(mktemp -d) || exit 1
job=
leave() { # the row that is under way has a process group of its own
	[ -z "$job" ] || { kill -- "-$job"; wait "$job"; } 2>/dev/null
	rm -rf "$tmp"
}
trap leave EXIT
trap 'exit 1' INT TERM
trap '' PIPE HUP

# --- what goes together ---
if [ -n "$check" ]; then
	if [ -z "$names" ]; then
		dc-decode --count ${source[@]+"${source[@]}"} "${shards[@]}" >/dev/null
		exit
	fi
	dc-zeroshot --names "$names" --write-prompts ${prompts:+--given "$prompts"} >/dev/null || exit
	dc-decode --keep-encoded --caption none --tail short -j 1 "${shards[@]}" 2>"$tmp/said" | dc-peek --quiet --table "$tmp/table" >/dev/null ||
		{ cat "$tmp/said" >&2; exit 1; }
	awk -F '\t' 'NR > 1 && $3 != "-" { if (!n++ || $3 > most) most = $3 } END { print NR - 1, n + 0, most + 0 }' "$tmp/table" >"$tmp/labels"
	read -r images labelled most <"$tmp/labels"
	[ "$labelled" -gt 0 ] || die "${shards[*]}: none of the $images images has a label (a .cls file beside it in the shard)"
	classes=$(awk 'END { print NR }' "$names")
	[ "$most" -lt "$classes" ] || die "${shards[*]}: label $most, but $names has $classes names"
	exit 0
fi

# --- the scores: the only place that knows what score.sh --tsv prints ---

recall_row() { # name<TAB>value of every share, then their mean, which decides what is best
	awk -F '\t' '$1 ~ /_R@/ { sub(/_R@/, "_r", $1); print $1 "\t" $2; sum += $2; n++ }
		END { if (n != 6) exit 1; printf "mean\t%.6f\n", sum / n }'
}
zeroshot_row() {
	awk -F '\t' 'NF < 2 { exit } NR > 1 { k = tolower($1); gsub(/[^a-z0-9]+/, "_", k); print k "\t" $2; if (!n++) top = $2 }
		END { if (!n) exit 1; print "top\t" top }'
}
score() { # score MODEL
	if [ -z "$names" ]; then
		"$here/score.sh" --tsv ${how[@]+"${how[@]}"} ${source[@]+"${source[@]}"} recall "$1" "${shards[@]}" | recall_row
	else
		"$here/score.sh" --tsv ${how[@]+"${how[@]}"} ${prompts:+--prompts "$prompts"} zeroshot "$1" "$names" "${shards[@]}" | zeroshot_row
	fi
}

row() { # row CHECKPOINT: a header, and its values
	local step=- pairs=-
	if [ -f "$1/state.safetensors" ]; then
		ln -sfn "$(cd "$1" && pwd)" "$tmp/latest"
		step=$(dc-step --run "$tmp" --print step) || return
		pairs=$(($(dc-step --run "$tmp" --print position) * batch))
	fi
	score "$1" >"$tmp/score" || return
	{ printf 'step\t%s\npairs\t%s\n' "$step" "$pairs"; cat "$tmp/score"; } |
		awk -F '\t' '{ h = h s $1; v = v s $2; s = "\t" } END { print h; print v }' >"$tmp/row"
}

if [ -n "$model" ]; then
	d=$model/latest
	[ -d "$d" ] || d=$model
	[ -f "$d/open_clip_config.json" ] || die "$model: no open_clip_config.json in it"
	row "$d" || die "$model: not scored"
	cat "$tmp/row"
	exit
fi

# --- a run ---
table=$run/val.tsv
[ -d "$run/step-00000000" ] || die "$run: no checkpoint in it"
word='' heard='' deaf=''
hear() { # hear SECONDS: what train.sh says: $word. The time may be up in the middle of a line
	local rc=0 line=
	IFS= read -r -t "$1" line || rc=$?
	heard+=$line
	case $heard in *end) word=end ;; *stop) word=stop ;; esac
	[ $rc -eq 0 ] || [ $rc -gt 128 ] || { deaf=1 word=${word:-gone}; }
}
[ -n "$follow" ] || deaf=1 word=end
exec 9>"$run/.val" || die "cannot make $run/.val"
until flock -n 9; do # another has it, of a run that was killed, say
	if [ -n "$deaf" ]; then sleep 0.2; else hear 0.2; fi
	[ "$word" != stop ] || exit 0
done
number() { # of step-00000500; 0 of what is no such name: the shell would run what stands in a number's place
	local n=${1##*step-}
	[[ $n =~ ^[0-9]+$ ]] || n=0
	echo $((10#$n))
}
newest() { readlink "$run/latest" || echo step-00000000; }

# Rows tell of checkpoints up to the newest, and of one way to score; what says otherwise goes. So does what prune was
# taking away when it was killed.
begin() {
	local now
	rm -rf "$run"/.step-*.old
	now=$(printf '%s\n' "$caption" "$names" "$prompts" ${how[@]+"${how[@]}"} "${shards[@]}")
	if [ "$now" != "$(cat "$run/.val.how" 2>/dev/null)" ]; then
		rm -f "$table"
		echo "$now" >"$run/.val.how"
	fi
	[ ! -f "$table" ] || put "$table"
}
put() { # put FILE...: their rows become the table, in the order of their steps
	awk -F '\t' -v max="$(number "$(newest)")" 'NR == 1 { n = NF; print; fflush(); next } FNR > 1 && NF == n && $1 <= max && !seen[$1]++ { print | "sort -n" }' "$@" >"$table.new" &&
		mv "$table.new" "$table"
}
has_row() { [ -f "$table" ] && awk -F '\t' -v s="$1" '$1 == s { found = 1 } END { exit !found }' "$table"; }
next() { # the first checkpoint that asks for a row and has none
	local d s
	for d in "$run"/step-*; do
		[[ $d =~ /step-[0-9]+$ ]] && s=$(number "$d") && [ "$s" -gt 0 ] || continue
		if [ "$every" -gt 0 ] && [ $((s % every)) -eq 0 ] ||
			{ [ "${1-}" = end ] && [ "${d##*/}" = "$(newest)" ]; }; then
			has_row "$s" || { echo "$d"; return; }
		fi
	done
	return 1
}
best() { # the checkpoint with the highest last column; of equal ones the first
	local s
	s=$(awk -F '\t' 'NR > 1 && (NR == 2 || $NF > max) { max = $NF; s = $1 } END { printf "step-%08d", s }' "$table")
	[ ! -d "$run/$s" ] || [ "$(readlink "$run/best")" = "$s" ] || { ln -sfn "$s" "$run/.best.tmp" && mv -T "$run/.best.tmp" "$run/best"; }
}
prune() { # dc-step --keep, but for checkpoints that wait for their row, and the best
	local d n=0
	[ -n "$keep" ] || return 0
	for d in $(cd "$run" && ls -d step-* | sort -r); do
		[[ $d =~ ^step-[0-9]+$ ]] && [ "$(number "$d")" -gt 0 ] && [ $((n += 1)) -gt "$keep" ] || continue
		[ "$keep_every" -eq 0 ] || [ $(($(number "$d") % keep_every)) -ne 0 ] || continue
		[ "$d" != "$(newest)" ] && [ "$d" != "$(readlink "$run/best")" ] && { [ "$every" -eq 0 ] || [ $(($(number "$d") % every)) -ne 0 ] ||
			has_row "$(number "$d")"; } || continue
		mv "$run/$d" "$run/.$d.old" && rm -rf "$run/.$d.old"
	done
}

add() { # add CHECKPOINT: its row
	local status=0
	set -m
	row "$1" </dev/null 9>&- &
	job=$!
	set +m
	while [ -z "$deaf" ] && [ "$word" != stop ] && kill -0 $job 2>/dev/null; do hear 0.2; done
	[ "$word" != stop ] || exit 0
	wait $job || status=$?
	job=
	[ $status -eq 0 ] || die "$1: not scored"
	if [ -f "$table" ]; then put "$table" "$tmp/row"; else put "$tmp/row"; fi || die "cannot write $table"
	best
}

begin
while :; do
	prune
	if d=$(next "$word"); then
		add "$d"
	elif [ -n "$word" ]; then
		break
	else
		hear 1
	fi
done
