#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What a training will take: memory, bytes, work and time, from rates that are measured here or given. man plan.sh.
set -u -o pipefail
export LC_ALL=C
me=plan.sh
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
usage() {
	cat <<-'EOF'
	usage: plan.sh --arch A [options]
	Estimate the memory, the bytes moved, the work and the time of a training before it is begun.

	  -a, --arch A             an architecture of pipelines/arch, or a JSON file
	  -m, --method M           clip, slip, filip, declip, defilip or siglip [declip]
	  -b, --batch N            samples in a batch, over all processes [4096]
	  -r, --nodes R            processes that share it, a machine or a part of one each [1]
	      --pairs N            pairs in an epoch [88000000, the paper's]
	      --epochs N           epochs [32]
	      --tokens N           mean length of a caption with its start and end [14]
	      --vocab FILE         its size becomes the model's
	      --freeze LIST        conv1, image, text, bn or none [the method]
	      --queue N            rows of the nearest-neighbour queue [65536]
	      --keep-activations MB  as dc-encode's [everything is kept]
	      --recompute          as dc-encode's
	      --memory MB          of a process's machine: say so where it is not enough [this one's]
	      --network GB/s       bytes that a process sends a second [1]
	      --threads N          threads of a process [all processors]
	      --data-threads N     threads of dc-decode and dc-augment each [1]
	      --data SHARDS        measure with these, not with synthetic scenes
	      --caption WHERE      where their captions are [txt]
	      --rates FILE         take the rates from FILE if it is there, else measure and write them there
	  -t, --tsv                tab-separated rows: what, value, unit, note
	  -h, --help               print this and exit
	      --version            print the version and exit
	EOF
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }

declare -A opt=([method]=declip [batch]=4096 [nodes]=1 [pairs]=88000000 [epochs]=32 [tokens]=14 [keep]=-1 [network]=1 [data-threads]=1
	[arch]='' [vocab]='' [freeze]='' [queue]='' [memory]='' [threads]='' [data]='' [caption]='' [rates]='')
recompute=0 tsv=0
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version) exec dc-step --version ;;
	--recompute) recompute=1 ;;
	-t | --tsv) tsv=1 ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
	-*)
		case $1 in
		-a) name=arch ;; -m) name=method ;; -b) name='batch' ;; -r) name=nodes ;;
		--keep-activations) name=keep ;;
		*) name=${1#--} ;;
		esac
		[ -n "${opt[$name]+is}" ] || die_usage "unknown option $1"
		[ $# -gt 1 ] || die_usage "$1 needs a value"
		opt[$name]=$2
		case $name in
		batch | nodes | pairs | tokens | queue | threads | data-threads)
			[[ $2 =~ ^[0-9]{1,15}$ ]] && [ "$2" -ge 1 ] || die_usage "$1 $2: must be a whole number of at least 1"
			opt[$name]=$((10#$2)) ;; # a zero in front does not make it octal
		keep | memory) [[ $2 =~ ^[0-9]{1,15}$ ]] || die_usage "$1 $2: must be a whole number of MB" ;;
		epochs | network) [[ $2 =~ ^[0-9]+(\.[0-9]*)?$ && ! $2 =~ ^[0.]*$ ]] || die_usage "$1 $2: must be a number above 0" ;;
		esac
		shift ;;
	*) die_usage "$1: takes options only" ;;
	esac
	shift
done
[ -n "${opt[arch]}" ] || die_usage "--arch A is needed"
[ $((opt[batch] % opt[nodes])) -eq 0 ] || die_usage "--batch ${opt[batch]}: is not divided evenly by --nodes ${opt[nodes]}"
threads=${opt[threads]:-$(nproc)}
command -v dc-init >/dev/null || die "dc-init is not built (make) and not on PATH"
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM

