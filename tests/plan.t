#!/bin/sh
# SPDX-License-Identifier: MIT
# plan.sh: its sums, and its memory against what runs here.
. "${0%/*}/lib.sh"
DC_SHM_DIR=$tmp/tmpfs; export DC_SHM_DIR
mkdir "$DC_SHM_DIR"
PATH=$top/pipelines:$PATH
printf '%s\t%s\n' encode_rate 1e11 loss_rate 5e10 filip_rate 2e10 step_rate 1e9 other_seconds 0.001 data_seconds 0.002 data_bytes 7e7 measured_flop 5e9 >rates
plan() { plan.sh -t --rates rates "$@" >out 2>err; }
value() { awk -F '\t' -v what="$1" '$1 == what { print $2 }' out; }
near() { # near GOT WANTED SHARE
	awk -v g="$1" -v w="$2" -v s="$3" 'BEGIN { print "# " g " against " w; exit !(g >= w * (1 - s) && g <= w * (1 + s)) }' >near
	status=$?; cat near; return $status
}

plan --arch vit-b-32; ok $? 'the recipe'
near "$(value 'useful work of the encoder')" 236658 .001; ok $? 'has 57.8 GFLOP a pair'
near "$(value encoding)" 2366.6 .001; ok $? 'at the rate that is given'
near "$(value 'products of the loss, each process')" "$(awk 'BEGIN { print (2 * 4096 ^ 2 * 512 * (16 + 6) + 4096 * 65536 * 512) / 1e9 }')" .001
ok $? 'the loss: four products for each of four pairs of views, three for each of two neighbours, and the search'
near "$(value update)" .7118 .001; ok $? 'the update, by its bytes'
[ "$(value 'bytes over the network, a process')" = 0 ]; ok $? 'one process needs no network'
near "$(value 'steps of an epoch')" 21484 .001 && near "$(value 'time in all')" "$(awk "BEGIN { print 32 * 88e6 / 4096 * $(value 'a step') }")" .001
ok $? 'up to 32 epochs of 88 million pairs'
grep -q 'MORE THAN THERE IS' out; ok $? 'all activations are more than there is here'
whole=$(value 'dc-encode, besides')

plan --arch vit-b-32 --keep-activations 4000 --memory 24000; ok $? 'with a limit'
near "$(value 'dc-encode, besides')" 7800 .2 && ! grep -q 'MORE THAN' out; ok $? 'it is a fraction'
forward=$(awk 'BEGIN { heads = 2 * (512 * 1024 + 2 * 1024 ^ 2 + 2 * 1024 * 512) + .15 * 14 * 512 * 49408; print 236658 / 3 - 2 * 4096 * heads / 1e9 }')
near "$(value 'work done twice')" "$forward" .03; ok $? 'for one forward pass more, of towers without heads'
plan --arch vit-b-32 --recompute && [ "$(value 'dc-encode, besides')" -lt $((whole / 6)) ]; ok $? '--recompute alone'
near "$(value 'work done twice')" "$(awk "BEGIN { print $forward * 2 / 3 }")" .01; ok $? 'for two thirds of that'

plan --arch vit-b-32 --nodes 8 --network 2; ok $? 'eight processes'
near "$(value 'bytes over the network, a process')" "$(awk 'BEGIN { print (2 * 7 / 8 * 711.7865 + 7 / 8 * 4096 * 4 * (4 * 512 + 4 * 1024) / 1e6) }')" .001
ok $? 'sum the gradients and gather the features'
near "$(value network)" .667 .01; ok $? 'at what the network gives'
near "$(value encoding)" 295.8 .001; ok $? 'each encodes its share'
plan --arch rn50 --method clip --batch 64 && near "$(value 'useful work of the encoder')" 320 .001; ok $? "a ResNet's work is what was measured"
plan --arch vit-s64-p16 --batch 64 --data-threads 4 && near "$(value 'data, beside all that')" .032 .001; ok $? 'data tools beside it'
sed 's/data_seconds.*/data_seconds	9/' rates >slow && plan.sh --rates slow --arch vit-s64-p16 --batch 64 >out && grep -q 'THE STEP WAITS FOR IT' out &&
	grep -q '^a step  *576 s' out; ok $? 'which may be what it waits for'
plan --arch vit-b-32 --method filip --batch 256
near "$(value loss)" "$(awk 'BEGIN { print 2 * 256 ^ 2 * 49 * 12 * 256 / 2e10 }')" .001; ok $? "FILIP's loss has a rate of its own"
plan --arch vit-b-32 --method filip --tokens 1 && [ "$(value loss)" = 0 ]; ok $? 'and a caption without words takes no less than no time'
for method in clip slip filip declip defilip siglip; do plan --arch vit-s64-p16 --method $method && ! grep -qi 'nan\|inf$' out; ok $? "$method"; done

