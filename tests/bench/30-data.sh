#!/bin/sh
# SPDX-License-Identifier: MIT
# Images a second of one core: images / processor seconds (user and system) of all processes of the pipe, so that other load
# on the machine takes little from the figure. The peers do the same operations in one thread; their imports do not count, and
# the start of our programs little: they read the shards several times.
. "${0%/*}/lib.sh"
EPOCHS=5

pipeline() { # pipeline WHAT SIZE TARS
	case $1 in
	decode) echo "dc-decode -j1 --epochs $EPOCHS --tail short $3" ;;
	*)      echo "dc-decode -j1 --epochs $EPOCHS --keep-encoded --tail short $3 | dc-augment -j1 --recipe $1 --size $2" ;;
	esac
}
name_of() {
	case $1 in
	decode) echo 'decoded' ;;
	eval)   echo 'decoded, eval view' ;;
	declip) echo 'decoded, two DeCLIP views' ;;
	esac
}
peer_name() { if [ "$1" = time ]; then echo 'Pillow, torchvision'; else echo 'webdataset DataLoader'; fi; }

data_case() { # data_case WHAT SIZE TARS NAME TARGET
	# shellcheck disable=SC2086
	count=$(dc-decode --count $3)
	rm -f "$tmp"/s-*
	r=1
	while [ $r -le "$ROUNDS" ]; do
		processor_s "$(pipeline "$1" "$2" "$3")" >>"$tmp/s-ours"
		for p in $peers; do
			ask_peer "$p" "$1" "$2" "$3" >>"$tmp/s-$p" || exit 1
		done
		r=$((r + 1))
	done
	ours=$(calc "$EPOCHS * $count / $(median <"$tmp/s-ours")" 0)
	[ -n "$peers" ] || row data "$(name_of "$1"), $4" "$ours" images/s/core - - - "$5"
	for p in $peers; do
		theirs=$(calc "$count / $(median <"$tmp/s-$p")" 0)
		row data "$(name_of "$1"), $4" "$ours" images/s/core "$(peer_name "$p")" "$theirs" "$(calc "$ours / $theirs")" "$5"
	done
}

peers=
if has_peer torch && has_peer PIL; then
	start_peer peer_data.py
	peers='time'
	! has_peer webdataset || peers='time loader'
fi
data_cases() { # data_cases SIZE TARS NAME TARGET
	if [ -n "$peers" ]; then
		sh -c "$(EPOCHS=1 pipeline eval "$1" "$2")" >"$tmp/views.dcs" || fail "$3: no views"
		said=$(ask_peer check "$tmp/views.dcs" "$1" "$2") || exit 1
		[ "$said" = same ] || fail "$3: $said"
	fi
	data_case decode "$1" "$2" "$3" -
	data_case eval "$1" "$2" "$3" -
	data_case declip "$1" "$2" "$3" "$4"
}

if [ -f "$DATA/native/native-000.tar" ]; then
	data_cases 224 "$DATA/native/native-000.tar $DATA/native/native-001.tar" 'photos of 500 x 375' 5
else
	note 'photographs: skipped, no data'
fi
if [ -f "$DATA/flickr8k/train-000.tar" ]; then
	data_cases 64 "$DATA/flickr8k/train-000.tar" 'photos of 112 x 112' -
else
	dc-scenes --out "$tmp/drawn" --train 500 --test 0 --zero-shot 0 || exit 1
	data_cases 64 "$(echo "$tmp"/drawn/train-*.tar)" 'drawn scenes' -
fi
