/* SPDX-License-Identifier: MIT */
/* Class names, prompt templates, and the prompts that they make. */
#ifndef DC_SCORE_PROMPTS_H
#define DC_SCORE_PROMPTS_H

#include <stdint.h>

#include "base/util.h"

/* Lines of a text file, without blanks at either end. Zero-initialise; dc_lines_free at the end. */
struct dc_lines { char *text; const char **line; int64_t n; };
void dc_lines_free(struct dc_lines *l);

/* Names of classes, one a line. -1 with a message that names file and line: no name at all, an empty line, a tab in a
 * name, and, unless `same` allows it, a name that an earlier line has already (letters' case apart: the text tower does
 * not see it). */
int dc_names_read(struct dc_lines *names, const char *path, int same) DC_MUST_USE;

/* Templates, one a line, with {} where the name goes, once or more. A line may also be a Python string with a comma
 * behind it, as in the lists that OpenAI published: its quotes are taken off. Empty lines are skipped.
 * -1 with a message: a line without {}, no template at all. */
int dc_templates_read(struct dc_lines *templates, const char *path) DC_MUST_USE;
/* Our own few. */
void dc_templates_own(struct dc_lines *templates);

/* Prompts, one a line. -1 with a message: no line at all, an empty one. */
int dc_prompts_read(struct dc_lines *prompts, const char *path) DC_MUST_USE;

/* The template with the name in place of every {}. To be freed. */
char *dc_prompt(const char *template, const char *name);

#endif
