#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Train CLIP, DeCLIP and their family on tar shards: makes a run directory, starts the ring, continues it where it stopped.
# man train.sh has the whole story; the ring itself is at the end of this file.
set -u
here=${BASH_SOURCE[0]%/*}
[ "$here" != "${BASH_SOURCE[0]}" ] || here=.
here=$(cd "$here" && pwd)
PATH=${DC_BIN:-$here/../build:$here/../../bin}:$PATH
me=train.sh

# --- one of several ranks? mpirun says so, or srun (in a batch script without srun there is but one process) ---
rank=${OMPI_COMM_WORLD_RANK-${SLURM_STEP_NUM_TASKS:+$SLURM_PROCID}} ranks=${OMPI_COMM_WORLD_SIZE-${SLURM_STEP_NUM_TASKS-1}}
on_host=${OMPI_COMM_WORLD_LOCAL_SIZE-${SLURM_STEP_TASKS_PER_NODE-1}} on_host=${on_host%%[!0-9]*}
rank=${rank:-0}
job="job=${PMIX_NAMESPACE-},${OMPI_MCA_orte_hnp_uri-},${SLURM_JOB_ID-}.${SLURM_STEP_ID-}.${SLURM_RESTART_COUNT-}"
[ "$ranks" = 1 ] || me="train.sh: rank $rank ($(uname -n))"

# --- options: name, default, what it is.  An empty default: the tool's own, or worked out below. ---
options='
data            |           |SHARDS  tar shards, brace ranges allowed; - is standard input (several: repeat)
mix             |           |SOURCE  instead: NAME=WEIGHT:SHARDS, one of several sources in these proportions (repeat)
run             |           |DIR     the run directory: made if it is not there, continued if it is
recipe          |           |NAME    options from pipelines/recipes/NAME.conf, where none are given here
method          |declip     |M       clip, slip, filip, declip, defilip or siglip
as              |paper      |A       paper or released
arch            |vit-s64-p16|A       an architecture of pipelines/arch, or a JSON file
init            |           |DIR     start from this model directory or run
batch           |64         |N       samples in a batch
steps           |           |N       length of the training in batches (or --epochs)
epochs          |           |N       length of the training in epochs [1]
size            |           |S       pixels of a view [the architecture asks]
vocab           |           |FILE    BPE vocabulary [trained on the captions]
merges          |8000       |N       merges of a vocabulary that is trained
seed            |0          |N       seed of everything that is drawn
threads         |           |N       threads of dc-encode [all processors]
keep-activations|           |MB      dc-encode keeps so much for the backward pass, computes the rest again [half of what is free]
profile         |           |FILE    write there where the time of a step went (man dc-encode)
data-threads    |1          |N       threads of dc-decode and of dc-augment
save-every      |500        |N       steps between checkpoints (one is always written at the end)
keep            |           |N       checkpoints to keep [all]
keep-every      |           |N       with --keep: and every checkpoint of a multiple of N steps
val             |           |SHARDS  score checkpoints on these beside the training: RUN/val.tsv, RUN/best
val-every       |           |N       steps between checkpoints that are scored [--save-every]
val-names       |           |FILE    names of classes: score zero-shot, not recall
val-prompts     |           |FILE    their prompts [templates with the names]
weights         |           |LIST    weights of the terms, such as clip=0.4,mvs=0.2
queue           |           |N       rows of the nearest-neighbour queue [65536, at most half an epoch]
nns-after       |           |N       rows that must be valid before NNS begins [4 batches, at least 1024]
logit-scale     |           |LO,HI   limits of the logarithm of the scale [the method]
freeze          |           |LIST    conv1,image,text,bn or none [the method]
filip-top       |           |N       candidates among FILIP'"'"'s tokens, 0 for all [0, as released 16]
part            |           |N       images of a batch that a ResNet is normalised over at a time [each part, at most 64]
views           |           |R       views: declip, clip, openclip, slip [the method]
augment         |           |OPTS    more options of dc-augment, such as "--scale 0.3,1"
eda             |           |LIST    caption changes: synonym,swap,delete [all three]
wordnet         |           |DIR     the WordNet database
mlm             |0.15       |P       share of a caption'"'"'s tokens that is masked
captions        |draw       |C       which of several captions: draw or first
caption         |           |WHERE   txt, or json:KEY, or json:KEY,txt
shuffle         |1000       |N       samples in the shuffle buffer
tail            |carry      |T       the last, short batch: carry, short or drop
max-pixels      |           |N       larger images are rejected
rejects         |           |FILE    list of rejected samples
lr              |0.001      |X       learning rate after the warm-up
lr-start        |           |X       learning rate at the first step [a tenth of --lr]
warmup          |           |N       steps of linear warm-up [a tenth of the run, at most 2500]
weight-decay    |0.1        |X       decoupled weight decay
grad-clip       |           |X       clip gradients to this global norm
ema             |           |X       keep a moving average of the weights with this decay
nan             |           |WHAT    stop or skip when a loss or gradient is not finite
spike           |           |K       warn of a loss K standard deviations above the last 100 [6]
replay          |           |NAME    the batch that was refused again, from RUN/NAME: its frames into RUN/replay
stall           |           |SECONDS a tool that has waited so long for another says so; 0: never [600]
'
flags='exif keep-encoded strict recompute by-value stall-exit accept-numerics override'

usage() {
	echo "usage: $me --data SHARDS --run DIR [options]"
	echo "Train CLIP or DeCLIP on WebDataset-style tar shards. Run it again with the same DIR to continue."
	echo
	while IFS='|' read -r name default help; do
		name=${name// /} default=${default// /}
		[ -z "$name" ] || printf '  --%-14s %s%s\n' "$name" "$help" "${default:+ [$default]}"
	done <<<"$options"
	cat <<-'END'
	  --exif           turn images upright, as their EXIF orientation says
	  --keep-encoded   pass encoded images to dc-augment, which decodes them
	  --strict         a damaged shard fails the run
	  --recompute      keep only what goes into a transformer's blocks: less memory, more time, the same bytes
	  --by-value       parameters and gradients inside the frames, not in shared memory
	  --stall-exit     and then fails
	  --accept-numerics  continue although OpenBLAS, oneDNN, the core or the thread count changed
	  --override       continue although options changed
	  -n, --dry-run    print the pipeline and an estimate of memory and disk, and stop
	  -v, --verbose    every tool prints its statistics at the end
	  -q, --quiet      no rows on standard output (they are in RUN/log.tsv)
	  -h, --help       print this and exit
	  --version        print the version and exit
	END
}
die() { echo "$me: $*" >&2; exit 1; }
die_usage() { # every rank has the same options: one says what is wrong with them
	[ "$rank" -gt 0 ] || { echo "$me: $*" >&2; echo "Try '${me%%:*} --help'." >&2; }
	exit 2
}

declare -A opt given
names=()
while IFS='|' read -r name default _; do
	name=${name// /}
	[ -n "$name" ] || continue
	names+=("$name")
	opt[$name]=${default// /}
done <<<"$options"
for f in $flags; do opt[$f]=; done
shards=() sources=() dry='' verbose=() quiet=''

while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	-n | --dry-run) dry=1 ;;
	-v | --verbose) verbose=(-v) ;;
	-q | --quiet) quiet=1 ;;
	--version) exec dc-step --version ;;
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}"; continue ;;
	--*)
		name=${1#--}
		[ -n "${opt[$name]+is}" ] || die_usage "unknown option $1"
		case " $flags " in
		*" $name "*) opt[$name]=1 ;;
		*)
			[ $# -gt 1 ] || die_usage "$1 needs a value"
			case $2 in *$'\n'*) die_usage "$1: a value has one line" ;; esac
			[ "$name" != data ] || shards+=("$2")
			[ "$name" != mix ] || sources+=("$2")
			opt[$name]=$2
			shift ;;
		esac
		given[$name]=1 ;;
	*) die_usage "$1: takes options only (shards go after --data)" ;;
	esac
	shift
done
recipe_file() { # recipe_file NAME
	[[ $1 == */* || $1 == *.conf ]] && { echo "$1"; return; }
	local f
	for f in "$here/recipes/$1.conf" "$here/../share/dc/recipes/$1.conf"; do [ ! -f "$f" ] || { echo "$f"; return; }; done
	die_usage "--recipe $1: no such file, nor a recipe of $(cd "$here/recipes" 2>/dev/null && echo *.conf | sed 's/\.conf//g')"
}
take_recipe() { # take_recipe FILE: lines of --option value, # begins a comment; what was given counts more
	local line name value
	while IFS= read -r line || [ -n "$line" ]; do
		line=$(sed 's/\(^\|[[:blank:]]\)#.*//; s/[[:blank:]]*$//; s/^[[:blank:]]*//' <<<"$line")
		[ -n "$line" ] || continue
		[[ $line =~ ^--([a-z-]+)([[:blank:]]+(.*))?$ ]] || die "$1: not an option: $line"
		name=${BASH_REMATCH[1]} value=${BASH_REMATCH[3]}
		[ -n "${opt[$name]+is}" ] && [ "$name" != recipe ] && [ "$name" != run ] || die "$1: unknown option --$name"
		[[ ! $value =~ ^\"(.*)\"$ ]] || value=${BASH_REMATCH[1]}
		case " $flags " in *" $name "*) value=1 ;; esac
		[ -n "$value" ] || die "$1: --$name needs a value"
		[ -z "${given[$name]-}" ] || continue
		case $name in steps | epochs) [ -z "${given[steps]-}${given[epochs]-}" ] || continue ;; esac
		opt[$name]=$value
		from_recipe+=("$name")
	done <"$1" || exit 1
}
from_recipe=()
if [ -n "${opt[recipe]}" ]; then
	file=$(recipe_file "${opt[recipe]}") || exit
	[ -f "$file" ] || die_usage "--recipe ${opt[recipe]}: no such file"
	take_recipe "$file"
	for name in ${from_recipe[@]+"${from_recipe[@]}"}; do given[$name]=1; done
