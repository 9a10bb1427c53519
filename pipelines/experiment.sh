#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One experiment of ablation.mk: a method of methods/*.conf, and a seed.
#
#	experiment.sh data SHARDS...              the list of data as it goes into the hash: names and sizes
#	experiment.sh name METHOD SEED            METHOD-sSEED-HASH; the hash is of everything that decides the run's bytes
#	experiment.sh options METHOD SEED         the options of train.sh, quoted for the shell
#
# METHOD is the name of a file, or one that dc-init knows, or NAME@EPOCHS for another length.
# The environment has what is common: DATA_LIST (what `data` said), ARCH, EPOCHS, BATCH, CAPTION, BLUR, OPTIONS, METHOD_DIR,
# and METHOD_OPTIONS. NOT_YET: shards may be missing, for a dry run.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
me=experiment.sh
usage() { sed -n '5,9s/^#[\t ]\{0,1\}//p' "${BASH_SOURCE[0]}"; }
die() { echo "$me: $*" >&2; exit 1; }

expand() { # {000..011} and {a,b}, as dc-decode does it: to the shell all the rest is quoted
	local w=() s
	s=$(printf %q "$1" | sed 's/\\\([{},]\)/\1/g')
	eval "w=($s)"
	printf '%s\n' "${w[@]}"
}
list() {
	local s
	for s; do expand "$s"; done | while IFS= read -r s; do
		[ -f "$s" ] || [ -n "${NOT_YET:-}" ] || die "$s: no such shard"
		[ -f "$s" ] || { echo "${s##*/} -"; continue; }
		echo "${s##*/} $(stat -Lc %s "$s")"
	done
}

words() { # words TEXT...: as a shell would split them, quotes included; one a line
	local w=()
	[[ $* != *[\`\$\;\&\|\<\>]* ]] || die "$*: only words and quotes"
	eval "w=($*)" || die "cannot read the options $*"
	printf '%s\n' "${w[@]}"
}

# What several say about --augment holds together; BLUR is for recipes that blur.
join_augment() { awk -v blur="${BLUR:-}" '
	augment { more = more s $0; s = " "; augment = 0; next }
	$0 == "--augment" { augment = 1; next }
	is { views[is] = $0; is = "" }
	$0 == "--method" || $0 == "--views" { is = $0 }
	{ print }
	END {
		r = "--views" in views ? views["--views"] : views["--method"]
		if (blur && r !~ /^(clip|openclip|siglip)$/) more = more s "--blur " blur
		if (more) print "--augment\n" more
	}'
}

options() { # options METHOD SEED: one word a line; of what is said twice the last counts
	local method=${1%@*} epochs=${EPOCHS:-} conf
	[[ $1 != *@* ]] || epochs=${1#*@}
	conf=${METHOD_DIR:-$here/methods}/$method.conf
	[ -f "$conf" ] || conf=$here/methods/$method.conf
	if [ ! -f "$conf" ] && dc-init --help | sed -n 's/.*--method \([^ ]*\).*/|\1|/p' | grep -F "|$method|" >/dev/null; then
		conf=/dev/null # what dc-init knows needs no file
		words "--method $method"
	fi
	[ "$conf" = /dev/null ] || [ -f "$conf" ] || die "no method '$method': not in ${METHOD_DIR:+$METHOD_DIR nor in }$here/methods"
	printf '%s\n' --arch "$ARCH" --batch "$BATCH" --seed "$2"
	[ -z "$epochs" ] || printf '%s\n' --epochs "$epochs"
	[ -z "${CAPTION:-}" ] || printf '%s\n' --caption "$CAPTION"
	{
		words "${OPTIONS:-}"
		words "$(sed 's/^[[:blank:]]*#.*//' "$conf" | tr '\n' ' ')"
		words "${METHOD_OPTIONS:-}"
	} | join_augment
}
# the last of each option, sorted, and files by what is in them
canonical() {
	local name value
	while IFS= read -r name; do
		[ -n "$name" ] || continue
		case $name in
		--exif | --keep-encoded | --strict | --by-value | --accept-numerics | --override) value=yes ;;
		--*) IFS= read -r value ;;
		*) die "$name: an option of train.sh was expected" ;;
		esac
		case $name in
		--arch) [[ $value == *.json ]] || value=$here/arch/$value.json ;;
		esac
		case $name in --arch | --vocab) value=$(sha256sum <"$value") || exit 1 ;; esac
		case $name in --threads | --data-threads | --val*) continue ;; esac
		printf '%s\t%s\n' "$name" "$value"
	done | awk -F '\t' '{ v[$1] = $2 } END { for (k in v) print k "\t" v[k] }' | sort
}

set -o pipefail
case ${1-} in
data) shift; list "$@" ;;
options) options "$2" "$3" | while IFS= read -r w; do [ -z "$w" ] || printf '%q ' "$w"; done || exit 1 ;;
name)
	text=$(options "$2" "$3" | canonical) || exit 1
	hash=$({ echo "$text"; echo "${DATA_LIST:-}"; } | sha256sum) || exit 1
	echo "$2-s$3-${hash:0:10}" ;;
-h | --help) usage; exit 0 ;;
*) usage >&2; exit 2 ;;
esac
