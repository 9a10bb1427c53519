#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Find photos in a folder by words, or by a photo like them. man search.sh has more.
#
#	search.sh MODEL FOLDER 'a red boat'
#	search.sh --sheet hits.png MODEL FOLDER boat.jpg
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
me=search.sh

usage() {
	cat <<-'END'
	usage: search.sh [options] MODEL FOLDER QUERY
	Print the photos (JPEG, PNG, WebP) below FOLDER that fit QUERY best, each after its cosine. QUERY is a text, or a
	photo that exists as a file. Features are kept in an index, and only new and changed photos are looked at again.

	  -n, --top N          how many [10]
	      --sheet FILE     draw them, PNG or JPEG (N at most 64)
	      --index DIR      where the index is [FOLDER/.dc-index]
	      --text           QUERY is a text, even if there is a file of that name
	      --update         bring the index up to date and stop; no QUERY
	      --rebuild        make the index anew
	  -q, --quiet          do not say what is done to the index
	      --vocab FILE     the vocabulary, where the model has none with it
	  -h, --help           print this and exit
	      --version        print the version and exit
	END
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }

operands=() top=10 sheet='' index='' text='' update='' rebuild='' quiet='' vocab=()
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version) exec dc-knn --version ;;
	--text) text=1; shift; continue ;;
	--update) update=1; shift; continue ;;
	--rebuild) rebuild=1; shift; continue ;;
	-q | --quiet) quiet=1; shift; continue ;;
	--) shift; operands+=("$@"); break ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	-?*) ;;
	*) operands+=("$1"); shift; continue ;;
	esac
	case $1 in
	-n | --top | --sheet | --index | --vocab) [ $# -gt 1 ] || die_usage "$1 needs a value" ;;
	*) die_usage "unknown option $1 (a query that begins with - goes after --)" ;;
	esac
	case $1 in
	-n | --top) top=$2 ;;
	--sheet) sheet=$2 ;;
	--index) index=$2 ;;
	--vocab) vocab=(--vocab "$(realpath -s -- "$2")") ;;
	esac
	shift 2