fi
[ ${#shards[@]} -eq 0 ] || opt[data]=$(IFS=$'\t'; echo "${shards[*]}")
[ ${#sources[@]} -eq 0 ] || opt[mix]=$(IFS=$'\t'; echo "${sources[*]}")
run=${opt[run]}
[ -n "$run" ] || die_usage "--run DIR is needed"
[[ ${opt[keep-activations]} =~ ^[0-9]*$ ]] || die_usage "--keep-activations ${opt[keep-activations]}: must be a whole number of MB, 0 or more"
command -v dc-step >/dev/null || die "dc-step is not built (make) and not on PATH"

locked=''
lock() { # the tools keep the lock too: it lasts as long as any of them
	[ -z "$locked" ] || return 0
	mkdir -p "$home" || die "cannot make $home"
	exec 8>"$home/.ring" || die "cannot write $home/.ring"
	flock -n 8 || { ready=others; die "another ring is running on $home"; }
	locked=1
}

# --- several ranks: the first one makes the run, and the others take all options, the length and the position from it ---
home=$run count='' ready=
if [ "$rank" -gt 0 ]; then
	[ -z "$dry${opt[replay]}" ] || exit 0
	home=$run/rank-$rank quiet=1 naps=0
	until { read -r state of && read -r told && [ "$of" = "$job" ]; } 2>/dev/null <"$run/.ranks"; do
		sleep 0.1
		: "$run"/* # a network file system looks again
		[ $(((naps += 1) % 600)) -ne 100 ] || echo "$me: waiting for rank 0 to make $run (the same --run, on a file system that both see?)" >&2
	done
	[ "$state" = ready ] || exit 1
	read -r position count <<<"$told"
	for name in "${!given[@]}"; do
		case $name in run | override | accept-numerics | threads | data-threads | profile | stall*) ;; *) unset "given[$name]" ;; esac
	done
elif [ "$ranks" -gt 1 ]; then
	[ -z "${opt[replay]}" ] || die_usage "--replay is work for one process"
	[ -n "$dry" ] || [ ! -d "$run" ] || lock # or we would take away what the ranks of another job are about to read
	[ -n "$dry" ] || rm -f "$run/.ranks"
	farewell() { # what a job before this one has left would make ranks begin elsewhere; before the ring they may not have read it
		case $ready in
		'') mkdir -p "$run" && printf '%s\n' "failed $job" '' >"$run/.ranks.tmp" && mv "$run/.ranks.tmp" "$run/.ranks" ;;
		met) rm -f "$run/.ranks" ;;
		esac
	}
	[ -n "$dry" ] || trap farewell EXIT
fi

# --- run.json: one option a line; what was given before holds, and a change must be meant ---
read_back() { # read_back TEXT: $text, without the backslashes of run.json
	text=${1//'\\'/$'\x01'} text=${text//'\t'/$'\t'} text=${text//'\"'/'"'} text=${text//$'\x01'/'\'}
}
changes='' stale='' begun='' were=$ranks by=${opt[threads]} # who trained it so far, with how many threads
[ ! -L "$run/latest" ] && [ ! -d "$run/step-00000000" ] || begun=1
if [ -f "$run/run.json" ]; then
	[ -z "$begun" ] || were=1 # where it does not say
	while read -r line; do
		[[ $line =~ ^\"([a-z-]+)\":\ \"(.*)\",?$ ]] || continue
		name=${BASH_REMATCH[1]}
		read_back "${BASH_REMATCH[2]}"
		old=$text
		[ "$name" != ranks ] || were=${begun:+$old}
		[ -n "${opt[$name]+is}" ] || continue
		case $name in
		threads) # on how many the bits depend; a change is dc-step's matter, and holds once there is a checkpoint of it
			by=$old
			[ -n "${given[threads]-}" ] || opt[threads]=$old
			continue ;;
		run | override | accept-numerics | data-threads | profile | stall* | replay) continue ;;
		esac
		case $name${given[steps]+ steps}${given[epochs]+ epochs} in 'steps epochs' | 'epochs steps') # one length replaces the other
			[ -z "$begun" ] || [ -z "$old" ] || changes+="  --$name: was '$old', now ''"$'\n'
			continue ;;
		esac
		if [ -z "${given[$name]-}" ]; then
			opt[$name]=$old
		elif [[ $name == val* || $name == keep-activations || $name == recompute ]]; then
			: # the training does not depend on it
		elif [ "${opt[$name]}" != "$old" ] && [ -z "$begun" ]; then
			stale=1 # there is no model yet, so the new options hold
		elif [ "${opt[$name]}" != "$old" ]; then
			changes+="  --$name: was '$old', now '${opt[$name]}'"$'\n'
		fi
	done <"$run/run.json"
	IFS=$'\t' read -r -a shards <<<"${opt[data]}"
	IFS=$'\t' read -r -a sources <<<"${opt[mix]}"
	if ! grep -q '^"views": ' "$run/run.json" && [ -z "${given[recipe]-}" ]; then # its --recipe was what is --views now
		opt[views]=${given[views]+${opt[views]}}${given[views]-${opt[recipe]}} opt[recipe]=
	fi
fi
if [ -n "$changes" ] && [ -z "${opt[override]}" ]; then
	printf '%s: %s was begun with other options:\n%s' "$me" "$run" "$changes" >&2
	echo "Take another --run DIR, or add --override to go on with the new ones." >&2
	exit 1
fi
for name in method as arch init vocab weights freeze logit-scale filip-top part queue nns-after; do
	[[ $changes != *"  --$name: "* ]] || die "--override cannot change --$name: $run/step-00000000 decided it; take another --run DIR (--init $run starts from its weights)"
done
reader=dc-decode
if [ ${#sources[@]} -gt 0 ]; then
	[ ${#shards[@]} -eq 0 ] || die_usage "give --data or --mix, not both"
	[ "${opt[tail]}" = carry ] || die_usage "--mix has no --tail: only the last batch can be short"
	for name in "${sources[@]}"; do
		[[ $name == ?*=?*:?* ]] || die_usage "--mix $name: must be NAME=WEIGHT:SHARDS"
		shards+=("${name#*=*:}")
	done
	reader=dc-mix
fi
[ ${#shards[@]} -gt 0 ] || die_usage "--data SHARDS is needed"
[ "$reader" = dc-mix ] || sources=("${shards[@]}")
[ -z "${opt[steps]}" ] || [ -z "${opt[epochs]}" ] || die_usage "give --steps or --epochs, not both"
whole() { # whole NAME LEAST: a zero in front does not make it octal
	local n
	[[ ${opt[$1]} =~ ^[0-9]{1,19}$ ]] && n=$((10#${opt[$1]})) && [ "$n" -ge "$2" ] || die_usage "--$1 ${opt[$1]}: must be a whole number of at least $2"
	opt[$1]=$n
}
for name in merges seed save-every; do whole "$name" 0; done
whole batch 1
[ -z "${opt[steps]}" ] || whole steps 1
[ -z "${opt[epochs]}" ] || whole epochs 1
[ -z "${opt[warmup]}" ] || whole warmup 0
if [ -n "${opt[val]}" ]; then # there must be checkpoints to score
	[ -z "${opt[val-every]}" ] || whole val-every 1
	if [ -n "${opt[val-every]}" ] && [ -z "${given[save-every]-}$begun" ]; then opt[save-every]=${opt[val-every]}; fi
	opt[val-every]=${opt[val-every]:-${opt[save-every]}}
	[ "${opt[val-every]}" -eq 0 ] || { [ "${opt[save-every]}" -gt 0 ] && [ $((opt[val-every] % opt[save-every])) -eq 0 ]; } ||
		die_usage "--val-every ${opt[val-every]}: must be a multiple of --save-every ${opt[save-every]}"
fi
[ "${opt[caption]}" != none ] || die_usage "--caption none: training needs captions"
[ "${opt[captions]}" != all ] || die_usage "--captions all is for encoding; training takes draw or first"

# --- what follows from the options ---
pass() { local name; for name; do [ -z "${opt[$name]}" ] || args+=("--$name" "${opt[$name]}"); done; }
flag() { local name; for name; do [ -z "${opt[$name]}" ] || args+=("--$name"); done; }

arch=${opt[arch]}
if [ -n "${opt[init]}" ] && [ -z "${given[arch]-}" ]; then
	[ -d "${opt[init]}" ] || die "--init ${opt[init]}: no such model directory or run"
	arch=${opt[init]}/latest/open_clip_config.json
	[ -f "$arch" ] || arch=${opt[init]}/open_clip_config.json
	[ -f "$arch" ] || die "${opt[init]}: no open_clip_config.json in it (dc-export makes a model directory of other models)"
else
	[[ $arch == */* || $arch == *.json ]] || arch=$here/arch/$arch.json
	[ -f "$arch" ] || arch=$here/../share/dc/arch/${opt[arch]}.json
	[ -f "$arch" ] || die_usage "--arch ${opt[arch]}: no such file, nor an architecture of $(cd "$here/arch" && echo *.json | sed 's/\.json//g')"
fi
number_in() { # number_in NAME: $number, empty if the architecture has none
	number=
	[[ ! $described =~ \"$1\"[[:space:]]*:[[:space:]]*([0-9]+) ]] || number=${BASH_REMATCH[1]}
}
described=$(<"$arch")
number_in image_size
pixels=$number
[ -n "${opt[size]}" ] || opt[size]=$pixels
[ "${opt[size]}" = "$pixels" ] || die_usage "--size ${opt[size]}: the architecture $arch takes images of $pixels pixels"
number_in context_length
context=${number:-77}

data=(--caption "${opt[caption]:-txt}")
[ -n "${opt[caption]}" ] || data=()
[ -z "${opt[max-pixels]}" ] || data+=(--max-pixels "${opt[max-pixels]}")
from_stdin=
for s in "${shards[@]}"; do [ "$s" != - ] || from_stdin=1; done
if [ -n "$from_stdin" ]; then
	[ "$ranks" = 1 ] || die_usage "--data -: each rank reads the shards, and standard input there is only one"
	[ -n "${opt[steps]}" ] && [ -n "${opt[vocab]}${opt[init]}" ] || die_usage "--data - needs --steps and --vocab: it can be read only once"
	count=0
elif [ -z "$count" ]; then
	count=$("$reader" --count "${data[@]}" "${sources[@]}") || exit 1
fi
val=()
[ "$rank" = 0 ] || opt[val]='' opt[profile]=''
if [ -n "${opt[val]}" ]; then
	for name in val-names val-prompts; do
		[ -z "${opt[$name]}" ] || [ -r "${opt[$name]}" ] || die "--$name ${opt[$name]}: no such file"
	done
	val=(--val "${opt[val]}" ${opt[caption]:+--caption "${opt[caption]}"} ${opt[val-names]:+--names "${opt[val-names]}"} ${opt[val-prompts]:+--prompts "${opt[val-prompts]}"})
	"$here/val.sh" --check "${val[@]}" || exit 1
	val=(nice -n 10 "$here/val.sh" --run "$run" "${val[@]}" --every "${opt[val-every]}" --batch "${opt[batch]}" ${opt[keep]:+--keep "${opt[keep]}"}
		${opt[keep-every]:+--keep-every "${opt[keep-every]}"})
fi
total=${opt[steps]}
[ -n "$total" ] || case ${opt[tail]} in
	carry) total=$(((count * ${opt[epochs]:-1} + opt[batch] - 1) / opt[batch])) ;;
	short) total=$(((count + opt[batch] - 1) / opt[batch] * ${opt[epochs]:-1})) ;;
	*) total=$((count / opt[batch] * ${opt[epochs]:-1})) ;;
esac
[ "$total" -gt 0 ] || die "an epoch of $count samples gives no batch of ${opt[batch]}"
if [ -z "$from_stdin$begun" ] && [ "$count" -lt "${opt[batch]}" ]; then
	happens='the next one fills it up, so that it has samples twice'
	[ "${opt[tail]}" != short ] && [ "${opt[steps]}${opt[epochs]:-1}" != 1 ] || happens="the batch is of $count"
	echo "$me: warning: --batch ${opt[batch]}: an epoch has only $count samples: $happens" >&2
fi
queue=${opt[queue]:-$((from_stdin || count / 2 > 65536 ? 65536 : count / 2 > 0 ? count / 2 : 1))}
after=${opt[nns-after]:-$((4 * opt[batch] > 1024 ? 4 * opt[batch] : 1024))}
warmup=${opt[warmup]:-$((total / 10 > 2500 ? 2500 : total / 10))}
[ "$warmup" -le "$total" ] || die_usage "the warm-up of $warmup steps is longer than the run of $total: give --warmup"
processors=$(nproc)
if [ "$ranks" -gt 1 ] && [ "$processors" = "$(nproc --all)" ]; then # not bound: the ranks of this host share it
	processors=$((processors / on_host > 0 ? processors / on_host : 1))
elif [ "$ranks" -gt 1 ] && [ -z "${opt[threads]}$quiet" ] && [ $((processors * on_host * 2)) -le "$(nproc --all)" ]; then
	echo "$me: bound to $processors of $(nproc --all) processors; mpirun --bind-to none leaves all of them to $on_host ranks" >&2
fi
threads=${opt[threads]:-$processors}
[[ $threads =~ ^[0-9]+$ ]] && [ "$threads" -ge 1 ] || die_usage "--threads $threads: must be a whole number of at least 1"
export OMP_NUM_THREADS=$threads
# as dc-encode, dc-loss and dc-step would set it for themselves, by starting once more
[ -n "${OMP_WAIT_POLICY-}${GOMP_SPINCOUNT-}" ] || export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=3000
tag=$home/loop

args=(dc-init --arch "$arch" --method "${opt[method]}" --as "${opt[as]}" --seed "${opt[seed]}" --queue "$queue" --nns-after "$after")
pass weights freeze logit-scale filip-top part
[ -z "${opt[init]}" ] || args+=(--from "${opt[init]}")
init=("${args[@]}")

if [ -n "$begun" ]; then
	vocab=$run/latest/bpe.txt.gz
else
	vocab=$run/bpe.txt.gz
	for f in "${opt[init]:+${opt[init]}/bpe.txt.gz}" "${opt[init]:+${opt[init]}/latest/bpe.txt.gz}"; do [ ! -f "$f" ] || vocab=$f; done
	[ -z "${opt[vocab]}" ] || vocab=${opt[vocab]}
	[ -z "${opt[vocab]}" ] || [ -f "$vocab" ] || die "--vocab $vocab: no such file"
fi
captions=(dc-decode --keep-encoded --captions all --tail short "${data[@]}" "${shards[@]}")
learn=(dc-vocab)
[ "${opt[merges]}" = 8000 ] || learn+=(--merges "${opt[merges]}") # unasked, it is silent where small data give fewer

rejects_of() { # rejects_of FILE: each rank has its own, but of what is no file, as /dev/null
	[ "$rank" = 0 ] || { [ -e "$1" ] && [ ! -f "$1" ]; } || { echo "$1.rank-$rank"; return; }
	echo "$1"
}
mpi=()
compose() { # compose POSITION: the six commands of the ring, or seven
	args=(${verbose[@]+"${verbose[@]}"})
	pass stall
	flag stall-exit
	common=(${args[@]+"${args[@]}"})
	args=("$reader" --batch "${opt[batch]}" --seed "${opt[seed]}" --skip "$1" -j "${opt[data-threads]}")
	[ -z "${opt[steps]}" ] || args+=(--steps "${opt[steps]}")
	[ -n "${opt[steps]}" ] || args+=(--epochs "${opt[epochs]:-1}")
	pass shuffle captions
	[ -z "${opt[rejects]}" ] || args+=(--rejects "$(rejects_of "${opt[rejects]}")")
	[ "$reader" = dc-mix ] || pass tail
	flag strict exif keep-encoded
	[ "$ranks" = 1 ] || args+=(--rank "$rank" --world "$ranks")
	decode=("${args[@]}" "${data[@]}" ${common[@]+"${common[@]}"} "${sources[@]}")
	views=(--recipe "${opt[views]:-${opt[method]}}")
	[ -n "${opt[views]}" ] || case ${opt[method]} in
	siglip) views=(--recipe clip) ;;
	defilip) views=(--recipe declip) ;;
	filip) views=(--recipe declip --views 1 --caption-views 1) ;;
	esac
	args=(dc-augment "${views[@]}" --size "${opt[size]}" --seed "${opt[seed]}" -j "${opt[data-threads]}")
	pass eda wordnet max-pixels
	read -r -a more <<<"${opt[augment]}"
	augment=("${args[@]}" ${more[@]+"${more[@]}"} ${common[@]+"${common[@]}"})
	mlm=${opt[mlm]}
	case ${opt[method]} in
	clip | slip | siglip) mlm=0 ;;
	filip) [ "${opt[as]}" = released ] || mlm=0 ;;
	esac
	tokenize=(dc-tokenize --vocab "$vocab" --context "$context" --mlm "$mlm" --as "${opt[as]}" --seed "${opt[seed]}" ${common[@]+"${common[@]}"})
	args=(dc-encode --loop "$tag" --threads "$threads")
	pass profile keep-activations
	[ "$on_host" -le 1 ] || [ -n "${opt[keep-activations]}" ] || args+=(--share "$on_host") # each would take half of what is free
	flag recompute by-value
	[ "$ranks" = 1 ] || args+=(--sync-bn)
	encode=("${args[@]}" ${common[@]+"${common[@]}"})
	[ "$ranks" = 1 ] || mpi=(dc-mpi --refs "$home/shm" --log "$run/ranks.tsv" ${common[@]+"${common[@]}"})
	loss=(dc-loss ${common[@]+"${common[@]}"})
	args=(dc-step --run "$run" --loop "$tag" --steps "$total" --warmup "$warmup")
	pass lr lr-start weight-decay grad-clip ema save-every nan spike
	[ -n "${opt[val]}" ] || pass keep keep-every # else val.sh does it: what waits for its row stays
	flag by-value accept-numerics
	[ "$ranks" = 1 ] || args+=(--hash --drop)
	[ "$rank" = 0 ] || args+=(--replica "$home")
	step=("${args[@]}" ${common[@]+"${common[@]}"})
}

