/* SPDX-License-Identifier: MIT */
/* How much memory there is. */
#ifndef DC_BASE_MEMORY_H
#define DC_BASE_MEMORY_H

#include <stddef.h>

/* Bytes that can be had without swapping, as the kernel estimates it, and within the limits of the control groups (a
 * container's, a job's) that this process is in; SIZE_MAX if nobody says. */
size_t dc_memory_available(void);

/* What is left of those limits alone: of the groups that the file `groups` names and all above them, below the directory `sys`. */
size_t dc_memory_left(const char *groups, const char *sys);

#endif
