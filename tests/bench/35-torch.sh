#!/bin/sh
# SPDX-License-Identifier: MIT
# Images and captions a second of one core, end to end in a training process: images / processor seconds (user and system) of the
# process and all its children, from shards to batches of float images and token ids on their way to a model. The peer is
# webdataset + Pillow + torchvision + open_clip's transform and tokenizer, with one worker; both make the same tensors, which is
# checked first. Imports do not count.
. "${0%/*}/lib.sh"
has_peer torch && has_peer webdataset && has_peer PIL || { note 'training process: skipped, no PyTorch, Pillow and webdataset (PEERS=1, DC_TORCH_PYTHON)'; exit 0; }
[ -f "$DATA/clip/bpe_simple_vocab_16e6.txt.gz" ] || { note 'training process: skipped, no vocabulary of CLIP'; exit 0; }
start_peer peer_torch.py "$DATA/clip/bpe_simple_vocab_16e6.txt.gz"

torch_case() { # torch_case SIZE TARS NAME
	said=$(ask_peer check "$1" "$2") || exit 1
	[ "$said" = same ] || fail "$3: $said"
	# shellcheck disable=SC2086
	count=$(dc-decode --count $2)
	rm -f "$tmp"/s-*
	r=1
	while [ $r -le "$ROUNDS" ]; do
		ask_peer dc "$1" "$2" >>"$tmp/s-dc" || exit 1
		ask_peer webdataset "$1" "$2" >>"$tmp/s-peer" || exit 1
		r=$((r + 1))
	done
	ours=$(calc "$count / $(median <"$tmp/s-dc")" 0) theirs=$(calc "$count / $(median <"$tmp/s-peer")" 0)
	row torch "batches in PyTorch, $3" "$ours" images/s/core 'webdataset, torchvision, open_clip' "$theirs" "$(calc "$ours / $theirs")" 5
}

[ ! -f "$DATA/native/native-000.tar" ] || torch_case 224 "$DATA/native/native-000.tar" 'photos of 500 x 375, 224 pixels'
if [ -f "$DATA/flickr8k/train-000.tar" ]; then
	torch_case 64 "$DATA/flickr8k/train-000.tar" 'photos of 112 x 112, 64 pixels'
else
	dc-scenes --out "$tmp/drawn" --train 500 --test 0 --zero-shot 0 || exit 1
	torch_case 64 "$tmp/drawn/train-000.tar" 'drawn scenes, 64 pixels'
fi