# a wrong value is refused before anything is made, or written down
if [ -z "$begun" ] || [ -n "$changes" ]; then
	compose 0
	pids=()
	check() { "$@" >/dev/null & pids+=($!); }
	[ -n "$begun" ] || check "${init[@]}" --dry-run
	check "${decode[@]}" --help
	check "${augment[@]}" --help
	check "${tokenize[@]}" --help
	check "${learn[@]}" --help
	check "${step[@]}" --help
	wrong=0
	for pid in "${pids[@]}"; do # all of them, or one would speak when we are gone
		wait "$pid" || { rc=$?; [ $wrong -ne 0 ] || wrong=$rc; }
	done
	[ $wrong -eq 0 ] || exit $wrong
fi

say() { printf '%q ' "$@"; }
replay() { # replay NAME: the commands that make that batch again, and what the tools say of it
	local from=$run/$1 at=$run/replay batch
	[ -f "$from/state.safetensors" ] || die "--replay $1: $from is no checkpoint"
	say rm -rf "$at"; echo
	say mkdir "$at"; echo
	say ln -s "../$1" "$at/latest"; echo
	say mkfifo "$at/loop"; echo
	batch=$(dc-step --run "$tmp" --print position) || exit
	vocab=$from/bpe.txt.gz tag=$at/loop run=$at
	compose "$batch"
	printf '%s|\n' "$(say "${decode[@]}" --steps $((batch + 1)))" "  $(say "${augment[@]}")" "  $(say "${tokenize[@]}")" \
		"  $(say "${encode[@]}")" "  $(say tee "$at/features.dcs")" "  $(say "${loss[@]}")" "  $(say tee "$at/losses.dcs")"
	printf '  %s\n' "$(say "${step[@]}")"
}
if [ -n "${opt[replay]}" ]; then
	tmp=$(mktemp -d) && ln -s "$(cd "$run" && pwd)/${opt[replay]}" "$tmp/latest" || exit 1
	script=$(replay "${opt[replay]}")
	rc=$?
	rm -rf "$tmp"
	[ $rc -eq 0 ] || exit $rc
	script="export OMP_NUM_THREADS=$OMP_NUM_THREADS"$'\n'$script
	[ -z "$dry" ] || { echo "$script"; exit 0; }
	bash -c "$script" >&2
	[ -s "$run/replay/losses.dcs" ] || die "the batch was not made"
	echo "$run/replay/features.dcs" "$run/replay/losses.dcs"
	exit 0
