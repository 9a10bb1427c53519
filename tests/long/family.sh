#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every method on a vision transformer and on a ResNet, 200 steps of Flickr8k's photographs at 64 pixels: each term of the
# loss falls, the run goes on from a checkpoint with the same bytes, and recall on the dev set is above chance. One table on
# stdout, in Markdown; the status is 1 where something of it does not hold. Some twenty minutes of one processor.
#
#	make family [METHODS='slip filip'] [ARCHS=rn-s64] [STEPS=200] [OUT=DIR to keep the runs]
set -u -o pipefail
LC_ALL=C; export LC_ALL
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
DC_BIN=${DC_BIN:-$top/build}; export DC_BIN
PATH=$DC_BIN:$PATH
DC_ARCH_DIR=$top/pipelines/arch; export DC_ARCH_DIR
OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1; export OMP_WAIT_POLICY OMP_NUM_THREADS
photos=${DC_DATA:-$top/../shared/data}/flickr8k
methods=${METHODS:-clip slip filip declip defilip siglip} archs=${ARCHS:-vit-s64-p16 rn-s64} steps=${STEPS:-200}
batch=64 seen=20 # steps whose mean is taken, at the beginning and at the end
[ -f "$photos/train-011.tar" ] || { echo "skipped: no flickr8k in ${photos%/*}"; exit 0; }
if [ -n "${OUT-}" ]; then out=$OUT; mkdir -p "$out" || exit 1; else out=$(mktemp -d) || exit 1; trap 'rm -rf "$out"' EXIT; fi
train="$photos/train-{000..011}.tar" dev="$photos/dev-{000..001}.tar"
dc-decode --keep-encoded --caption json:captions --captions all --tail short "$train" | dc-vocab --merges 4000 --out "$out/vocab.gz" || exit 1

run() { # run RUN ARCH METHOD: seconds of processor time on stdout
	local TIMEFORMAT='%U %S' views=(--augment '--blur 0.03,0.6') # as strong at 64 pixels as the recipes' is at 224
	case $3 in clip | siglip) views=() ;; esac
	{ time "$top/pipelines/train.sh" -q --run "$1" --data "$train" --caption json:captions --arch "$2" --method "$3" --vocab "$out/vocab.gz" \
		--batch $batch --steps "$steps" --save-every $((steps * 3 / 4)) --lr 0.0005 ${views[@]+"${views[@]}"} --threads 1 >"$1.out" 2>&1; } 2>"$1.time" ||
		{ sed 's/^/# /' "$1.out" >&2; return 1; }
	awk '{ printf "%.0f\n", $1 + $2 }' "$1.time"
}
falls() { # falls RUN: TERM FIRST LAST of each term, "rises" behind those that do. While NNS waits the total lacks its part.
	awk -F '\t' -v seen=$seen '
		NR == 1 { for (i = 1; i <= NF; i++) { name[i] = $i; if ($i == "nns") nns = i; if ($i ~ /^(clip|mvs|simsiam|mlm|nns|simclr|filip|siglip|total)$/) term[++n] = i }; next }
		{ for (k = 1; k <= n; k++) { i = term[k]; if ($i ~ /^-?[0-9]/ && (name[i] != "total" || !nns || $nns ~ /^[0-9]/)) v[i, ++c[i]] = $i } }
		END {
			for (k = 1; k <= n; k++) {
				i = term[k]; a = b = 0
				for (r = 1; r <= seen; r++) { a += v[i, r] / seen; b += v[i, c[i] - seen + r] / seen }
				print name[i], sprintf("%.3f", a), sprintf("%.3f", b), (c[i] >= 2 * seen && b < a ? "" : "rises")
			}
		}' "$1/log.tsv"
}
again() { # again RUN ARCH METHOD: as if it had been killed before the last checkpoint
	local at last
	at=$(printf 'step-%08d' $((steps * 3 / 4))) last=$(printf 'step-%08d' "$steps")
	rm -rf "$1-again" && cp -r "$1" "$1-again" && rm -rf "$1-again/$last" && ln -sfn "$at" "$1-again/latest" && run "$1-again" "$2" "$3" >/dev/null &&
		diff -r "$1/$last" "$1-again/$last" >/dev/null && echo 'the same bytes' || echo DIFFERS
	rm -rf "$1-again"
}
recall() { # recall RUN [--similarity HOW]: R@10 both ways, in percent
	"$top/pipelines/score.sh" --tsv --caption json:captions "${@:2}" recall "$1" "$dev" |
		awk -F '\t' '/_R@10\t/ { printf "%s%.1f", s, 100 * $2; s = " / " } END { print "" }'
}

echo "| encoder | method | seconds of one processor | terms, mean of the first and of the last $seen of $steps steps | run again from step $((steps * 3 / 4)) | R@10 by features | by tokens |"
echo '|---|---|---|---|---|---|---|'
status=0
for arch in $archs; do
	for method in $methods; do
		d=$out/$arch-$method
		rm -rf "$d"
		seconds=$(run "$d" "$arch" "$method") || { status=1; echo "| $arch | $method | failed | | | | |"; continue; }
		falls "$d" >"$d.falls"
		same=$(again "$d" "$arch" "$method")
		tokens=
		case $method in *filip) tokens=$(recall "$d" --similarity tokens) ;; esac
		features=$(recall "$d" --similarity features 2>"$d.said") # of FILIP alone it is said that nothing trained them
		grep -v 'nothing trained its features' "$d.said" >&2
		terms=$(awk '{ printf "%s%s %s → %s%s", s, $1, $2, $3, $4 ? " (" $4 ")" : ""; s = ", " }' "$d.falls")
		echo "| $arch | $method | $seconds | $terms | $same | $features | $tokens |"
		# chance is 1.0 and 1.0 %; FILIP trains tokens alone
		best=$features
		[ "$method" != filip ] || best=$tokens
		awk -v s="$best" 'BEGIN { split(s, x, " / "); exit !(x[1] > 1.2 && x[2] > 1.2) }' || { status=1; echo "# $arch $method: recall is chance" >&2; }
		[ "$same" = 'the same bytes' ] || status=1
		! grep -q 'rises$' "$d.falls" || status=1
	done
done
exit $status
