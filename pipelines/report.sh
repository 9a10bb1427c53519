#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# One HTML page of what a run, or several, have to show: curves, scores, what the model saw and finds. man report.sh has more.
set -u -o pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
me=report.sh
usage() {
	cat <<-'END'
	usage: report.sh [options] RUN...
	Write one self-contained HTML page about a training run, or about several side by side: curves, scores, what the
	model saw, what it takes for near, and its configuration. Nothing on it is loaded from elsewhere.

	  -o, --out FILE       the page [report.html in the first RUN]
	      --test SHARDS    score the newest checkpoints on these, and show what they find
	      --caption WHERE  where the captions of those are, as for train.sh [as in training]
	      --names FILE     those have classes in .cls, of these names: zero-shot, not retrieval
	      --prompts FILE   and these are the prompts, as for score.sh [templates with the names]
	      --title TEXT     the page's heading [the names of the runs]
	      --samples N      samples of each kind to show [8]
	  -h, --help           print this and exit
	      --version        print the version and exit
	END
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { echo "$me: $*" >&2; echo "Try '$me --help'." >&2; exit 2; }

out='' tests=() where='' classes='' prompts='' title='' samples=8 runs=()
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--version) exec dc-step --version ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
	-o | --out | --test | --caption | --names | --prompts | --title | --samples)
		[ $# -gt 1 ] || die_usage "$1 needs a value"
		case $1 in
		-o | --out) out=$2 ;;
		--test) tests+=("$2") ;;
		--caption) where=$2 ;;
		--names) classes=$2 ;;
		--prompts) prompts=$2 ;;
		--title) title=$2 ;;
		--samples) samples=$2 ;;
		esac
		shift 2; continue ;;
	-?*) die_usage "unknown option $1" ;;
	*) runs+=("${1%/}") ;;
	esac
	shift