fi
if [ -n "$dry" ]; then # a script that does the same: to be read, changed and run
	compose "$(dc-step --run "$run" --print position 2>/dev/null || echo 0)"
	echo 'set -e'
	echo "export OMP_NUM_THREADS=$OMP_NUM_THREADS"
	if [ -z "$begun" ]; then
		say mkdir -p "$run"; echo
		[ -f "$vocab" ] || { say "${captions[@]}"; echo '|'; echo "  $(say "${learn[@]}" --out "$vocab")"; }
		say "${init[@]}" --vocab "$vocab" --out "$run"; echo
	fi
	say mkfifo "$tag"; echo
	echo "trap $(say "$(say rm -f "$tag")") EXIT"
	printf '%s|\n' "$(say "${decode[@]}")" "  $(say "${augment[@]}")" "  $(say "${tokenize[@]}")" "  $(say "${encode[@]}")" \
		${mpi[@]+"  $(say "${mpi[@]}")"} "  $(say "${loss[@]}")"
	printf '%s\n' "  $(say "${step[@]}")"
	[ -z "${opt[val]}" ] || { say "${val[@]:3}"; echo; }
	echo
	echo "# $count samples an epoch, $total batches of ${opt[batch]} in all"
	[ -f "$vocab" ] && init+=(--vocab "$vocab")
	[ "$ranks" -le 1 ] || echo "# in each of $ranks processes, $(((opt[batch] + ranks - 1) / ranks)) samples a batch:"
	"${init[@]}" --dry-run --batch $(((opt[batch] + ranks - 1) / ranks)) | sed 's/^/# /'
	exit "${PIPESTATUS[0]}"
