/* SPDX-License-Identifier: MIT */
/* What comes of classifying labelled images: accuracies, a row for each class, the confusion matrix. */
#ifndef DC_SCORE_ACCURACY_H
#define DC_SCORE_ACCURACY_H

#include "base/util.h"
#include "score/rank.h"

/* n images, each with the place of its own class, its label and the class it was given, both in [0,K). */
struct dc_cases { struct dc_place *place; int64_t *label, *given; int64_t n, cap, K; };
void dc_cases_add(struct dc_cases *c, const struct dc_place *place, int64_t label, int64_t given);
void dc_cases_free(struct dc_cases *c);

/* The share of images whose class is among the first k; guessing gives k/K. */
void dc_accuracy_top(struct dc_share *s, const struct dc_cases *c, int64_t k);

struct dc_class { int64_t n, given; double hits; };   /* images of a class, images it was given to, top-1 hits */
struct dc_class *dc_accuracy_classes(const struct dc_cases *c);   /* [K], to be freed */
/* The mean of top-1 over the classes that have images (s->n of them); the standard error is that of its images. */
void dc_accuracy_mean(struct dc_share *s, const struct dc_class *c, int64_t K);

/* Write the confusion matrix to a new file that then takes the name `path`: tab-separated, a header with the classes that
 * were given, then a row for each true class with the numbers of its images. names may be NULL: numbers. */
int dc_confusion_write(const char *path, const struct dc_cases *c, const char *const *names) DC_MUST_USE;

#endif
