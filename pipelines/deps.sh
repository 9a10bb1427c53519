#!/bin/sh
# SPDX-License-Identifier: MIT
# Install the Debian packages that dc needs, as root or through sudo; says what it does, and does nothing when all is there.
set -u
usage() {
	cat <<-'END'
	usage: deps.sh [--check]
	Install the Debian packages that are missing, as root or through sudo: what `make deps` runs.

	      --check    install nothing; name what is missing, status 1 if something is
	  -h, --help     print this and exit
	END
}
check=
for arg; do
	case $arg in
	-h | --help) usage; exit 0 ;;
	--check) check=1 ;;
	*) echo "deps.sh: unknown argument $arg" >&2; echo "Try 'deps.sh --help'." >&2; exit 2 ;;
	esac
done

need='build-essential pkg-config libarchive-dev libjpeg-dev libpng-dev libwebp-dev libopenblas-openmp-dev
libxxhash-dev libutf8proc-dev libjansson-dev zlib1g-dev liblbfgs-dev wordnet-base gnuplot-nox
openmpi-bin libopenmpi-dev perl procps libomp-dev mandoc shellcheck cppcheck clang zstd git python3 python3-numpy python3-msgpack python3-msgpack-numpy python3-xxhash python3-pil'
# used with AVX-512
[ "$(uname -m)" != x86_64 ] || need="$need libdnnl-dev"
# Debian 12 calls msgpack-c libmsgpack-dev, Debian 13 libmsgpack-c-dev
msgpack='libmsgpack-dev libmsgpack-c-dev'

have() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=
for p in $need; do have "$p" || missing="$missing $p"; done
have libmsgpack-dev || have libmsgpack-c-dev || missing="$missing msgpack-c"
[ -n "$missing" ] || exit 0
if [ -n "$check" ]; then
	echo "missing packages:$missing (make deps installs them)" >&2
	exit 1
fi

command -v apt-get >/dev/null || {
	echo "these Debian packages are missing and there is no apt-get:$missing" >&2
	exit 1
}
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
echo "installing with ${as_root:+$as_root }apt-get:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq || exit 1
for p in $msgpack; do
	case $missing in *msgpack-c*)
		apt-cache show "$p" >/dev/null 2>&1 && missing=$(echo "$missing" | sed "s/ msgpack-c/ $p/") && break ;;
	esac
done
# shellcheck disable=SC2086 # a list of words
$as_root apt-get install -y -qq --no-install-recommends $missing >&2