fi

# --- the run directory ---
write_json() {
	local name text sep='{'
	for name in "${names[@]}" $flags; do
		case $name in run | override | accept-numerics | profile | stall* | replay) continue ;; esac
		text=${opt[$name]}
		[ "$name" != threads ] || text=$by
		text=${text//'\'/'\\'} text=${text//'"'/'\"'} text=${text//$'\t'/'\t'}
		printf '%s\n"%s": "%s"' "$sep" "$name" "$text"
		sep=,
	done
	printf '%s\n"ranks": "%s"\n}\n' "$sep" "$1"
}
put_json() { # put_json RANKS: that made the newest checkpoint, or will make the first
	write_json "$1" >"$run/.run.json" && sync "$run/.run.json" && mv "$run/.run.json" "$run/run.json" || die "cannot write $run/run.json"
}
lock
if [ "$rank" = 0 ]; then # ---
[ -n "$begun" ] && [ "$(readlink "$run/latest")" != step-00000000 ] || were=$ranks by=${opt[threads]}
[ -z "${opt[accept-numerics]}" ] || by=${opt[threads]}
put_json "$were"
# killed while it was made: the first checkpoint is there, and whole, but not yet the link to it
[ -L "$run/latest" ] || [ ! -d "$run/step-00000000" ] || ln -s step-00000000 "$run/latest" || exit 1
if [ -z "$begun" ]; then
	[ -z "$stale" ] || rm -f "$run/bpe.txt.gz"
	if [ ! -f "$vocab" ]; then
		[ -n "$quiet" ] || echo "$me: learning a vocabulary from the captions" >&2
		"${captions[@]}" | "${learn[@]}" --out "$run/.bpe.tmp" && mv "$run/.bpe.tmp" "$vocab" || die "no vocabulary"
	fi
	"${init[@]}" --vocab "$vocab" --out "$run" || die "no model"
