/* SPDX-License-Identifier: MIT */
/* Frames through a pipe between two processes, in GB/s: bench_stream MB BY_REFERENCE. By value the tensor's bytes travel,
 * are hashed, checked and lie aligned before the reader, as every tool of the ring does it; by reference only its name does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "stream/stream.h"

