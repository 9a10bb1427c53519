/* SPDX-License-Identifier: MIT */
/* Choosing a linear probe's lambda on a validation set, as CLIP does (arXiv 2103.00020, app. A.3). No I/O. */
#ifndef DC_SCORE_SWEEP_H
#define DC_SCORE_SWEEP_H

#include "score/probe.h"

/* A share of each class for validation: into[n] = 1 for round(share N_k) of the N_k rows with y[n] = k, at least 1 and at
 * most N_k - 1 of them, drawn by seed; 0 for the others, and for all of a class with one row. Returns how many. */
int64_t dc_sweep_split(char *into, const int64_t *y, int64_t N, int K, double share, uint64_t seed);

/* One lambda tried: the share of validation rows that are right, their mean cross-entropy, and how the fit went. */
struct dc_sweep_point { struct dc_probe_result fit; double accuracy, loss; };

struct dc_sweep_set { const dc_real *x; const int64_t *y; int64_t N; };

struct dc_sweep {
	struct dc_sweep_set train, val;
	int D, K;
	double lo, hi;             /* lambda's range */
	int n;                     /* how many, evenly spaced in log lambda, both ends included */
	int search;                /* instead: 7 evenly spaced in log lambda, then four times the two beside the best, at
	                            * half the distance of those before (CLIP's "parametric binary search") */
	struct dc_probe_how how;
	void (*tried)(void *arg, const struct dc_sweep_point *p); /* after each; may be NULL */
	void *arg;
	/* result, free(point) */
	struct dc_sweep_point *point; int points; /* by falling lambda */
	int best;                  /* the most accurate; of equal ones the largest lambda */
};

/* Fit them all, from the largest to the smallest lambda, each from where the one before ended. 0, or -1 with a message. */
int dc_sweep_run(struct dc_sweep *s) DC_MUST_USE;

#endif