fi
position=0
[ -z "$begun" ] || position=$(dc-step --run "$run" --print position) || exit 1
if [ "$ranks" -gt 1 ]; then
	printf '%s\n' "ready $job" "$position $count" >"$run/.ranks.tmp" && mv "$run/.ranks.tmp" "$run/.ranks" || die "cannot write $run/.ranks"
	ready=1
fi
fi # ---
vocab=$run/latest/bpe.txt.gz
if [ -n "$begun" ] && [ "$were" != "$ranks" ]; then # the sums are others, in their last bits
	[ "$rank" -gt 0 ] || echo "$me: $run was trained by $were process$([ "$were" = 1 ] || echo es), and goes on with $ranks: the last bits differ" >&2
	opt[accept-numerics]=1
elif [ "$rank" -gt 0 ]; then
	opt[accept-numerics]=1 # what is recorded is of rank 0
fi
tmp=$(mktemp -d) || exit 1

# val.sh reads checkpoints and nothing else. Descriptor 7 tells it what to do, and hangs up when we are gone, even killed.
validate() {
	[ -n "${opt[val]}" ] || return 0
	mkfifo "$tmp/val" && exec 7<>"$tmp/val" 4<"$tmp/val" || exit 1
	(trap '' USR1; exec "${val[@]}" --follow <&4 4<&- 7>&- 8>&-) &
	val_pid=$!
	exec 4<&-
}
stopped=
validated() { # validated WORD: val.sh is told, and ends; it may be dead. A signal makes it leave at once
	[ -n "${opt[val]}" ] || return 0
	trap 'stopped=1; echo stop >&7' INT TERM HUP
	echo "$1" >&7
	while wait "$val_pid"; val_status=$?; kill -0 "$val_pid" 2>/dev/null; do :; done
	return "$val_status"
}
validated_wholly() {
	local word=end
	[ -z "$stopped" ] || word=stop
	validated $word
	rm -rf "$tmp"
	if [ -n "$stopped" ] && [ -n "${opt[val]}" ]; then
		echo "$me: stopped, trained but perhaps not wholly validated; run again to continue" >&2
		exit 4
	fi
	[ "${val_status:-0}" -eq 0 ] || die "the run is finished, but not validated; run again to try that once more"
}

