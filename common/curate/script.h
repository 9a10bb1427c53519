/* SPDX-License-Identifier: MIT */
/* Which script a letter is written in: Unicode's property Script, for the characters of category L, in the version of
 * Unicode that curate/scripts.inc was made with, on any machine. */
#ifndef DC_CURATE_SCRIPT_H
#define DC_CURATE_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

enum { DC_SCRIPTS_MAX = 256 };

/* The number of a script, from 1: by name ("Latin") or code ("Latn"), in any case, "_" left out. 0: there is none. */
int dc_script_find(const char *name, size_t n);
/* Its name; NULL if there is none of that number. */
const char *dc_script_name(int script);
/* The script of a letter; 0 for a letter of several scripts or of none, and for what is no letter. */
int dc_script_of(int32_t c);

#endif