init=(dc-init --arch "${opt[arch]}" --method "${opt[method]}" --queue "${opt[queue]:-65536}" ${opt[freeze]:+--freeze "${opt[freeze]}"})
vocab=(${opt[vocab]:+--vocab "${opt[vocab]}"})
"${init[@]}" ${vocab[@]+"${vocab[@]}"} --print config >"$tmp/config" 2>"$tmp/err" || {
	status=$?
	cat "$tmp/err" >&2
	! grep -q 'no such architecture' "$tmp/err" || echo "$me: there are $(cd "$here/arch" && echo *.json | sed 's/\.json//g')" >&2
	exit $status
}
"${init[@]}" ${vocab[@]+"${vocab[@]}"} --print bytes --batch $((opt[batch] / opt[nodes])) >"$tmp/bytes" || exit
number() { # number KEY: the first in the configuration, or nothing
	grep -o "\"$1\":[-0-9.]*" "$tmp/config" | head -n 1 | cut -d: -f2
}
weight() { local w; w=$(sed 's/.*"weights":{//' "$tmp/config" | grep -o "\"$1\":[0-9.e-]*" | cut -d: -f2); echo "${w:-0}"; }
on() { awk "BEGIN { print ($(weight "$1") > 0) + 0 }"; }
size=$(number image_size) patch=$(number patch_size)
patches() { awk "BEGIN { print ${patch:-0} ? int($size / ${patch:-1}) ^ 2 : int($size / 32) ^ 2 }"; }
resnet=; ! grep -q '"layers":\[' "$tmp/config" || resnet=1

# --- the work on a pair, by the configuration; a ResNet's is counted while it runs ---
flop() { sed 's/"queue":[0-9]*/"queue":0/' "$tmp/config" | awk -v tokens="${opt[tokens]}" -v batch=0 -f "$here/work.awk"; }
gflop=
[ -n "$resnet" ] || gflop=$(flop)