run 2 'no architecture' plan.sh
run 1 'one that is not there' plan.sh --arch nothing
said '^plan.sh: there are .* vit-b-32 ' 'and those that are'
run 2 'an unknown option' plan.sh --arch vit-b-32 --speed 3
run 2 'a batch that does not divide' plan.sh --arch vit-b-32 --nodes 3
said '^plan.sh: --batch 4096: is not divided evenly by --nodes 3$' 'is said'
plan --arch vit-s64-p16 --batch 064 --nodes 08 && near "$(value 'useful work of the encoder')" 23.68 .001; ok $? 'a zero in front makes no octal number'
run 2 'no number' plan.sh --arch vit-b-32 --network fast
printf 'encode_rate\t1e9\n' >few
run 1 'rates that lack some' plan.sh --arch vit-b-32 --rates few
said '^plan.sh: few: has no row loss_rate' 'are named'

printf 'encode_rate\t1 - system("touch ran")\nloss_rate\t1e9\nstep_rate\t1e9\n' >program
plan.sh --arch vit-b-32 --rates program >out 2>err; [ ! -e ran ]; ok $? 'and nothing in them is run'

# --- measured: rates, and the memory of a ring ---
run 0 'a measurement' plan.sh --arch vit-s64-p16 --batch 256 --rates measured
cut -f 1 measured | sort | tr '\n' ' ' >names
check 'leaves its rates' test "$(cat names)" = 'data_bytes data_seconds encode_rate loss_rate measured_flop other_seconds step_rate '
mkdir broken && ln -s "$DC_BIN"/dc-* broken/ && rm broken/dc-loss
printf '#!/bin/sh\ncase $* in *--method*) echo "dc-loss: no more" >&2; exit 1 ;; esac\nexec "%s/dc-loss" "$@"\n' "$DC_BIN" >broken/dc-loss && chmod +x broken/dc-loss
cat >tiny.json <<'END'
{"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
 "text_cfg": {"context_length": 20, "width": 64, "heads": 1, "layers": 1}}
END
run 1 'a measurement that fails' env DC_BIN="$tmp/broken" plan.sh --arch ./tiny.json --method clip --batch 64 --rates half
[ "$(tail -n 2 err | tr '\n' ';')" = 'dc-loss: no more;plan.sh: the measurement failed;' ] && [ ! -e half ]; ok $? 'says so at the end, and leaves no rates'
rm broken/dc-loss && printf '#!/bin/sh\ncase $* in *--method*) cat >/dev/null; echo "dc-loss: 2 batches in 1.000 s real" >&2 ;; *) exec "%s/dc-loss" "$@" ;; esac\n' "$DC_BIN" >broken/dc-loss && chmod +x broken/dc-loss
run 0 'a loss that takes a second for 128 pairs' env DC_BIN="$tmp/broken" plan.sh --arch ./tiny.json --method filip --batch 128 --tokens 10 --rates second -t
near "$(value loss)" 1 .1; ok $? 'is planned to take as long'
check 'all above nothing' awk -F '\t' '!($2 > 0) { bad = 1 } END { exit bad }' measured
if dc-step --version | grep -q sanitize; then
	skip 'a sanitizer takes memory of its own' 'the memory of dc-encode'
else
	dc-scenes --out scenes --train 256 --test 1 --zero-shot 1 --shard 256 --size 64 >/dev/null 2>&1
	dc-decode --keep-encoded --captions all --tail short scenes/train-000.tar 2>/dev/null | dc-vocab --merges 60 --out vocab.gz 2>/dev/null
	for keep in 100000 0; do
		timeout -s KILL 300 train.sh -v -q --run "run-$keep" --data scenes/train-000.tar --vocab vocab.gz --queue 400 --batch 256 --steps 2 \
			--shuffle 1 --threads 2 --keep-activations "$keep" 2>err >out </dev/null
		got=$(sed -n 's/^dc-encode: .* \([0-9]*\) MB$/\1/p' err)
		plan --arch vit-s64-p16 --vocab vocab.gz --queue 400 --batch 256 --keep-activations "$keep"
		near "$(($(value 'dc-encode, besides') + $(value 'parameters and gradients, shared')))" "$((got * 1048576 / 1000000))" .2
		ok $? "the memory of dc-encode, --keep-activations $keep"
	done
fi
done_testing
