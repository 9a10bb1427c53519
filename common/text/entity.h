/* SPDX-License-Identifier: MIT */
/* HTML's character references, named and numeric. From in to out (emptied first; not the same object). */
#ifndef DC_TEXT_ENTITY_H
#define DC_TEXT_ENTITY_H

#include "text/points.h"

/* By the rules of HTML5, as Python's html.unescape does once: "&eacute", "&notit;", "&#150;" too. */
void dc_html_unescape(struct dc_points *out, const struct dc_points *in);

/* As ftfy does: only what ends in ";", and names in capitals ("&EACUTE;"). */
void dc_entities_repair(struct dc_points *out, const struct dc_points *in);

#endif
