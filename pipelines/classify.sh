#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Which of these captions fits the photo? man classify.sh has more.
#
#	classify.sh MODEL photo.jpg... folder... 'a dog' 'a cat'
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
me=classify.sh

usage() {
	cat <<-'END'
	usage: classify.sh [options] MODEL PHOTO... CAPTION...
	For each photo, how probable the model finds each caption. What exists as a file is a photo (JPEG, PNG, WebP),
	a folder stands for the photos in it; everything else is a caption.

	  -c, --caption TEXT   a caption, also if there is a file of that name
	      --captions FILE  more captions, one a line
	      --template TEXT  put each caption in the place of {} in this text
	  -n, --top N          print the N best captions of each photo [all]
	  -t, --tsv            photo, rank, probability, cosine, caption: for programs
	      --vocab FILE     the vocabulary, where the model has none with it
	  -h, --help           print this and exit
	      --version        print the version and exit
	END
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }

operands=() captions=() template='' top='' tsv='' vocab=() list=''
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version) exec dc-knn --version ;;
	-t | --tsv) tsv=1; shift; continue ;;
	--) shift; operands+=("$@"); break ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	-?*) ;;
	*) operands+=("$1"); shift; continue ;;
	esac
	case $1 in
	-c | --caption | --captions | --template | -n | --top | --vocab) [ $# -gt 1 ] || die_usage "$1 needs a value" ;;
	*) die_usage "unknown option $1 (a caption that begins with - goes after --caption)" ;;
	esac
	case $1 in
	-c | --caption) captions+=("$2") ;;
	--captions) list=$2 ;;
	--template) template=$2 ;;
	-n | --top) top=$2 ;;
	--vocab) vocab=(--vocab "$2") ;;
	esac
	shift 2
done
[ ${#operands[@]} -gt 0 ] || { usage >&2; exit 2; }
model=${operands[0]}
[ -e "$model" ] || die "$model: no such model"
[ -z "$top" ] || { [[ $top =~ ^[0-9]+$ ]] && [ "$top" -gt 0 ]; } || die_usage "--top $top: must be a whole number of at least 1"
[[ -z $template || $template == *'{}'* ]] || die_usage "--template $template: there is no {} in it"
[ -z "$list" ] || [ -r "$list" ] || die "$list: cannot be read"

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
checkpoint=$model/latest
[ -d "$checkpoint" ] || checkpoint=$model
if [ -f "$checkpoint/state.safetensors" ]; then
	ln -s "$(cd "$checkpoint" && pwd)" "$tmp/latest"
	case $(dc-step --run "$tmp" --print config) in
	*'"method":"filip"'*) die "${operands[0]} was trained by the method filip, which makes no features to compare; score.sh compares its tokens" ;;
	esac
fi

# --- what is a photo, and what a caption ---
photos() { # photos FOLDER: those in it, hidden ones apart, in order
	find -H "$1" -mindepth 1 -name '.*' -prune -o \( -type f -o -xtype f \) \
		\( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' \) -print0 | sort -z
}
looks_like_file() ( # looks_like_file TEXT: a caption would not end in .jpg, or be a path
	shopt -s nocasematch
	[[ $1 =~ \.(jpe?g|png|webp|gif|heic|tiff?)$ || $1 =~ ^(\.\.?|~)?/[^\ ]*$ ]]
)
add() { # add PHOTO: names are kept one a line
	case $1 in
	*$'\n'*) echo "$me: $(printf %q "$1"): left out: a name must not have line breaks" >&2 ;;
	*) printf '%s\n' "$1" >>"$tmp/photos" ;;
	esac
}
: >"$tmp/photos"
for x in "${operands[@]:1}"; do
	if [ -d "$x" ]; then
		found=$(wc -l <"$tmp/photos")
		[[ $x != -* ]] || x=./$x
		while IFS= read -r -d '' file; do add "$file"; done < <(photos "$x")
		[ "$(wc -l <"$tmp/photos")" -gt "$found" ] || die "$x: no photos in this folder (.jpg, .jpeg, .png, .webp)"
	elif [ -e "$x" ]; then
		add "$x"
	elif looks_like_file "$x"; then
		die "$x: no such file (if it is a caption: --caption '$x')"
	else
		captions+=("$x")
	fi
done
[ -s "$tmp/photos" ] || die_usage "no photo given"
{
	for x in ${captions[@]+"${captions[@]}"}; do printf '%s\n' "${x//[$'\n\t']/ }"; done
	[ -z "$list" ] || tr '\t' ' ' <"$list" | sed '/^ *$/d'
} >"$tmp/captions"
[ -s "$tmp/captions" ] || die_usage "no caption given: what could be on the photos?"
n=$(wc -l <"$tmp/captions")
[ -n "$top" ] && [ "$top" -lt "$n" ] || top=$n

# --- features of both, and their cosines ---
failed=''
TEMPLATE=$template awk 'BEGIN { t = ENVIRON["TEMPLATE"] }
	t == "" { print; next }
	{ rest = t; out = ""
	  while ((i = index(rest, "{}"))) { out = out substr(rest, 1, i - 1) $0; rest = substr(rest, i + 2) }
	  print out rest }' "$tmp/captions" |
	dc-tokenize --model "$model" ${vocab[@]+"${vocab[@]}"} --lines - | dc-encode --model "$model" >"$tmp/captions.dcs" || exit 1
dc-files --exif --from "$tmp/photos" --rejects "$tmp/rejects" | dc-augment --recipe eval --model "$model" |
	dc-encode --model "$model" |
	dc-knn --base "$tmp/captions.dcs" --base-features text_features.0 --query - --list "$top" --softmax >"$tmp/list" 2>"$tmp/said" || failed=1
sed "s|$tmp/captions.dcs|the captions|; s|<stdin>|the photos|" "$tmp/said" >&2
[ -z "$failed" ] || exit 1

# --- the list has numbers of rows; photos that could not be read have none ---
awk -F '\t' -v tsv="$tsv" -v captions="$tmp/captions" -v rejects="$tmp/rejects" -v photos="$tmp/photos" '
	FILENAME == captions { caption[n_captions++] = $0; next }
	FILENAME == rejects { bad[$1] = 1; next }
	FILENAME == photos { if (!((FNR - 1) in bad)) photo[n_photos++] = $0; next }
	FNR == 1 { next }
	tsv { printf "%s\t%d\t%s\t%s\t%s\n", photo[$1], $3, $8, $4, caption[$5]; next }
	$3 == 1 { printf "%s%s\n", $1 ? "\n" : "", photo[$1] }
	{ printf "  %6.2f %%  %s\n", 100 * $8, caption[$5] }
' "$tmp/captions" "$tmp/rejects" "$tmp/photos" "$tmp/list"