if [ "$position" -ge "$total" ]; then
	validate
	validated_wholly
	[ "$rank" -gt 0 ] || echo "$me: $run is finished: $position of $total batches" >&2
	exit 0
fi
newest=$(readlink "$run/latest")
compose "$position"
[ "$position" = 0 ] || [ "$rank" -gt 0 ] || echo "$me: continuing at batch $position of $total" >&2

tidy() { # the shared memory goes with the ring, whichever tool died
	local shm
	rm -rf "$tmp"
	# only our files and then the directory, so that a wrong link cannot cost anyone data
	[ ! -L "$home/shm" ] || {
		shm=$(readlink "$home/shm")
		case ${shm##*/} in dc-ring-*) rm -f "$shm/parameters.safetensors" "$shm/gradients.safetensors"; rmdir "$shm" 2>/dev/null ;; esac
		rm -f "$home/shm"
	}
	rm -f "$tag"
}

# With --stall-exit: a tool that hangs does not notice that its neighbours gave up. It has as long again to end.
tools_of() { ps -o pid=,comm= --ppid "$1" | grep ' dc-'; }
both_there() { [ "$(tools_of "$1" | grep -c ' dc-encode\| dc-step')" -eq 2 ]; }
kill_hung() { # kill_hung SHELL
	local pid name
	until both_there "$1"; do sleep 0.1; done
	while both_there "$1"; do sleep 0.5; done
	sleep "${opt[stall]:-600}"
	tools_of "$1" | while read -r pid name; do
		echo "$me: $name has not ended: killed" >&2
		kill -KILL "$pid"
	done
}

# Only dc-step answers to signals: it gets what comes to us, besides what the terminal sends it.
ring() {
	local hung='' shell=$BASHPID
	trap '' INT TERM HUP USR1
	set +m
	exec 5>&- 7>&-
	[ -z "${opt[stall-exit]}" ] || { kill_hung "$shell" 6<&- 8>&- >/dev/null & hung=$!; }
	last=(bash -c 'echo $$ >"$1"; shift; exec "$@"' - "$tmp/pid" "${step[@]}" --lifeline 6)
	if [ "$ranks" = 1 ]; then
		"${decode[@]}" | "${augment[@]}" | "${tokenize[@]}" | "${encode[@]}" | "${loss[@]}" | "${last[@]}"
		echo "${PIPESTATUS[*]}" >"$tmp/status"
	else
		"${decode[@]}" | "${augment[@]}" | "${tokenize[@]}" | "${encode[@]}" | "${mpi[@]}" --lifeline 6 | "${loss[@]}" | "${last[@]}"
		echo "${PIPESTATUS[*]}" >"$tmp/status"
	fi
	[ -z "$hung" ] || kill -KILL "$hung"
	! read -r -t 0 -u 6 || tidy # the pipe hung up: nobody else will
}
hears() { grep -q '^SigCgt:.*[4567cdef]...$' "/proc/$1/status"; } # it handles SIGTERM
stop() { # dc-step may be starting still; a signal soon after another is the same one to it
	local pid
	stopped=1
	until pid=$(cat "$tmp/pid") && [ -n "$pid" ] && hears "$pid"; do
		kill -0 $! || return
		sleep 0.05
	done
	kill -TERM "$pid"
} 2>/dev/null
validate
stopping=
trap 'stopping=1' INT TERM HUP USR1

# a pipe whose writing end is ours alone: it hangs up when we are gone, even killed, and dc-step then stops the ring
[ ! -e "$tag" ] && [ ! -L "$tag" ] || rm -f "$tag"
mkfifo "$tmp/life" "$tag" && exec 5<>"$tmp/life" 6<"$tmp/life" || die "cannot make $tag"
# rows on a terminal would run into the progress line, which is on standard error; they are in log.tsv. mpirun gives a pseudo-terminal
# as standard output alone
[ "$ranks" = 1 ] || set -m # mpirun kills a process group, and the ring has its own: it ends in order
if [ -n "$quiet" ] || { [ -t 1 ] && [ -t 2 ]; }; then ring <&0 >/dev/null & else ring <&0 & fi
set +m
trap stop INT TERM HUP USR1
[ -z "$stopping" ] || stop
while wait $!; [ ! -s "$tmp/status" ] && kill -0 $! 2>/dev/null; do :; done

[ -s "$tmp/status" ] || { rm -rf "$tmp"; die "the ring's shell was killed; run again to continue from the last checkpoint"; }
read -r -a status <"$tmp/status"
ring_tools=("$reader" dc-augment dc-tokenize dc-encode ${mpi[@]+dc-mpi} dc-loss dc-step)
tidy
if [ "$rank" = 0 ] && [ "$were $by" != "$ranks ${opt[threads]}" ] && [ "$(readlink "$run/latest")" != "$newest" ]; then
	by=${opt[threads]}
	put_json "$ranks"
fi
case ${status[${#status[@]} - 1]} in 0) ready=${ready:+met} ;; esac # all ranks took part
fault=() signal=()
for i in "${!status[@]}"; do
	s=${status[i]}
	if [ "$s" -gt 128 ]; then
		signal+=("${ring_tools[i]} (killed by SIG$(kill -l $((s - 128))))")
	elif [ "$s" -ne 0 ] && [ "$s" -ne 3 ]; then
		fault+=("${ring_tools[i]} (status $s)")
	fi
done
[ ${#signal[@]} -eq 0 ] || fault=("${signal[@]}") # a death leaves truncated frames: what others say follows from it
if [ ${#fault[@]} -gt 0 ]; then
	validated stop
	echo "$me: failed: $(printf '%s, ' "${fault[@]}" | sed 's/, $//'); run again to continue from the last checkpoint" >&2
	exit 1
fi
[ "$rank" = 0 ] || [ "${status[${#status[@]} - 1]}" -ne 0 ] || exit 0 # what has become of the run, rank 0 says
[ "${status[${#status[@]} - 1]}" -eq 0 ] || { validated stop; die "the ring ended early; run again to continue from the last checkpoint"; }
position=$(dc-step --run "$run" --print position) || exit 1
if [ "$position" -lt "$total" ]; then
	validated stop
	echo "$me: stopped at batch $position of $total, run again to continue" >&2
	exit 4
fi
validated_wholly
[ -n "$quiet" ] || echo "$me: finished, $position batch$([ "$position" -eq 1 ] || echo es); the model is $run/latest" >&2