# --- rates: a short training of this architecture, the loss of 2,048 pairs, and the data tools alone ---
seconds_of() { # seconds_of COMMAND...: of all processors
	local TIMEFORMAT='%U %S'
	{ time "$@" >/dev/null 2>"$tmp/err"; } 2>&1 | awk '{ print $1 + $2 }'
}
data_alone() {
	# shellcheck disable=SC2086
	dc-decode --batch 32 $caption "$shards" --steps 4 | dc-augment --recipe "$views" $more_views --size "$size" |
		dc-tokenize --vocab "$tmp/bpe.txt.gz" --context "$(number context_length)"
}
quietly() { "$@" >"$tmp/out" 2>"$tmp/err" || { cat "$tmp/err" >&2; die "the measurement failed"; }; }
measure() {
	local b=64 said
	[ -z "$gflop" ] || b=$(awk "BEGIN { b = int(1000 / $gflop); print (b < 16 ? 16 : b > 64 ? 64 : b) }")
	shards=${opt[data]} caption=${opt[caption]:+--caption ${opt[caption]}}
	views=${opt[method]} more_views=
	case $views in
	siglip) views=clip ;;
	filip) views=declip more_views='--views 1 --caption-views 1' ;;
	defilip) views=declip ;;
	esac
	if [ -z "$shards" ]; then
		quietly dc-scenes --out "$tmp/scenes" --train 256 --test 1 --zero-shot 1 --shard 256 --size "$((size > 512 ? 512 : size))"
		shards=$tmp/scenes/train-000.tar
	fi
	# shellcheck disable=SC2086
	{ dc-decode --keep-encoded --captions all --tail short $caption "$shards" 2>"$tmp/err" | dc-vocab --merges 300 --out "$tmp/bpe.txt.gz"; } 2>>"$tmp/err" ||
		[ -s "$tmp/bpe.txt.gz" ] || { cat "$tmp/err" >&2; die "the measurement failed"; }
	echo "$me: measuring: 4 steps of $b pairs" >&2
	quietly "$here/train.sh" -v -q --run "$tmp/run" --data "$shards" ${opt[caption]:+--caption "${opt[caption]}"} --vocab "$tmp/bpe.txt.gz" \
		--arch "${opt[arch]}" --method "${opt[method]}" ${opt[freeze]:+--freeze "${opt[freeze]}"} --queue 64 --nns-after 64 --batch "$b" \
		--steps 4 --save-every 0 --shuffle 64 --threads "$threads" --profile "$tmp/profile"
	cp "$tmp/err" "$tmp/said"
	said=$(sed -n 's/^dc-encode: \(.*\) GFLOP of useful work a step, \(.*\) GFLOP\/s$/\1 \2/p' "$tmp/said")
	set -- $said
	[ $# -eq 2 ] || die "dc-encode did not say its rate"
	profile() { awk -F '\t' -v what="$1" '$1 == what { print $2 }' "$tmp/profile"; }
	"${init[@]}" --vocab "$tmp/bpe.txt.gz" --queue 64 --print bytes >"$tmp/small" || exit
	{
		printf 'measured_flop\t%s\n' "$(awk "BEGIN { printf \"%.6g\", 1e9 * $1 / $b }")"
		printf 'encode_rate\t%s\n' "$(awk "BEGIN { printf \"%.6g\", 1e9 * $2 }")"
		awk -F '\t' -v s="$(profile 'waiting for dc-step')" '$1 == "trained" { printf "step_rate\t%.6g\n", $2 / s }' "$tmp/small"
		awk -v s="$(profile 'stream, gradients cleared')" -v b="$b" 'BEGIN { printf "other_seconds\t%.6g\n", s / b }'
		sed -n 's/^dc-\(decode\|augment\|tokenize\): .* \([0-9]*\) MB$/\2/p' "$tmp/said" | awk '{ sum += $1 } END { printf "data_bytes\t%.0f\n", sum * 1048576 }'
	} >"$tmp/rates"
	measure_loss
	printf 'data_seconds\t%s\n' "$(awk "BEGIN { printf \"%.6g\", $(seconds_of data_alone) / 128 }")" >>"$tmp/rates"
	rm -rf "$tmp/run" "$tmp/scenes"
}
seconds_of_loss() { # seconds_of_loss METHOD N PATCHES: of a small model's features, as wide as this one's; the least of three
	local side=$((4 * $(awk "BEGIN { print int(sqrt($3) + .5) }"))) tokens=() wide=()
	cat >"$tmp/narrow.json" <<-END
	{"embed_dim": $(number embed_dim), "vision_cfg": {"image_size": $side, "layers": 1, "width": 64, "patch_size": 4},
	 "text_cfg": {"context_length": 24, "width": 64, "heads": 1, "layers": 1}}
	END
	[ "$1" != filip ] || tokens=(--tokens) wide=(--filip-width "$(number filip_width)")
	quietly dc-scenes --out "$tmp/small-scenes" --train "$2" --test 1 --zero-shot 1 --shard "$2" --size 32
	quietly dc-init --arch "$tmp/narrow.json" --method "$1" ${wide[@]+"${wide[@]}"} --vocab "$tmp/bpe.txt.gz" --out "$tmp/narrow"
	dc-decode --batch "$2" "$tmp/small-scenes/train-000.tar" | dc-augment --recipe eval --size $side | dc-tokenize --model "$tmp/narrow" --mlm 0 |
		dc-encode --model "$tmp/narrow" ${tokens[@]+"${tokens[@]}"} >"$tmp/features" || die "the measurement failed"
	for _ in 1 2 3; do
		OMP_NUM_THREADS=$threads quietly dc-loss -v --method "$1" <"$tmp/features"
		sed -n 's/^dc-loss: .* \([0-9.]*\) s real.*/\1/p' "$tmp/err"
	done >"$tmp/took"
	sort -g "$tmp/took" | head -n 1
	rm -rf "$tmp/narrow" "$tmp/small-scenes"
}
measure_loss() {
	local n=2048 s patches words
	s=$(seconds_of_loss clip $n 64) || exit
	awk "BEGIN { printf \"loss_rate\t%.6g\n\", 4 * 2 * $n * $n * $(number embed_dim) / ($s > 0 ? $s : 0.001) }" >>"$tmp/rates"
	[ "$(on filip)" = 1 ] || return 0
	n=128 patches=$(patches)
	s=$(seconds_of_loss filip $n "$patches") || exit
	# by what the features take; identifiers and keys are a hundredth of that
	words=$((($(wc -c <"$tmp/features") / 4 - n * (patches * $(number filip_width) + 2 * $(number embed_dim))) / $(number filip_width)))
	awk "BEGIN { printf \"filip_rate\t%.6g\n\", 2 * $n * $patches * $words * $(number filip_width) / ($s > 0 ? $s : 0.001) }" >>"$tmp/rates"
}
if [ -n "${opt[rates]}" ] && [ -f "${opt[rates]}" ]; then
	cp "${opt[rates]}" "$tmp/rates" || exit
