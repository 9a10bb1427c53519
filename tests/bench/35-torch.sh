#!/bin/sh
# SPDX-License-Identifier: MIT
# Images and captions a second of one core, end to end in a training process: images / processor seconds (user and system) of the
# process and all its children, from shards to batches of float images and token ids on their way to a model. The peer is
# webdataset + Pillow + torchvision + open_clip's transform and tokenizer; both make the same tensors (of random views: such
# tensors), which is checked first. Neither has a worker of the DataLoader: dc's tools are processes and need none, and one costs the
# peer more seconds as a rule. Imports do not count, and the shards are read over and over, so that starting is no part of the
# rate. Where a view needs the whole image, both do nearly nothing but decode it, with the same library.
. "${0%/*}/lib.sh"
has_peer torch && has_peer webdataset && has_peer PIL || { note 'training process: skipped, no PyTorch, Pillow and webdataset (PEERS=1, DC_TORCH_PYTHON)'; exit 0; }
[ -f "$DATA/clip/bpe_simple_vocab_16e6.txt.gz" ] || { note 'training process: skipped, no vocabulary of CLIP'; exit 0; }
start_peer peer_torch.py "$DATA/clip/bpe_simple_vocab_16e6.txt.gz"

name_of() {
	case $1 in
	eval) echo 'evaluation transform' ;;
	clip) echo 'a crop' ;;
	*)    echo 'two DeCLIP views' ;;
	esac
}

torch_case() { # torch_case SIZE TIMES TARS NAME
	all=''
	for _ in $(seq "$2"); do all="$all $3"; done
	# shellcheck disable=SC2086
	count=$(dc-decode --count $all)
	for what in eval clip declip; do
		said=$(ask_peer check $what "$1" "$3") || exit 1
		[ "$said" = same ] || fail "$4, $what: $said"
		rm -f "$tmp"/s-*
		r=1
		while [ $r -le "$ROUNDS" ]; do
			ask_peer dc $what "$1" "$all" >>"$tmp/s-dc" || exit 1
			ask_peer webdataset $what "$1" "$all" >>"$tmp/s-peer" || exit 1
			r=$((r + 1))
		done
		ours=$(calc "$count / $(median <"$tmp/s-dc")" 0) theirs=$(calc "$count / $(median <"$tmp/s-peer")" 0)
		row torch "batches in PyTorch, $(name_of $what), $4" "$ours" images/s/core 'webdataset, torchvision, open_clip' "$theirs" \
		    "$(calc "$ours / $theirs")" 5
	done
}

if [ -f "$DATA/native/native-000.tar" ]; then
	photos="$DATA/native/native-000.tar $DATA/native/native-001.tar"
	torch_case 224 12 "$photos" 'photos of 500 x 375, 224 pixels'
	# as most shards are made: img2dataset's sides and quality
	# shellcheck disable=SC2086
	dc-decode --keep-encoded --tail short $photos | dc-shard -o "$tmp/side" --max-side 256 --quality 95 - || exit 1
	photos=$(echo "$tmp"/side/*.tar)
	torch_case 224 12 "$photos" 'photos of 256 x 192, 224 pixels'
fi
if [ -f "$DATA/flickr8k/train-005.tar" ]; then
	torch_case 64 4 "$(echo "$DATA"/flickr8k/train-00[0-5].tar)" 'photos of 112 x 112, 64 pixels'
else
	dc-scenes --out "$tmp/drawn" --train 2000 --test 0 --zero-shot 0 || exit 1
	torch_case 64 4 "$(echo "$tmp"/drawn/train-*.tar)" 'drawn scenes, 64 pixels'
fi
