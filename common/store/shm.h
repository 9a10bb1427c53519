/* SPDX-License-Identifier: MIT */
/* The directory in which a ring's parameters and gradients lie, in tmpfs where there is room: frames carry only
 * references (file, tensor) into it.
 *
 * dc-step, which owns it and holds the lock on RUN:        the others:
 *	dc_shm_make(&s, "run", bytes);                          int dir = dc_shm_open("run/loop");
 *	dc_st_create(s.fd, DC_SHM_PARAMETERS, 0600, ...);       dc_st_open(&st, dir, DC_SHM_PARAMETERS, DC_ST_READ);
 *	...                                                     t = dc_shm_find(&st, DC_SHM_PARAMETERS, &ref);
 *	dc_shm_remove(&s);                                      close(dir);
 *
 * RUN/shm is a link to a directory of mode 0700 below /dev/shm (or $DC_SHM_DIR); where that has too little room, RUN/shm
 * is the directory itself. */
#ifndef DC_STORE_SHM_H
#define DC_STORE_SHM_H

#include "store/safetensors.h"

#define DC_SHM_PARAMETERS "parameters.safetensors"
#define DC_SHM_GRADIENTS  "gradients.safetensors"

struct dc_shm {
	int fd;       /* the directory; -1 if none */
	char *path;   /* of the directory */
	char *link;   /* RUN/shm where that is a link, else NULL */
	int on_disk;  /* tmpfs had no room: worth a warning */
};

/* Remove what a dead ring left in `run`, then make a new directory with room for `bytes`. The caller holds the lock on
 * run. -1 with a message. */
int dc_shm_make(struct dc_shm *s, const char *run, size_t bytes) DC_MUST_USE;
/* Remove the two files, the directory and the link. Nothing if s->fd < 0. */
void dc_shm_remove(struct dc_shm *s);
/* Remove what a dead ring left in `run`, if anything. */
int dc_shm_clean(const char *run) DC_MUST_USE;

/* The directory `shm` beside this FIFO (or other file of RUN). An open descriptor, or -1 with a message. */
int dc_shm_open(const char *fifo) DC_MUST_USE;

/* The tensor that a reference means, in the open file `st` which is called `file`. NULL, with a message, if the reference
 * is none, names another file, or disagrees with the tensor's type or shape. */
const struct dc_st_tensor *dc_shm_find(const struct dc_st *st, const char *file, const struct dc_tensor *ref);

#endif