else
	measure
	[ -z "${opt[rates]}" ] || cp "$tmp/rates" "${opt[rates]}" || exit
fi
rate() { awk -F '\t' -v name="$1" '$1 == name { print $2 + 0 }' "$tmp/rates"; } # a number: awk would run what stands in its place
needed='encode_rate loss_rate step_rate'
[ "$(on filip)" = 0 ] || needed+=' filip_rate'
for name in $needed; do
	awk "BEGIN { exit !($(rate $name) + 0 > 0) }" 2>/dev/null || die "${opt[rates]}: has no row $name with a number above 0"
done
if [ -n "$resnet" ]; then
	gflop=$(rate measured_flop | awk '{ printf "%.6g", $1 / 1e9 }')
	[ -n "$gflop" ] || die "${opt[rates]}: has no row measured_flop, which a ResNet needs"
fi

# --- the plan ---
images=1 captions=1
[ "$(on mvs)$(on simsiam)$(on nns)" = 000 ] || images=2
[ "$(on simclr)" = 0 ] || images=3
[ "$(on mvs)" = 0 ] || captions=2
memory=${opt[memory]:-$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)}
given() { printf '%s\t%s\n' "$@"; }
{
	cat "$tmp/bytes"
	given flop "$(awk "BEGIN { printf \"%.8g\", 1e9 * $gflop }")" batch "${opt[batch]}" nodes "${opt[nodes]}" pairs "${opt[pairs]}" \
		epochs "${opt[epochs]}" tokens "${opt[tokens]}" keep "${opt[keep]}" recompute $recompute memory "$memory" threads "$threads" \
		data_threads "${opt[data-threads]}" network "$(awk "BEGIN { printf \"%.8g\", 1e9 * ${opt[network]} }")" \
		embed_dim "$(number embed_dim)" size "$size" context "$(number context_length)" image_views $images caption_views $captions \
		simsiam "$(on simsiam)" simsiam_width "$(number simsiam_width)" simsiam_hidden "$(number simsiam_hidden)" \
		simclr "$(($(on simclr) * 2))" simclr_width "$(number simclr_width)" simclr_hidden "$(number simclr_hidden)" \
		filip "$(on filip)" filip_width "$(number filip_width)" nns "$(on nns)" mlm "$(on mlm)" \
		vocab_size "$(number vocab_size)" text_width "$(grep -o "\"text_cfg\":{[^}]*}" "$tmp/config" | grep -o "\"width\":[0-9]*" | cut -d: -f2)" clip "$(weight clip)" mvs "$(weight mvs)" \
		siglip "$(weight siglip)" patches "$(patches)"
	cat "$tmp/rates"
	# the queue's rows are of the configuration, its bytes of the estimate
} | awk -v tsv=$tsv -f "$here/plan.awk"
