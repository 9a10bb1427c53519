/* SPDX-License-Identifier: MIT */
/* Which terms a method has. Their weights: dc_config_method(). */
#include <string.h>

#include "loss/term.h"

static const struct dc_loss_term *const clip[] = { &dc_term_clip, NULL };
static const struct dc_loss_term *const declip[] = {
	&dc_term_clip, &dc_term_mvs, &dc_term_simsiam, &dc_term_mlm, &dc_term_nns, NULL
};
static const struct dc_loss_term *const defilip[] = {
	&dc_term_clip, &dc_term_mvs, &dc_term_simsiam, &dc_term_mlm, &dc_term_nns, &dc_term_filip, NULL
};
static const struct dc_loss_term *const slip[] = { &dc_term_clip, &dc_term_simclr, NULL };
static const struct dc_loss_term *const filip[] = { &dc_term_clip, &dc_term_filip, NULL };
static const struct dc_loss_term *const siglip[] = { &dc_term_clip, &dc_term_siglip, NULL };

const struct dc_loss_method dc_loss_methods[] = {
	{ "clip", "contrastive language-image pre-training", clip },
	{ "slip", "CLIP and SimCLR on two more views of the image", slip },
	{ "filip", "fine-grained CLIP: images and captions compared token by token", filip },
	{ "declip", "data efficient CLIP: self-, multi-view and nearest-neighbour supervision", declip },
	{ "defilip", "DeCLIP and FILIP together", defilip },
	{ "siglip", "every pair by itself, with a sigmoid", siglip },
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

int
dc_loss_has(const char *method, int term)
{
	const struct dc_loss_method *m = dc_loss_method(method);

	for (int i = 0; m && m->terms[i]; i++)
		if ((int)m->terms[i]->term == term)
			return 1;
	return 0;
}
