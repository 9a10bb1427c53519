#!/bin/sh
# SPDX-License-Identifier: MIT
# The tokenizer, one thread, from lines of text to rows of 77 ids, against Hugging Face's (Rust) and OpenAI's (Python): the
# same ids first, then captions a processor second. Ours is given the text TIMES times over, and its figure has the
# program's start and the reading of the vocabulary in it, theirs not.
. "${0%/*}/lib.sh"
TIMES=10

who() { if [ "$1" = hf ]; then echo 'HF tokenizers'; else echo 'OpenAI (open_clip)'; fi; }

text_case() { # text_case FILE NAME PEERS...
	file=$1 name=$2; shift 2
	lines=$(awk 'END { print NR }' "$file") bytes=$(wc -c <"$file")
	rm -f "$tmp"/s-*
	for p in "$@"; do
		dc-tokenize -j 1 --vocab "$VOCAB" --lines "$file" >"$tmp/rows.dcs" || fail "$name: no rows"
		said=$(ask_peer check "$p" "$file" "$tmp/rows.dcs") || exit 1
		[ "$said" = same ] || fail "$name: the ids differ from $(who "$p")'s: $said"
	done
	i=0
	while [ $i -lt $TIMES ]; do cat "$file"; i=$((i + 1)); done >"$tmp/long"
	r=1
	while [ $r -le "$ROUNDS" ]; do
		processor_s "dc-tokenize -j 1 --vocab '$VOCAB' --lines '$tmp/long'" >>"$tmp/s-ours"
		for p in "$@"; do
			ask_peer time "$p" "$file" >>"$tmp/s-$p" || exit 1
		done
		r=$((r + 1))
	done
	ours=$(calc "$(median <"$tmp/s-ours") / $TIMES" 5)
	what="$name, $(calc "$bytes / $ours / 1e6" 1) MB/s"
	[ $# -gt 0 ] || row tokenizer "$what" "$(calc "$lines / $ours" 0)" captions/s/core - - - 8
	for p in "$@"; do
		theirs=$(median <"$tmp/s-$p")
		row tokenizer "$what" "$(calc "$lines / $ours" 0)" captions/s/core "$(who "$p")" "$(calc "$lines / $theirs" 0)" \
		    "$(calc "$theirs / $ours")" "$([ "$p" = hf ] && echo 8 || echo -)"
	done
}

peers='' web=''
if [ -f "$DATA/clip/bpe_simple_vocab_16e6.txt.gz" ] && has_peer tokenizers && has_peer torch; then
	start_peer peer_tokens.py "$VOCAB"
	peers='hf openai' web=openai # HF's neither unescapes nor repairs
fi
if [ -f "$DATA/text/captions.en.txt" ]; then
	grep -v '&' "$DATA/text/captions.en.txt" >"$tmp/captions" # HF's does not unescape
	# shellcheck disable=SC2086
	text_case "$tmp/captions" 'English captions' $peers
	text_case "$DATA/text/captions.web.txt" 'captions of the web' $web
else
	dc-scenes --out "$tmp/drawn" --train 4000 --test 0 --zero-shot 0 || exit 1
	for t in "$tmp"/drawn/train-*.tar; do tar xOf "$t" --wildcards '*.txt' | awk 1; done >"$tmp/captions"
	text_case "$tmp/captions" "drawn scenes' captions"
fi