done
[ ${#runs[@]} -gt 0 ] || { usage >&2; exit 2; }
[[ $samples =~ ^[0-9]+$ ]] && [ "$samples" -ge 1 ] && [ "$samples" -le 64 ] || die_usage "--samples $samples: must be a whole number from 1 to 64"
for r in "${runs[@]}"; do [ -f "$r/run.json" ] || [ -f "$r/log.tsv" ] || die "$r: no run, it has neither run.json nor log.tsv"; done
command -v dc-step >/dev/null || die "dc-step is not built (make) and not on PATH"
out=${out:-${runs[0]}/report.html}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM HUP
: >"$tmp/every-option"

# --- pieces of HTML ---
text() { iconv -f utf-8 -t utf-8 -c | tr -d '\000-\010\013\014\016-\037\177' | sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g'; }
html() { printf '%s' "$*" | text; }
picture() { # picture FILE ALT [CLASS]
	[ -s "$1" ] || return 0
	printf '<img%s alt="%s" src="data:image/jpeg;base64,%s"/>' "${3:+ class=\"$3\"}" "$(html "$2")" "$(base64 -w 0 "$1")"
}
section() { printf '<section>\n<h2>%s</h2>\n' "$1"; }
missing() { printf '<p class="none">%s</p>\n' "$*"; }
grouped() { sed -e :a -e 's/^\([0-9]*[0-9]\)\([0-9]\{3\}\)/\1,\2/; ta'; } # 1234567 -> 1,234,567

# --- what a run has ---
name_of() { basename "$(cd "$1" && pwd)"; }
declare -A recorded
read_options() { # read_options RUN: as train.sh recorded them
	local line
	while read -r line; do
		[[ $line =~ ^\"([a-z-]+)\":\ \"(.*)\",?$ ]] || continue
		recorded[$1/${BASH_REMATCH[1]}]=$(sed 's/\\\\/\x01/g; s/\\t/\t/g; s/\\"/"/g; s/\x01/\\/g' <<<"${BASH_REMATCH[2]}")
		echo "${BASH_REMATCH[1]}" >>"$tmp/every-option"
	done <"$1/run.json"
}
option() { echo "${recorded[$1/$2]-}"; } # option RUN NAME
number() { ! [[ ${1-} =~ ^[0-9]+$ ]] || echo "$1"; } # or nothing: the shell and awk would run what stands in a number's place
column() { # column FILE NAME: its values
	awk -F '\t' -v col="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == col) c = i; next } c && $c != "nan" { print $c }' "$1"
}
is_checkpoint() { [ -f "$1/latest/open_clip_config.json" ] || [ -f "$1/step-00000000/open_clip_config.json" ]; }

# The run's own commands: train.sh prints them, and they are run again for a few batches.
pipeline() { # pipeline RUN: the lines of its script in $tmp/script
	"$here/train.sh" --run "$1" -n >"$tmp/script" 2>"$tmp/why" </dev/null
}
stage() { # stage TOOL: its options in the script, quoted
	sed -n "s/^ *$1 \(.*\) |\$/\1/p" "$tmp/script"
}
decode() { # decode FROM TO: the run's batches FROM to TO-1
	local words reader=dc-decode
	[ -n "$(stage dc-decode)" ] || reader=dc-mix
	words=$(stage $reader | sed 's/ --\(steps\|epochs\|skip\) [0-9]*//g; s/^\(steps\|epochs\|skip\) [0-9]* //')
	eval "$reader $words --rejects /dev/null --skip $1 --steps $2" 2>/dev/null
}
augment() { eval "dc-augment $(stage dc-augment)"; }
tokenize() { eval "dc-tokenize $(stage dc-tokenize)"; }

# --- charts ---
charts=0
chart() { # chart COLUMN TITLE "AWK OPTIONS" FILE...: a figure, or nothing where no file has that column
	local col=$1 what=$2 how=$3 k ends=''
	shift 3
	charts=$((charts + 1))
	# shellcheck disable=SC2086
	awk -F '\t' -v col="$col" -v id="c$charts" -v name="$what" -v ends="$tmp/ends" $how -f "$here/chart.awk" "$@" >"$tmp/chart" || return 0
	while IFS=$'\t' read -r k value; do
		if [ ${#runs[@]} -gt 1 ]; then ends+="<span class=\"key k$(((k - 1) % 8))\">$value</span> "; else ends+="<span class=\"key\">$value</span>"; fi
	done <"$tmp/ends"
	printf '<figure>\n<figcaption><b>%s</b> <span>%s</span></figcaption>\n' "$what" "${ends% }"
	cat "$tmp/chart"
	printf '</figure>\n'
}
legend() {
	local k=0 r
	[ ${#runs[@]} -gt 1 ] || return 0
	printf '<p class="legend">'
	for r in "${runs[@]}"; do printf '<span class="key k%d">%s</span> ' $((k % 8)) "$(html "${names[k]}")"; k=$((k + 1)); done
	printf '</p>\n'
}

# --- sections ---
facts() { # facts RUN: lines of a name, a value and a note, as HTML
	local run=$1 log=$1/log.tsv batch count total position value
	batch=$(number "$(option "$run" batch)")
	pipeline "$run"
	count=$(sed -n 's/^# \([0-9]*\) samples an epoch.*/\1/p' "$tmp/script")
	total=$(sed -n 's/^# .* epoch, \([0-9]*\) batches.*/\1/p' "$tmp/script")
	position=$(dc-step --run "$run" --print position 2>/dev/null)
	fact() { [ -z "$2" ] || printf '%s\t%s\t%s\n' "$1" "$2" "${3-}"; }
	if [ -n "$position" ]; then
		value="in the newest checkpoint${total:+, of $(grouped <<<"$total")}"
		[ -z "$total" ] || [ "$position" -lt "$total" ] || value=finished
		fact batches "$(grouped <<<"$position")" "$value"
		[ -z "$batch" ] || fact 'pairs seen' "$(grouped <<<$((position * batch)))" "${count:+$(awk "BEGIN { printf \"%.3g\", $position * $batch / $count }") epochs of $(grouped <<<"$count")}"
	fi
	if [ -s "$log" ]; then
		awk -f "$here/whole.awk" "$log" >"$tmp/log"
		fact loss "$(column "$tmp/log" total | tail -n 50 | awk '{ s += $1 } END { if (NR) printf "%.4g", s / NR }')" 'mean of the last 50 steps'
		fact 'right within the batch' "$(column "$tmp/log" accuracy | tail -n 50 | awk '{ s += $1 } END { if (NR) printf "%.1f %%", 100 * s / NR }')" 'in the last 50 steps'
		fact 'pairs a second' "$(column "$log" pairs_per_s | sort -g | awk '{ v[NR] = $1 } END { if (NR) printf "%.4g", v[int((NR + 1) / 2)] }')" median
		[ -z "$batch" ] || fact time "$(column "$log" pairs_per_s | awk -v batch="$batch" '$1 > 0 { s += batch / $1 }
			END { if (s >= 36000) printf "%.1f h", s / 3600; else if (s >= 600) printf "%.0f min", s / 60; else if (s) printf "%.0f s", s }')" 'of all steps together'
	fi
	fact parameters "$(sed -n 's/^# parameters \([0-9.]* [a-z]*\).*/\1/p' "$tmp/script")" 'with the heads'
	[ ! -s "$run/val.tsv" ] || text <"$run/val.tsv" | awk -F '\t' 'NR == 1 { what = $NF; next } $NF != "nan" && (best == "" || $NF + 0 > best) { best = $NF + 0; step = $1 }
		END { if (best != "") printf "best validation\t%.1f %%\t%s, step %s\n", 100 * best, what, step }'
}
overview() {
	local k
	if [ ${#runs[@]} -eq 1 ]; then
		printf '<p class="lead">A training run of %s.</p>\n<dl class="tiles">\n' "$(lead "${runs[0]}")"
		facts "${runs[0]}" | awk -F '\t' '{ printf "<div><dt>%s</dt><dd>%s%s</dd></div>\n", $1, $2, $3 == "" ? "" : " <small>" $3 "</small>" }'
		printf '</dl>\n'
		return
	fi
	for k in "${!runs[@]}"; do
		printf '%d\t<span class="key k%d">%s</span>\t%s\n' "$k" $((k % 8)) "$(html "${names[k]}")" "$(lead "${runs[k]}")"
		facts "${runs[k]}" | sed "s/^/$k	/"
	done | awk -F '\t' -v runs=${#runs[@]} '
		$2 ~ /^</ { name[$1] = $2; lead[$1] = $3; next }
		{ if (!($2 in seen)) { seen[$2] = 1; row[++n] = $2 } v[$2, $1] = $3; note[$2, $1] = $4 }
		END { printf "<div class=\"wide\"><table>\n<thead><tr><td></td>"
			for (k = 0; k < runs; k++) printf "<th scope=\"col\">%s<br/>%s</th>", name[k], lead[k]
			print "</tr></thead>\n<tbody>"
			for (i = 1; i <= n; i++) { printf "<tr><th scope=\"row\">%s</th>", row[i]
				for (k = 0; k < runs; k++) printf "<td><b>%s</b> <small>%s</small></td>", v[row[i], k] == "" ? "-" : v[row[i], k], note[row[i], k]
				print "</tr>" }
			print "</tbody>\n</table></div>" }'
}

curves() {
	local logs=() r term
	section 'Training'
	for r in "${runs[@]}"; do
		if [ "$(head -n 2 "$r/log.tsv" 2>/dev/null | wc -l)" -ge 2 ]; then
			awk -f "$here/whole.awk" "$r/log.tsv" >"$tmp/log.${#logs[@]}"
			logs+=("$tmp/log.${#logs[@]}")
		else
			logs+=(/dev/null); missing "$(html "$(name_of "$r")") has no step in its log yet."; fi
	done
	legend
	printf '<div class="charts">\n'
	chart total 'Loss, the weighted total' '' "${logs[@]}"
	for r in "${logs[@]}"; do head -n 1 "$r" | tr '\t' '\n' | sed '/^step$/d; /^total$/,$d'; done | awk '!seen[$0]++' >"$tmp/terms"
	while read -r term; do chart "$term" "$(sed "s/^clip\$/CLIP: images and captions/; s/^mvs\$/MVS: the other views/; s/^simsiam\$/SimSiam: views of an image/
		s/^mlm\$/MLM: masked words/; s/^nns\$/NNS: nearest neighbours/" <<<"$term" | text)" '' "${logs[@]}"; done <"$tmp/terms"
	chart accuracy 'Right within the batch' '-v zero=1' "${logs[@]}"
	chart lr 'Learning rate' '-v zero=1' "${logs[@]}"
	chart logit_scale 'Logit scale, its logarithm' '' "${logs[@]}"
	chart grad_norm 'Norm of the gradient' '-v zero=1' "${logs[@]}"
	chart pairs_per_s 'Pairs a second' '-v zero=1' "${logs[@]}"
	chart wait_s 'Seconds waited, a step' '-v zero=1' "${logs[@]}"
	for r in "${logs[@]}"; do head -n 1 "$r" | tr '\t' '\n'; done | grep -vxE 'step|total|accuracy|lr|logit_scale|grad_norm|pairs_per_s|wait_s|simsiam_std|batch_size' |
		grep -vxFf "$tmp/terms" | awk '!seen[$0]++' >"$tmp/more"
	while read -r term; do chart "$term" "$(html "$term")" '' "${logs[@]}"; done <"$tmp/more"
	printf '</div>\n<p class="note">Over the steps; lines are means of up to 90 windows of steps, bands go from the smallest to the largest value in each; the number is where a line ends. A step whose batch was short, as the last of a run often is, is left out: a loss over fewer pairs is lower.</p>\n</section>\n'
}

validation() {
	local tables=() r col any=''
	for r in "${runs[@]}"; do if [ -s "$r/val.tsv" ]; then tables+=("$r/val.tsv"); any=1; else tables+=(/dev/null); fi; done
	section 'Validation while training'
	if [ -z "$any" ]; then
		missing "No checkpoint was scored while it trained; <code>train.sh --val SHARDS</code> does that."
	else
		legend
		printf '<div class="charts">\n'
		for r in "${tables[@]}"; do head -n 1 "$r" | tr '\t' '\n' | sed '1d; /^pairs$/d'; done | awk '!seen[$0]++' >"$tmp/columns"
		while read -r col; do chart "$col" "$(sed 's/^i2t_r\([0-9]*\)$/Image to text, R@\1/; s/^t2i_r\([0-9]*\)$/Text to image, R@\1/; s/^mean$/Mean of the recalls/' <<<"$col" | text)" '-v zero=1 -v marks=1' "${tables[@]}"; done <"$tmp/columns"
		printf '</div>\n'
	fi
	printf '</section>\n'
}

as_table() { # as_table FILE: tab-separated with a header
	text <"$1" | awk -F '\t' '
		NR == 1 { n = NF; printf "<div class=\"wide\"><table>\n<thead><tr>"; for (i = 1; i <= NF; i++) printf "<th scope=\"col\">%s</th>", $i; print "</tr></thead>\n<tbody>"; next }
		NF { printf "<tr>"; for (i = 1; i <= n; i++) printf "<td%s>%s</td>", ($i ~ /^[-+0-9.e%]+$/ ? " class=\"number\"" : ""), $i; print "</tr>" }
		END { if (NR) print "</tbody>\n</table></div>" }'
}

score() { # score K RUN: recall or zero-shot on the test shards in $tmp/score.K, its features in $tmp/features.K
	local source
	if [ -n "$classes" ]; then
		"$here/score.sh" --tsv ${prompts:+--prompts "$prompts"} --features "$tmp/features.$1" zeroshot "$2" "$classes" "${tests[@]}" >"$tmp/score.$1" 2>"$tmp/why"
		return
	fi
	source=${where:-$(option "$2" caption)}
	"$here/score.sh" --tsv ${source:+--caption "$source"} --features "$tmp/features.$1" recall "$2" "${tests[@]}" >"$tmp/score.$1" 2>"$tmp/why"
}
scores() {
	local k r f some=''
	section 'Scores'
	if [ ${#tests[@]} -gt 0 ]; then
		printf '<p>%s on <code>%s</code> by the newest checkpoints, in percent, with standard errors.</p>\n' \
			"$([ -n "$classes" ] && echo 'Zero-shot classification' || echo Retrieval)" "$(html "${tests[*]}")"
		for k in "${!runs[@]}"; do
			score "$k" "${runs[k]}" || { echo "$me: ${names[k]} could not be scored: $(tail -n 1 "$tmp/why")" >&2; missing "$(html "${names[k]}") could not be scored: $(tail -n 1 "$tmp/why" | text)"; rm -f "$tmp/score.$k"; continue; }
			sed -n '2,$p' "$tmp/score.$k" | awk -F '\t' -v k="$k" '{ print k "\t" $0 }'
		done >"$tmp/all"
		grep '^<p' "$tmp/all"; grep -v '^<p' "$tmp/all" >"$tmp/rows"
		[ ! -s "$tmp/rows" ] || { for k in "${!names[@]}"; do html "${names[k]}"; echo; done; cat "$tmp/rows"; } | awk -F '\t' -v runs=${#runs[@]} '
			NR <= runs { name[NR - 1] = $0; next }
			{ if (!($2 in seen)) { seen[$2] = ++n; row[n] = $2 } v[$2, $1] = $3; se[$2, $1] = $4; chance[$2] = $5 }
			function title(s) {
				sub(/^i2t_/, "image to text, ", s); sub(/^t2i_/, "text to image, ", s); gsub(/_/, " ", s); return s }
			END { printf "<div class=\"wide\"><table>\n<thead><tr><th scope=\"col\"></th>"
				for (k = 0; k < runs; k++) printf "<th scope=\"col\" class=\"number\" colspan=\"2\">%s</th>", name[k]
				print "<th scope=\"col\" class=\"number\">chance</th></tr></thead>\n<tbody>"
				for (i = 1; i <= n; i++) { s = row[i]; share = s ~ /R@|top|mean_per/
					printf "<tr><th scope=\"row\">%s</th>", title(s)
					for (k = 0; k < runs; k++) { x = v[s, k]
						if (x == "") printf "<td></td><td class=\"number\">-"
						else if (share) printf "<td class=\"number\">%.1f <small>± %.1f</small></td><td><meter min=\"0\" max=\"1\" value=\"%s\">%s</meter>", 100 * x, 100 * se[s, k], x, x
						else printf "<td class=\"number\">%.1f</td><td>", x
						printf "</td>" }
					if (chance[s] == "") c = "-"; else c = share ? sprintf("%.1f", 100 * chance[s]) : sprintf("%.1f", chance[s])
					printf "<td class=\"number\">%s</td></tr>\n", c }
				print "</tbody>\n</table></div>" }'
		some=1
	fi
	for k in "${!runs[@]}"; do
		for f in "${runs[k]}"/scores.tsv "${runs[k]}"/test-*.tsv; do
			[ -s "$f" ] || continue
			some=1
			printf '<h3><code>%s</code></h3>\n' "$(html "$f")"
			as_table "$f"
		done
	done
	[ -n "$some" ] || missing 'Nothing was scored; <code>report.sh --test SHARDS</code> does it for this page.'
	printf '</section>\n'
}

# T2 as what became of T1: words left out and words put in. Columns: number, key, T1, T2, pieces, asked; all escaped.
cards() {
	awk -F '\t' '
	function diff(s, t,    a, b, n, m, i, j, l, out) {
		n = split(s, a, " "); m = split(t, b, " ")
		for (i = n + 1; i >= 1; i--) for (j = m + 1; j >= 1; j--)
			l[i, j] = i > n || j > m ? 0 : a[i] == b[j] ? l[i + 1, j + 1] + 1 : l[i + 1, j] > l[i, j + 1] ? l[i + 1, j] : l[i, j + 1]
		out = ""
		for (i = j = 1; i <= n || j <= m;) {
			if (i <= n && j <= m && a[i] == b[j]) { out = out " " a[i]; i++; j++ }
			else if (i <= n && (j > m || l[i + 1, j] >= l[i, j + 1])) out = out " <del>" a[i++] "</del>"
			else out = out " <ins>" b[j++] "</ins>"
		}
		return substr(out, 2)
	}
	function masked(pieces, asked,    p, w, n, i, out, at, ends, want) {
		n = split(asked, w, " ")
		for (i = 1; i <= n; i++) { at = w[i]; sub(/:.*/, "", at); sub(/^[0-9]*:/, "", w[i]); sub(/&lt;\/w&gt;$/, "", w[i]); want[at + 0] = w[i] }
		n = split(pieces, p, " ")
		out = ""
		for (i = 1; i <= n; i++) {
			ends = sub(/&lt;\/w&gt;$/, "", p[i]) || p[i] == "[mask]"
			if (i in want) p[i] = "<ruby>" (p[i] == "[mask]" ? "<span>[mask]</span>" : p[i]) "<rp>(</rp><rt>" want[i] "</rt><rp>)</rp></ruby>"
			out = out p[i] (ends ? " " : "")
		}
		return out
	}
	{ printf "%s\t%s\t<dl>", $1, $2
		if ($3 != "") printf "<dt>T1</dt><dd>%s</dd>", $3
		if ($4 != "") printf "<dt>T2</dt><dd>%s</dd>", diff($3, $4)
		if ($5 != "") printf "<dt>MLM</dt><dd class=\"mlm\">%s</dd>", masked($5, $6)
		print "</dl>" }'
}

first() { awk -v n="$1" 'NR <= n'; } # lines, and reads all: who writes them must not fail
# the columns that are wanted of a table, by name; empty where there is none
cut_columns() { # cut_columns FILE NAME...
	local f=$1; shift
	awk -F '\t' -v want="$*" 'NR == 1 { n = split(want, w, " "); for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ for (i = 1; i <= n; i++) printf "%s%s", (i > 1 ? "\t" : ""), (w[i] in at ? $at[w[i]] : ""); print "" }' "$f"
}

saw() { # saw RUN
	local run=$1 position from number key dl v
	section 'What the model saw'
	if ! pipeline "$run"; then missing "The batches cannot be made again: $(tail -n 1 "$tmp/why" | text)"; echo '</section>'; return; fi
	position=$(dc-step --run "$run" --print position 2>/dev/null)
	from=$((${position:-0} > 0 ? position - 1 : 0))
	rm -rf "$tmp/views"
	if ! { decode "$from" $((from + 1)) | augment | dc-peek -q --images "$tmp/views" --table "$tmp/views.tsv" | tokenize |
		dc-peek -q --vocab "$run/latest/bpe.txt.gz" --table "$tmp/batch.tsv" >/dev/null; } 2>"$tmp/why" || [ ! -s "$tmp/batch.tsv" ]; then
		missing "The batches cannot be made again: $(tail -n 1 "$tmp/why" | text)"; echo '</section>'; return
	fi
	printf '<p>From batch %s of this run, made once more by its own commands: the two augmented views of each image, its caption (T1), the caption after its small change (T2; words <del>left out</del> and <ins>put in</ins>), and what the language model is asked: the words above the line.</p>\n<div class="cards">\n' "$from"
	paste <(cut_columns "$tmp/views.tsv" image key caption.0 caption.1) <(cut_columns "$tmp/batch.tsv" masked asked) | first "$samples" | text | cards |
		while IFS=$'\t' read -r number key dl; do
			printf '<figure class="card"><div class="views">'
			for v in "$tmp/views/$(printf %06d "$number")".?.jpg; do picture "$v" "view $((10#$(basename "$v" .jpg | sed 's/.*\.//') + 1)) of sample $key"; done
			printf '</div><figcaption>%s<small class="id">%s</small></figcaption></figure>\n' "$dl" "$key"
		done
	printf '</div>\n</section>\n'
}

# Rows of floats out of a file, by the byte where they begin; and the head of an .npy file that they make.
rows() { tail -c "+$(($2 + 1))" "$1" 2>/dev/null | head -c $(($3 * $4 * 4)); } # rows FILE FROM COUNT WIDTH
npy() { printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($1, $2), }"; }

neighbours() { # neighbours RUN
	local run=$1 state=$1/latest/state.safetensors header place Q D at head valid L batch position back n after
	section 'Nearest neighbours in the queue'
	if ! grep -q '"nns":0\.[0-9]*[1-9]\|"nns":[1-9]' <(dc-step --run "$run" --print config 2>/dev/null); then
		missing 'This run has no nearest-neighbour term.'; echo '</section>'; return
	fi
	if [ "$(option "$run" as)" = released ]; then
		missing 'Not shown for runs <code>--as released</code>: their queue holds both captions of a pair, and drops some.'; echo '</section>'; return
	fi
	header=$(od -An -tu8 -N8 "$state" 2>/dev/null | tr -d ' ')
	place=$(head -c $((8 + ${header:-0})) "$state" 2>/dev/null | grep -ao '"nn_queue":{[^}]*}')
	read -r Q D at <<<"$(sed -n 's/.*"shape":\[\([0-9]*\),\([0-9]*\)\],"data_offsets":\[\([0-9]*\),.*/\1 \2 \3/p' <<<"$place")"
	head=$(head -c $((8 + ${header:-0})) "$state" 2>/dev/null | grep -ao '"nn_head":"[0-9]*"' | tr -dc 0-9)
	valid=$(head -c $((8 + ${header:-0})) "$state" 2>/dev/null | grep -ao '"nn_valid":"[0-9]*"' | tr -dc 0-9)
	if [ -z "$at" ] || [ -z "$head" ] || [ "${valid:-0}" -eq 0 ]; then missing 'The queue is empty yet.'; echo '</section>'; return; fi
	if ! pipeline "$run"; then missing "The captions cannot be read again: $(tail -n 1 "$tmp/why" | text)"; echo '</section>'; return; fi
	batch=$(number "$(option "$run" batch)") position=$(dc-step --run "$run" --print position)
	after=$(dc-step --run "$run" --print config | sed -n 's/.*"nns_after":\([0-9]*\).*/\1/p')
	L=$((valid < 4096 ? valid : 4096))
	batch=${batch:-1} back=$(((L + batch - 1) / batch)); [ "$back" -le "$position" ] || back=$position
	captions() { decode "$1" "$2" | dc-augment --recipe eval --size 8 | dc-peek -q --table "$tmp/captions.tsv" >/dev/null && cut_columns "$tmp/captions.tsv" caption.0; }
	if ! { captions $((position - back)) "$position" >"$tmp/before" && captions "$position" $((position + 1)) | first "$samples" >"$tmp/next"; } 2>"$tmp/why" || [ ! -s "$tmp/next" ] || [ ! -s "$tmp/before" ]; then
		missing "The captions cannot be read again: $(tail -n 1 "$tmp/why" | text)"; echo '</section>'; return
	fi
	n=$(wc -l <"$tmp/before"); [ "$n" -gt "$L" ] || L=$n
	tail -n "$L" "$tmp/before" >"$tmp/queue"
	# the newest L rows, oldest first: the ring's slots before its head
	at=$((8 + header + at))
	rm -rf "$tmp/queue.npy" && mkdir "$tmp/queue.npy"
	{ npy "$L" "$D"
		[ "$head" -ge "$L" ] || rows "$state" $((at + (Q - L + head) * D * 4)) $((L - head)) "$D"
		rows "$state" $((at + (head < L ? 0 : head - L) * D * 4)) $((head < L ? head : L)) "$D"
	} >"$tmp/queue.npy/text_features.0.npy"
	if ! { dc-npy --from "$tmp/queue.npy" >"$tmp/queue.dcs" && dc-tokenize --model "$run" --lines "$tmp/next" | dc-encode --model "$run" |
		dc-knn --base "$tmp/queue.dcs" --base-features text_features.0 --query - --query-features text_features.0 --list 1 >"$tmp/nearest"; } 2>"$tmp/why"; then
		missing "The captions cannot be looked up: $(tail -n 1 "$tmp/why" | text)"; echo '</section>'; return
	fi
	printf '<p>Captions of the batch that comes next, batch %s, encoded by the newest checkpoint, and what the term NNS would put in their place: for each the caption whose feature in the queue of the run itself has the largest cosine. ' "$position"
	printf 'The queue holds features only, of %s captions; the words of the newest %s, among which was searched, were read again in the order in which they went in.%s</p>\n' "$(grouped <<<"$valid")" "$(grouped <<<"$L")" \
		"$([ "$valid" -ge "${after:-0}" ] || echo " The term waits until $(grouped <<<"$after") are in.")"
	printf '<div class="wide"><table>\n<thead><tr><th scope="col">caption</th><th scope="col">its nearest neighbour in the queue</th><th scope="col" class="number">cosine</th></tr></thead>\n<tbody>\n'
	{ cat "$tmp/queue"; echo; cat "$tmp/next"; echo; cat "$tmp/nearest"; } | text | awk -F '\t' -v n="$L" -v m="$(wc -l <"$tmp/next")" '
		NR <= n { q[NR - 1] = $0; next } NR == n + 1 { next }
		NR <= n + 1 + m { t[NR - n - 2] = $0; next } $1 !~ /^[0-9]/ { next }
		{ printf "<tr><td>%s</td><td>%s</td><td class=\"number\">%.4f</td></tr>\n", t[$1], q[$5], $4 }'
	printf '</tbody>\n</table></div>\n</section>\n'
}

retrieval() { # retrieval K RUN: captions and the images that come nearest, right and wrong
	local k=$1 run=$2 source N D C pick=48 q right place deep
	section 'What it finds'
	if [ ${#tests[@]} -eq 0 ]; then missing 'Nothing to look for; give <code>--test SHARDS</code>.'; echo '</section>'; return; fi
	if dc-step --run "$run" --print config 2>/dev/null | grep -q '"method":"filip"'; then
		missing 'FILIP compares token by token: nothing trained the features of whole images and captions, by which this would be searched.'
		echo '</section>'; return
	fi
	if [ ! -s "$tmp/features.$k" ] || ! dc-npy --normalize "$tmp/test.npy" <"$tmp/features.$k" 2>"$tmp/why"; then
		missing 'The test images could not be encoded.'; echo '</section>'; return
	fi
	read -r N D <<<"$(head -c 128 "$tmp/test.npy/image_features.0.npy" | tr -d '\0' | grep -ao "'shape': ([0-9]*, [0-9]*)" | tr -dc '0-9 ' | sed 's/^ *//')"
	[ "$N" -le 5000 ] || N=5000
	source=${where:-$(option "$run" caption)}
	[ -z "$classes" ] || source=none
	rm -rf "$tmp/thumbs"
	if ! { dc-decode --captions all --tail short --steps $(((N + 63) / 64)) ${source:+--caption "$source"} "${tests[@]}" | dc-augment --recipe eval --size 112 |
		dc-peek -q --images "$tmp/thumbs" --table "$tmp/test.tsv" >/dev/null; } 2>"$tmp/why"; then
		missing "The test images cannot be shown: $(tail -n 1 "$tmp/why" | text)"; echo '</section>'; return
	fi
	rm -rf "$tmp/base.npy" && mkdir "$tmp/base.npy"
	{ npy "$N" "$D"; rows "$tmp/test.npy/image_features.0.npy" 128 "$N" "$D"; } >"$tmp/base.npy/image_features.0.npy"
	dc-npy --from "$tmp/base.npy" >"$tmp/base.dcs" 2>"$tmp/why" || : >"$tmp/base.dcs"
	if [ -n "$classes" ]; then of_classes "$run" "$N"; echo '</section>'; return; fi
	# the first caption of images spread over all of them: its line in the table is its row among the features
	cut_columns "$tmp/test.tsv" image caption.0 >"$tmp/pairs"
	awk -F '\t' -v n="$N" -v pick=$pick '!($1 in seen) { seen[$1] = 1; if ($1 < n && int($1 * pick / n) >= taken) { taken = int($1 * pick / n) + 1; print NR - 1 "\t" $0 } }' "$tmp/pairs" >"$tmp/picked"
	rm -rf "$tmp/queries.npy" && mkdir "$tmp/queries.npy"
	{ npy "$(wc -l <"$tmp/picked")" "$D"
		while IFS=$'\t' read -r C _; do rows "$tmp/test.npy/text_features.0.npy" $((128 + C * D * 4)) 1 "$D"; done <"$tmp/picked"
	} >"$tmp/queries.npy/text_features.0.npy"
	deep=$((N < 1000 ? N : 1000))
	if ! { dc-npy --from "$tmp/queries.npy" |
		dc-knn --base "$tmp/base.dcs" --query - --query-features text_features.0 --list $deep | sed 1d >"$tmp/nearest"; } 2>"$tmp/why"; then
		missing "The images cannot be looked up: $(tail -n 1 "$tmp/why" | text)"; echo '</section>'; return
	fi
	# query, place of its own image
	awk -F '\t' -v deep=$deep 'NR == FNR { own[NR - 1] = $2; place[NR - 1] = "beyond " deep; n = NR; next } $5 == own[$1] { place[$1] = $3 }
		END { for (q = 0; q < n; q++) print q "\t" place[q] }' "$tmp/picked" "$tmp/nearest" >"$tmp/places"
	printf '<p>Captions of test images, and the five images out of %s whose features are nearest to that of the caption. The image that the caption was written for is <b class="right">framed</b>. Half of the examples are right, half wrong, as far as there are any; of %s captions that were tried, %s found their image first.</p>\n' \
		"$(grouped <<<"$N")" "$(wc -l <"$tmp/picked")" "$(grep -c '	1$' "$tmp/places")"
	for right in 1 0; do
		awk -F '\t' -v right=$right '($2 == "1") == right' "$tmp/places" >"$tmp/chosen"
		[ -s "$tmp/chosen" ] || continue
		if [ $right = 1 ]; then printf '<h3>Found</h3>\n'; else printf '<h3>Missed</h3>\n'; fi
		printf '<div class="findings">\n'
		awk -v n="$(wc -l <"$tmp/chosen")" -v m=$(((samples + 1) / 2)) 'int((NR - 1) * m / n) >= taken { taken = int((NR - 1) * m / n) + 1; print }' "$tmp/chosen" |
			while IFS=$'\t' read -r q place; do finding "$q" "$place"; done
		printf '</div>\n'
	done
	printf '</section>\n'
}
caption_of() { awk -F '\t' -v i="$1" '$1 == i { print $2; exit }' "$tmp/pairs"; }
thumb() { # thumb IMAGE LABEL CLASS
	printf '<figure class="thumb%s">' "${3:+ $3}"
	picture "$tmp/thumbs/$(printf %06d "$1").0.jpg" "image of: $(caption_of "$1")"
	printf '<figcaption>%s</figcaption></figure>\n' "$2"
}
of_classes() { # of_classes RUN N: for each class the images nearest to its first prompt
	local n each k row cosine prompt
	n=$(awk 'END { print NR }' "$classes")
	# the class of each image takes the place of its caption
	cut_columns "$tmp/test.tsv" image label >"$tmp/labels"
	awk -F '\t' 'NR == FNR { name[NR - 1] = $0; next } { print $1 "\t" ($2 == "-" ? "no class" : name[$2]) }' "$classes" "$tmp/labels" >"$tmp/pairs"
	if ! { dc-zeroshot --names "$classes" --write-prompts ${prompts:+--given "$prompts"} >"$tmp/prompts" && each=$(($(wc -l <"$tmp/prompts") / n)) &&
		awk -v each=$each '(NR - 1) % each == 0' "$tmp/prompts" >"$tmp/first" && dc-tokenize --model "$run" --lines "$tmp/first" |
		dc-encode --model "$run" | dc-knn --base "$tmp/base.dcs" --query - --query-features text_features.0 --list $(($2 < 5 ? $2 : 5)) | sed 1d >"$tmp/nearest"; } 2>"$tmp/why"; then
		missing "The images cannot be looked up: $(tail -n 1 "$tmp/why" | text)"; return
	fi
	printf '<p>Prompts, the first of each class, and the five images out of %s whose features are nearest, with their classes. Images of the class are <b class="right">framed</b>.</p>\n<div class="findings">\n' "$(grouped <<<"$2")"
	awk -v n="$n" -v m="$samples" 'int((NR - 1) * m / n) >= taken { taken = int((NR - 1) * m / n) + 1; print NR - 1 "\t" $0 }' "$tmp/first" | while IFS=$'\t' read -r k prompt; do
		printf '<div class="finding"><p>%s</p><div class="thumbs">\n' "$(html "$prompt")"
		awk -F '\t' -v q="$k" '$1 == q { printf "%d\t%.3f\n", $5, $4 }' "$tmp/nearest" | while IFS=$'\t' read -r row cosine; do
			thumb "$row" "$(html "$(caption_of "$row")")<br/><small>$cosine</small>" "$(awk -F '\t' -v i="$row" -v k="$k" '$1 == i { if ($2 == k) print "right"; exit }' "$tmp/labels")"
		done
		printf '</div></div>\n'
	done
	printf '</div>\n'
}
finding() { # finding QUERY PLACE: a caption, its five images, and its own
	local own caption p row cosine
	IFS=$'\t' read -r _ own caption <<<"$(sed -n "$(($1 + 1))p" "$tmp/picked")"
	printf '<div class="finding"><p>%s</p><div class="thumbs">\n' "$(html "$caption")"
	awk -F '\t' -v q="$1" '$1 == q && $3 <= 5 { printf "%d\t%d\t%.3f\n", $3, $5, $4 }' "$tmp/nearest" | while IFS=$'\t' read -r p row cosine; do
		thumb "$row" "$p<small> · $cosine</small>" "$([ "$row" != "$own" ] || echo right)"
	done
	[[ $2 == [1-5] ]] || thumb "$own" "$2<small> · its own</small>" 'right apart'
	printf '</div></div>\n'
}

configuration() {
	local r o k value first same
	section 'Configuration'
	"$here/train.sh" --help >"$tmp/help" 2>/dev/null
	usual() { grep -q -- "^  --$1 .*\[$2\]\$" "$tmp/help"; }
	awk '!seen[$0]++' "$tmp/every-option" >"$tmp/options"
	if [ ! -s "$tmp/options" ]; then
		missing 'There is no <code>run.json</code>: the run was not made by train.sh.'
	else
		printf '<div class="wide"><table class="options">\n<thead><tr><th scope="col">option</th>'
		for k in "${!runs[@]}"; do printf '<th scope="col">%s</th>' "$(html "${names[k]}")"; done
		printf '</tr></thead>\n<tbody>\n'
		while read -r o; do
			first=$(option "${runs[0]}" "$o") same=1 value=$first
			for r in "${runs[@]}"; do [ "$(option "$r" "$o")" = "$first" ] || { same='' value=x; }; done
			[ -n "$value" ] || continue
			printf '<tr%s><th scope="row"><code>--%s</code></th>' "$([ -n "$same" ] || echo ' class="differs"')" "$o"
			for r in "${runs[@]}"; do
				value=$(option "$r" "$o")
				if usual "$o" "$value"; then printf '<td class="usual">%s</td>' "$(html "$value")"; else printf '<td><b>%s</b></td>' "$(tr '\t' ' ' <<<"$value" | text)"; fi
			done
			printf '</tr>\n'
		done <"$tmp/options"
		printf '</tbody>\n</table></div>\n<p class="note">Bold: not the default of train.sh.%s Options that no run was given are left out.</p>\n' "$([ ${#runs[@]} -eq 1 ] || echo ' Shaded: the runs differ.')"
	fi
	short() { awk '{ for (i = 1; i <= NF; i++) if ($i ~ /^-?[0-9]+\.[0-9]+,?$/) { comma = sub(/,$/, "", $i) ? "," : ""; $i = sprintf("%.6g", $i) comma } print }'; }
	for k in "${!runs[@]}"; do
		r=$(dc-step --run "${runs[k]}" --print config 2>/dev/null) || continue
		[ ${#runs[@]} -eq 1 ] || printf '<h3>%s</h3>\n' "$(html "${names[k]}")"
		printf '<div class="wide"><table>\n<tbody>\n'
		part() { printf '<tr><th scope="row">%s</th><td>%s</td></tr>\n' "$1" "$(sed "s/.*\"$2\":{\([^}]*\)}.*/\1/; s/\"//g; s/:/ /g; s/,/, /g; s/_/ /g" <<<"$r" | short | text)"; }
		value=$(sed -n 's/.*"method":"\([a-z0-9-]*\)".*/\1/p' <<<"$r")
		printf '<tr><th scope="row">method</th><td>%s, as %s</td></tr>\n' "$(html "$value")" "$(sed -n 's/.*"as":"\([a-z]*\)".*/\1/p' <<<"$r" | text)"
		part 'weights of the terms' weights
		part 'image tower' vision_cfg
		part 'text tower' text_cfg
		for o in embed_dim queue nns_after freeze logit_scale; do
			value=$(sed -n "s/.*\"$o\":\(\[[^]]*\]\|\"[^\"]*\"\|[0-9.]*\).*/\1/p" <<<"$r" | tr -d '[]"')
			[ -z "$value" ] || printf '<tr><th scope="row">%s</th><td>%s</td></tr>\n' "${o//_/ }" "$(sed 's/,/, /g' <<<"$value" | short | text)"
		done
		printf '<tr><th scope="row">checkpoints</th><td>%s</td></tr>\n' "$(cd "${runs[k]}" && for r in step-*; do [[ ! -d $r || ! $r =~ ^step-[0-9]+$ ]] || printf '%s ' "$((10#${r#step-}))"; done)"
		printf '</tbody>\n</table></div>\n'
	done
	printf '</section>\n'
}

style() {
	cat <<-'END'
	:root { color-scheme: light dark; --bg: #fff; --fg: #1b1f24; --muted: #59636e; --line: #d5dbe1; --card: #f6f8fa; --good: #1a7f37;
	  --ins: #d2f4d9; --del: #b3261e; --ask: #fff1c2;
	  --c0: #0a66c2; --c1: #c2410c; --c2: #15803d; --c3: #9333ea; --c4: #a16207; --c5: #0e7490; --c6: #be123c; --c7: #57606a; }
	@media (prefers-color-scheme: dark) { :root { --bg: #0e1116; --fg: #e6edf3; --muted: #9aa4ae; --line: #30363d; --card: #171c23; --good: #4cc764;
	  --ins: #123d22; --del: #ff8f87; --ask: #4a3b0b;
	  --c0: #58a6ff; --c1: #ff9b6a; --c2: #56d364; --c3: #d2a8ff; --c4: #e3b341; --c5: #4fd0e0; --c6: #ff7b93; --c7: #aab4be; } }
	* { box-sizing: border-box; }
	body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 72rem; background: var(--bg); color: var(--fg);
	  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
	h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
	h2 { font-size: 1.3rem; margin: 2.75rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
	h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
	p { margin: .5rem 0 1rem; max-width: 50rem; }
	small, .note, .none, .lead { color: var(--muted); }
	.note { font-size: .875rem; } .none { font-style: italic; } small { font-weight: normal; font-size: .8125rem; }
	code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }
	.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(46%, 14.5rem), 1fr)); gap: .75rem; margin: 1.25rem 0; }
	.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem; }
	.tiles dt { font-size: .8125rem; color: var(--muted); }
	.tiles dd { margin: 0; font-size: 1.3rem; font-weight: 600; font-variant-numeric: tabular-nums; }
	.tiles dd small { display: block; }
	.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1.25rem 1rem; }
	figure { margin: 0; break-inside: avoid; }
	.charts figcaption { font-size: .875rem; display: flex; flex-wrap: wrap; gap: 0 .6rem; justify-content: space-between; }
	.charts .key { margin-left: .6rem; }
	.key { font-variant-numeric: tabular-nums; color: var(--fg); }
	.legend .key { margin-right: 1rem; }
	.key[class*=" k"]::before { content: ""; display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .35em; background: var(--c); }
	.k0 { --c: var(--c0); } .k1 { --c: var(--c1); } .k2 { --c: var(--c2); } .k3 { --c: var(--c3); }
	.k4 { --c: var(--c4); } .k5 { --c: var(--c5); } .k6 { --c: var(--c6); } .k7 { --c: var(--c7); }
	svg { display: block; width: 100%; height: auto; font-size: 10.5px; }
	svg text { fill: var(--muted); } .grid { stroke: var(--line); stroke-width: .75; } .axis { stroke: var(--muted); stroke-width: 1; fill: none; }
	.line { fill: none; stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; } .dash { stroke-dasharray: 5 3; } .band { opacity: .16; }
	.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); }
	.s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); } .s6 { stroke: var(--c6); } .s7 { stroke: var(--c7); }
	.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
	.f4 { fill: var(--c4); } .f5 { fill: var(--c5); } .f6 { fill: var(--c6); } .f7 { fill: var(--c7); }
	.wide { overflow-x: auto; }
	table { border-collapse: collapse; font-size: .9375rem; margin: .5rem 0 1rem; }
	th, td { text-align: left; vertical-align: top; padding: .3rem 1.25rem .3rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
	th { font-weight: 500; } thead th { color: var(--muted); font-size: .8125rem; } tbody th { white-space: nowrap; }
	.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
	.usual { color: var(--muted); } .differs { background: var(--card); }
	meter { width: 4.5rem; height: .8em; vertical-align: -.05em; }
	.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
	.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem; }
	.views { display: flex; gap: .5rem; } .views img { flex: 1 1 0; min-width: 0; max-width: 10rem; aspect-ratio: 1; border-radius: .25rem; }
	.card dl { display: grid; grid-template-columns: auto 1fr; align-items: baseline; gap: .15rem .6rem; margin: .6rem 0 0; font-size: .875rem; }
	.card dt { color: var(--muted); font-size: .75rem; } .card dd { margin: 0; overflow-wrap: anywhere; }
	.card .id { display: block; margin-top: .4rem; }
	ins { background: var(--ins); text-decoration: none; border-radius: .2em; padding: 0 .15em; } del { color: var(--del); }
	.mlm { line-height: 1.9; } ruby { background: var(--ask); border-radius: .2em; padding: 0 .15em; } ruby span { color: var(--muted); } rt { font-size: .75em; }
	.findings { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: 0 1rem; }
	.finding { margin: 0 0 1.25rem; break-inside: avoid; } .finding p { margin: 0 0 .35rem; font-weight: 500; }
	.thumbs { display: flex; flex-wrap: wrap; gap: .35rem; } .thumb { width: 5.25rem; }
	.thumb img { display: block; width: 100%; border-radius: .3rem; border: 3px solid transparent; }
	.thumb.right img, .right:not(figure) { border: 3px solid var(--good); } .right:not(figure) { border-width: 2px; border-radius: .3rem; padding: 0 .3rem; font-weight: 500; }
	.thumb figcaption { font-size: .8125rem; padding-left: 3px; font-variant-numeric: tabular-nums; } .apart { margin-left: .75rem; }
	footer { margin-top: 3rem; padding-top: .75rem; border-top: 1px solid var(--line); font-size: .8125rem; color: var(--muted); }
	@media print { :root { color-scheme: light; --bg: #fff; --fg: #000; --muted: #444; --line: #ccc; --card: #fff; --good: #1a7f37; --ins: #d2f4d9; --del: #b3261e; --ask: #fff1c2;
	    --c0: #0a66c2; --c1: #c2410c; --c2: #15803d; --c3: #9333ea; --c4: #a16207; --c5: #0e7490; --c6: #be123c; --c7: #57606a; }
	  :root { font-size: 11px; } body { padding: 0; max-width: none; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; } .charts { grid-template-columns: repeat(3, 1fr); }
	  .cards { grid-template-columns: repeat(4, 1fr); } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } .wide { overflow: visible; } }
	END
}

# --- the page ---
for r in "${runs[@]}"; do [ ! -f "$r/run.json" ] || read_options "$r"; done
names=()
for r in "${runs[@]}"; do names+=("$(name_of "$r")"); done
[ "$(printf '%s\n' "${names[@]}" | sort -u | wc -l)" -eq ${#runs[@]} ] || names=("${runs[@]}")
title=${title:-$(printf '%s, ' "${names[@]}" | sed 's/, $//')}
lead() { # lead RUN: one sentence
	local method
	method=$(dc-step --run "$1" --print config 2>/dev/null | sed -n 's/.*"method":"\([a-z0-9-]*\)".*/\1/p')
	printf '%s%s%s' "${method:-a run}" "$([ -z "$(option "$1" arch)" ] || echo ", $(basename "$(option "$1" arch)" .json)")" "$([ -z "$(option "$1" data)" ] || echo ", on $(option "$1" data | tr '\t' ' ')")" | text
}
page() {
	printf '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8"/>\n<meta name="viewport" content="width=device-width, initial-scale=1"/>\n<title>%s</title>\n<style>\n' "$(html "$title")"
	style
	printf '</style>\n</head>\n<body>\n<header>\n<h1>%s</h1>\n' "$(html "$title")"
	overview
	printf '</header>\n<main>\n'
	curves
	validation
	scores
	if is_checkpoint "${runs[0]}"; then
		[ ${#runs[@]} -eq 1 ] || printf '<p class="note">What follows, up to the configuration, is of %s.</p>\n' "$(html "${names[0]}")"
		saw "${runs[0]}"
		neighbours "${runs[0]}"
		retrieval 0 "${runs[0]}"
	else
		missing "$(html "${names[0]}") has no checkpoint, so there is nothing to look at."
	fi
	configuration
	printf '</main>\n<footer>Written by report.sh of dc, %s. It is about what the directories held then: make it again for a run that goes on.</footer>\n</body>\n</html>\n' "$(dc-step --version | head -n 1 | text)"
}
page >"$tmp/page.html" || die "the page could not be written"
if [ "$out" = - ]; then cat "$tmp/page.html"; else
	cp "$tmp/page.html" "$out.part" && mv "$out.part" "$out" || die "cannot write $out"
	echo "$me: $out, $(($(wc -c <"$out") / 1000)) kB" >&2
fi