done
[ ${#operands[@]} -eq $((update ? 2 : 3)) ] || { usage >&2; exit 2; }
model=${operands[0]} folder=${operands[1]} query=${operands[2]-}
[ -e "$model" ] || die "$model: no such model"
[ -d "$folder" ] || die "$folder: no such folder"
[[ $folder != -* ]] || folder=./$folder
[[ $top =~ ^[0-9]+$ ]] && [ "$top" -gt 0 ] || die_usage "--top $top: must be a whole number of at least 1"
[ -z "$sheet" ] || [ "$top" -le 64 ] || die_usage "--sheet: at most --top 64"
[ -z "$sheet" ] || [[ ${sheet,,} =~ \.(png|jpe?g)$ ]] || die_usage "--sheet $sheet: must end in .png or .jpg"
[[ $query != *$'\n'* ]] || die_usage "the query must be one line"
[ -n "$update" ] || [[ $query == *[![:space:]]* ]] || die_usage "the query is empty"
[ -n "$text$update" ] || [ -e "$query" ] || [[ ! ${query,,} =~ \.(jpe?g|png|webp)$ ]] || die "$query: no such file (if it is a text: --text)"
index=${index:-$folder/.dc-index}
model=$(realpath -s -- "$model")
say() { [ -n "$quiet" ] || echo "$me: $*" >&2; }

chunk=2000 # photos that are looked at before the index is written
export LC_ALL=C
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

# --- the index: features/ (.npy files), and a line for each of their rows in files.tsv: bytes, time of change, name.
# --- files.tsv is removed first and written last, so that an index without it is one that was never finished
mkdir -p "$index" 2>/dev/null && [ -w "$index" ] || die "$index: cannot be written; say where the index shall be: --index DIR"
[ -e "$index/lock" ] || [ -z "$(ls -A "$index")" ] || die "$index: there is something in it, and it is no index"
exec 9>"$index/lock"
flock -n 9 || { say "waiting for another search.sh on $index"; flock 9; }

model_dir() { if [ -e "$model/latest" ]; then echo "$model/latest"; else echo "$model"; fi; }
of_model() { # of_model COMMAND...: over the files that make the model
	if [ -f "$model" ]; then
		"$@" "$model"
	else
		(cd "$(model_dir)" && find -L . -maxdepth 1 -type f \( -name '*.safetensors' -o -name '*.json' -o -name '*.txt' \
			-o -name '*.gz' \) ! -name state.safetensors -print0 | sort -z | xargs -0 -r "$@")
	fi
}
same_model() { # by size and time of its files, or else by their bytes
	of_model stat -L -c '%s %y' -- >"$tmp/model.stat" || die "$model: cannot be read"
	[ -s "$tmp/model.stat" ] || die "$model: no model in it"
	cmp -s "$tmp/model.stat" "$index/model.stat" && [ -f "$index/model.sha256" ] && return
	of_model sha256sum -- | cut -d ' ' -f 1 >"$tmp/model.sha256" || die "$model: cannot be read"
	cmp -s "$tmp/model.sha256" "$index/model.sha256"
}
current() { # what is there now, in the order of the names
	(cd "$folder" && find -H . -mindepth 1 -name '.*' -prune -o ! -path $'*\n*' \( -type f -o -xtype f \) \
		\( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' \) -printf '%s\t%T@\t%P\n') |
		sort -t $'\t' -k 3
}
encode() { # encode NAMES REJECTS: features of these files in FOLDER
	(cd "$folder" && dc-files --exif --from "$1" --rejects "$2") | dc-augment --recipe eval --model "$model" |
		dc-encode --model "$model"
}
lines() { wc -l <"$1"; }

# A known file is in the index as it is now (a row of old), or known to be of no use (skipped: why, then as in files.tsv).
refresh() { # look at $chunk new photos; 0 while there are more
	local new refused gone message streams=()
	for f in files skipped; do cat "$index/$f.tsv" >"$tmp/old.$f" 2>/dev/null || : >"$tmp/old.$f"; done
	rm -f "$tmp/files.tsv" "$tmp/rows" "$tmp/skipped.tsv"
	touch "$tmp/files.tsv" "$tmp/rows" "$tmp/skipped.tsv"
	: >"$tmp/rejects"
	awk -F '\t' -v old="$tmp/old.files" -v skipped="$tmp/old.skipped" '
		function rest(s) { return substr(s, index(s, "\t") + 1) }
		FILENAME == old { known[$0] = 1; next }
		FILENAME == skipped { known[rest($0)] = 1; next }
		!($0 in known) { print rest(rest($0)) }
	' "$tmp/old.files" "$tmp/old.skipped" "$tmp/now" >"$tmp/unknown"
	head -n "$chunk" "$tmp/unknown" >"$tmp/names"
	new=$(lines "$tmp/names")
	if [ "$new" -gt 0 ]; then
		say "looking at $(lines "$tmp/unknown") photos"
		encode "$tmp/names" "$tmp/rejects" >"$tmp/new.dcs" || [ "$(lines "$tmp/rejects")" -eq "$new" ] || exit 1
	fi
	# rows of the new index: of the old one, or of the new features behind them
	awk -F '\t' -v old="$tmp/old.files" -v skipped="$tmp/old.skipped" -v rejects="$tmp/rejects" -v names="$tmp/names" -v tmp="$tmp" '
		function rest(s) { return substr(s, index(s, "\t") + 1) }
		BEGIN { files = tmp "/files.tsv"; rows = tmp "/rows"; none = tmp "/skipped.tsv" }
		FILENAME == old { row[$0] = n_old++; next }
		FILENAME == skipped { why[rest($0)] = $1; next }
		FILENAME == rejects { bad[$1] = $2; next }
		FILENAME == names { if ((FNR - 1) in bad) refused[$0] = bad[FNR - 1]; else fresh[$0] = n_new++; next }
		$0 in why { print why[$0] "\t" $0 >none; next }
		$0 in row { print row[$0] >rows; print >files; kept++; next }
		{ name = rest(rest($0)) }
		name in refused { print refused[name] "\t" $0 >none }
		name in fresh { print n_old + fresh[name] >rows; print >files }
		END { print n_old - kept }
	' "$tmp/old.files" "$tmp/old.skipped" "$tmp/rejects" "$tmp/names" "$tmp/now" >"$tmp/gone"
	gone=$(cat "$tmp/gone") refused=$(lines "$tmp/skipped.tsv")
	if ! cmp -s "$tmp/files.tsv" "$tmp/old.files"; then
		if [ -s "$tmp/old.files" ]; then
			dc-npy --from "$index/features" >"$tmp/old.dcs" || die "$index: damaged; --rebuild makes it anew"
			streams+=("$tmp/old.dcs")
		fi
		[ "$(lines "$tmp/rejects")" -eq "$new" ] || streams+=("$tmp/new.dcs")
		rm -rf "$index/features.new"
		[ ! -s "$tmp/rows" ] || dc-pick --rows "$tmp/rows" "${streams[@]}" | dc-npy --normalize "$index/features.new" || exit 1
		rm -rf "$index/files.tsv" "$index/features"
		[ ! -s "$tmp/rows" ] || mv "$index/features.new" "$index/features"
	fi
	cp "$tmp/skipped.tsv" "$index/skipped.tsv"
	cp "$tmp/model.stat" "$index/model.stat"
	[ ! -f "$tmp/model.sha256" ] || cp "$tmp/model.sha256" "$index/model.sha256"
	if [ -s "$tmp/files.tsv" ] && ! cmp -s "$tmp/files.tsv" "$index/files.tsv"; then
		cp "$tmp/files.tsv" "$index/.files.tsv" && mv "$index/.files.tsv" "$index/files.tsv"
		message="$index: $(lines "$index/files.tsv") photos"
		[ "$gone" -eq 0 ] || message+=", $gone gone or changed"
		[ "$refused" -eq 0 ] || message+=", $refused cannot be used (skipped.tsv)"
		say "$message"
	fi
	[ "$(lines "$tmp/unknown")" -gt "$new" ]
}

same=1
same_model || same=
[ -n "$same" ] || [ ! -f "$index/files.tsv" ] || say "$index is of another model, or this one has changed"
[ -n "$same" ] && [ -z "$rebuild" ] && [ -f "$index/files.tsv" ] && [ -d "$index/features" ] || rm -f "$index/files.tsv" "$index/skipped.tsv"
current >"$tmp/now" || : # find has said what it could not enter
while refresh; do :; done
if [ ! -f "$index/files.tsv" ]; then
	[ ! -s "$tmp/now" ] || die "$folder: none of the $(lines "$tmp/now") photos can be used"
	die "$folder: no photos in this folder (.jpg, .jpeg, .png, .webp)"
fi
[ -z "$update" ] || exit 0

# --- the search ---
failed=''
if [ -z "$text" ] && [ -f "$query" ]; then
	printf '%s\n' "$query" >"$tmp/query"
	what=image_features.0
	dc-files --exif --from "$tmp/query" | dc-augment --recipe eval --model "$model" | dc-encode --model "$model" >"$tmp/query.dcs" ||
		exit 1
else
	what=text_features.0
	printf '%s\n' "$query" | dc-tokenize --model "$model" ${vocab[@]+"${vocab[@]}"} --lines - |
		dc-encode --model "$model" >"$tmp/query.dcs" || exit 1
fi
n=$(lines "$index/files.tsv")
[ "$top" -le "$n" ] || top=$n
dc-npy --from "$index/features" | dc-knn --base - --self --query "$tmp/query.dcs" --query-features "$what" --list "$top" >"$tmp/list" 2>"$tmp/said" || failed=1
sed "s|$tmp/query.dcs|the query|; s|<stdin>|the index|" "$tmp/said" >&2
[ -z "$failed" ] || exit 1
cut -f 3- "$index/files.tsv" >"$tmp/names"
flock -u 9
awk -F '\t' -v names="$tmp/names" 'FILENAME == names { name[FNR - 1] = $0; next } FNR > 1 { print $4 "\t" name[$5] }' \
	"$tmp/names" "$tmp/list" >"$tmp/hits"
FOLDER=${folder%/} awk -F '\t' '{ printf "%.4f\t%s/%s\n", $1, ENVIRON["FOLDER"], substr($0, index($0, "\t") + 1) }' "$tmp/hits"
if [ -n "$sheet" ]; then
	cut -f 2- "$tmp/hits" >"$tmp/names"
	awk -F '\t' '{ printf "%.3f %s\n", $1, substr($0, index($0, "\t") + 1) }' "$tmp/hits" >"$tmp/captions"
	columns=$((top < 5 ? top : 5))
	(cd "$folder" && dc-files --exif --from "$tmp/names" --captions "$tmp/captions") |
		dc-peek --quiet --sheet "$sheet" --rows $(((top + columns - 1) / columns)) --columns "$columns" >/dev/null || exit 1
fi
