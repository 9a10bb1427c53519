/* SPDX-License-Identifier: MIT */
/* Which terms a method has. Their weights: dc_config_method(). */
#include <string.h>

#include "loss/term.h"

static const struct dc_loss_term *const clip[] = { &dc_term_clip, NULL };
static const struct dc_loss_term *const declip[] = {
	&dc_term_clip, &dc_term_mvs, &dc_term_simsiam, &dc_term_mlm, &dc_term_nns, NULL
};

const struct dc_loss_method dc_loss_methods[] = {
	{ "clip", "contrastive language-image pre-training", clip },
	{ "declip", "data efficient CLIP: self-, multi-view and nearest-neighbour supervision", declip },
	{ NULL, NULL, NULL }
};

const struct dc_loss_method *
dc_loss_method(const char *name)
{
	for (const struct dc_loss_method *m = dc_loss_methods; m->name; m++)
		if (!strcmp(m->name, name))
			return m;
	return NULL;
}

int
dc_loss_method_term(const struct dc_loss_method *m, int i, enum dc_term *term, const char **what)
{
	if (!m->terms[i])
		return -1;
	*term = m->terms[i]->term;
	*what = m->terms[i]->what;
	return 0;
}
