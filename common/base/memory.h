/* SPDX-License-Identifier: MIT */
/* How much memory there is. */
#ifndef DC_BASE_MEMORY_H
#define DC_BASE_MEMORY_H

#include <stddef.h>

/* Bytes that can be had without swapping, as the kernel estimates it, and within the limit of the control group (a
 * container's) that this process is in; SIZE_MAX if nobody says. */
size_t dc_memory_available(void);

#endif
