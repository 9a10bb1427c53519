#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Scores of a model or a run on tar shards: image-text recall, and zero-shot classification. man score.sh has more.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
me=score.sh

usage() {
	cat <<-'END'
	usage: score.sh recall [options] MODEL SHARDS...
	       score.sh zeroshot [options] MODEL NAMES SHARDS...
	Score a model directory or a run: every caption of every image counts for recall; for zero-shot classification
	NAMES has a class a line, in the order of the labels that the shards have in .cls.

	  -t, --tsv            name, tab, value: for programs
	      --caption WHERE  recall: where captions are, as for train.sh: txt, or json:KEY [txt]
	      --captions N     recall: the first N captions of each image [all]
	      --folds N        recall: the mean over N folds of the images [1]
	      --similarity HOW compare features, or tokens one by one [tokens for a run of the method filip]
	      --templates FILE zeroshot: lines with {} for the name [seven of our own]
	      --prompts FILE   zeroshot: the prompts themselves, equally many a class, in order
	      --same-names     zeroshot: let several classes have one name
	      --confusion FILE zeroshot: write the confusion matrix here
	      --per-class      zeroshot: also print every class
	      --features FILE  keep the features here
	  -h, --help           print this and exit
	      --version        print the version and exit
	END
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }

only=() source=() recall=() zeroshot=() tokens=() what='' templates='' given='' same='' features='' similarity=''
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version) exec dc-recall --version ;;
	-t | --tsv) recall+=(--tsv) zeroshot+=(--tsv); shift; continue ;;
	--per-class) zeroshot+=(--per-class) only+=("zeroshot $1"); shift; continue ;;
	--same-names) same=1 only+=("zeroshot $1"); shift; continue ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	-*) ;;
	*) # options may stand before the command and behind it
		[ -z "$what" ] || break
		what=$1
		shift
		continue ;;
	esac
	case $1 in
	--caption | --captions | --folds | --similarity | --templates | --prompts | --confusion | --features)
		[ $# -gt 1 ] || die_usage "$1 needs a value" ;;
	*) die_usage "unknown option $1" ;;
	esac
	case $1 in
	--caption | --captions | --folds) only+=("recall $1") ;;
	--templates | --prompts | --confusion) only+=("zeroshot $1") ;;
	esac
	case $1 in
	--caption) source=(--caption "$2") ;;
	--captions | --folds) recall+=("$1" "$2") ;;
	--similarity) similarity=$2 ;;
	--templates) templates=$2 ;;
	--prompts) given=$2 ;;
	--confusion) zeroshot+=("$1" "$2") ;;
	--features) features=$2 ;;
	esac
	shift 2
done
case $what in
'') usage >&2; exit 2 ;;
recall) [ $# -ge 2 ] || die_usage "recall needs MODEL and SHARDS" ;;
zeroshot) [ $# -ge 3 ] || die_usage "zeroshot needs MODEL, NAMES and SHARDS" ;;
*) die_usage "$what: must be recall or zeroshot" ;;
esac
for x in ${only[@]+"${only[@]}"}; do
	[ "${x% *}" = "$what" ] || die_usage "${x#* } is for ${x% *}"
done
for x in "${@:2}"; do
	case $x in -?*) die_usage "$x: options stand before MODEL" ;; esac
done
case $similarity in
'' | features | tokens) ;;
*) die_usage "--similarity $similarity: must be features or tokens" ;;
esac
model=$1
shift
[ -d "$model" ] || die "$model: no such model"
config=$model/latest/open_clip_config.json
[ -f "$config" ] || config=$model/open_clip_config.json
[ -f "$config" ] || die "$model: no open_clip_config.json in it"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
checkpoint=$(cd "${config%/*}" && pwd)
if [ -z "$similarity" ] && [ -f "$checkpoint/state.safetensors" ]; then # features that FILIP did not train say nothing
	ln -s "$checkpoint" "$tmp/latest"
	case $(dc-step --run "$tmp" --print config) in *'"method":"filip"'*) similarity=tokens ;; esac
fi
if [ "$similarity" = tokens ]; then
	tokens=(--tokens)
	recall+=(--similarity tokens)
	zeroshot+=(--similarity tokens)
fi
encode_all() { dc-encode --model "$model" ${tokens[@]+"${tokens[@]}"}; }
at_fault() { # at_fault STATUS...: exit as the tool of a pipeline that failed; 3 is only that a neighbour went away
	local s
	for s; do [ "$s" -eq 0 ] || [ "$s" -eq 3 ] || exit "$s"; done
}
blame() { at_fault "$@"; exit 1; }
views() { # views DECODE-OPTION... SHARDS...: every image once, as the model wants to see it
	dc-decode --tail short "$@" | dc-augment --recipe eval --model "$model" || { at_fault "${PIPESTATUS[@]}"; exit 3; }
}
tell() { # tell NAMES: what the tool said, by the user's names
	local said
	said=$(<"$tmp/said")
	said=${said//"$tmp/classes"/"${given:-the prompts of $1}"}
	said=${said//"$tmp/names"/"$1"}
	[ -z "$said" ] || printf '%s\n' "$said" >&2
}
encode() { if [ -n "$features" ]; then encode_all | tee -p "$features"; else encode_all; fi; }

case $what in
recall)
	views --captions all ${source[@]+"${source[@]}"} "$@" | dc-tokenize --model "$model" --mlm 0 | encode |
		dc-recall ${recall[@]+"${recall[@]}"} || blame "${PIPESTATUS[@]}" ;;
zeroshot)
	[ -z "$given" ] || [ -z "$templates" ] || die_usage "give --templates or --prompts, not both"
	names=$1
	if [ -e "$names" ] && [ ! -f "$names" ]; then # it is read twice, and a pipe can be only once
		cat "$names" >"$tmp/names" || die "$1: cannot be read"
		names=$tmp/names
	fi
	dc-zeroshot --names "$names" ${same:+--same-names} --write-prompts ${templates:+--templates "$templates"} ${given:+--given "$given"} \
		>"$tmp/prompts" 2>"$tmp/said" || { failed=$?; tell "$1"; exit "$failed"; }
	dc-tokenize --model "$model" --lines "$tmp/prompts" | encode_all >"$tmp/classes" || blame "${PIPESTATUS[@]}"
	# images count whether they have a caption or not
	failed=()
	views --caption none "${@:2}" | encode |
		dc-zeroshot --classes "$tmp/classes" --names "$names" ${same:+--same-names} ${zeroshot[@]+"${zeroshot[@]}"} 2>"$tmp/said" ||
		failed=("${PIPESTATUS[@]}")
	tell "$1"
	[ ${#failed[@]} -eq 0 ] || blame "${failed[@]}" ;;
esac
