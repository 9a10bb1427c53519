/* SPDX-License-Identifier: MIT */
/* The sentences of scene.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "data/scene.h"

struct text { char *p; size_t n; };

static void DC_PRINTF(2, 3)
say(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->p + t->n, DC_CAPTION_BYTES - t->n, fmt, ap);
	va_end(ap);
	t->n += (size_t)n < DC_CAPTION_BYTES - t->n ? (size_t)n : DC_CAPTION_BYTES - t->n - 1;
}

static int
one_in(struct dc_rng *r, int n)
{
	return dc_rng_below(r, (uint64_t)n) == 0;
}

static const char *
size_word(const struct dc_scene_object *o, struct dc_rng *r)
{
	static const char *const word[3][2] = { { "small ", "little " }, { "", "" }, { "large ", "big " } };

	return word[o->size][dc_rng_below(r, 2)];
}

static const char *
plural(const struct dc_scene_object *o)
{
	return strcmp(dc_shape_names[o->shape], "cross") ? "s" : "es";
}

/* "large striped red circle"; the adjectives before the colour are said now and then. */
static void
noun(struct text *t, struct dc_rng *r, const struct dc_scene_object *o)
{
	const char *size = size_word(o, r);
	int with_size = one_in(r, 2), with_texture = one_in(r, 2);

	say(t, "%s", with_size ? size : "");
	if (with_texture && o->texture != DC_PLAIN)
		say(t, "%s ", dc_texture_names[o->texture]);
	say(t, "%s %s", dc_colour_names[o->colour], dc_shape_names[o->shape]);
}

static void
a_noun(struct text *t, struct dc_rng *r, const struct dc_scene_object *o)
{
	say(t, "a ");
	noun(t, r, o);
}

static const char *
place_word(const struct dc_scene *s, const struct dc_scene_object *o)
{
	static const char *const word[3][3] = {
		{ "at the top left", "at the top", "at the top right" },
		{ "on the left", "in the middle", "on the right" },
		{ "at the bottom left", "at the bottom", "at the bottom right" },
	};
	int third = s->side * 8 / 16; /* off the middle by a sixteenth of the side already counts */
	int dx = o->x - s->side * 4, dy = o->y - s->side * 4;

	return word[dy < -third ? 0 : dy > third ? 2 : 1][dx < -third ? 0 : dx > third ? 2 : 1];
}

static void
background_phrase(struct text *t, const struct dc_scene *s)
{
	static const char *const kind[DC_BACKGROUNDS] = { "plain ", "", "cloudy " };
	int light = s->ground[0][0] + s->ground[0][1] + s->ground[0][2];

	say(t, " on a %s%sbackground", light < 330 ? "dark " : light > 520 ? "light " : "", kind[s->background]);
}

static void
texture_phrase(struct text *t, const struct dc_scene_object *o)
{
	static const char *const with[DC_TEXTURES] = { "", " with stripes", " with dots", " with checks" };

	say(t, "a %s %s%s", dc_colour_names[o->colour], dc_shape_names[o->shape], with[o->texture]);
}

/* --- one object --- */

enum { FULL_ONE = 9, ALL_ONE = 12 };

static void
say_one(struct text *t, const struct dc_scene *s, struct dc_rng *r, int full)
{
	static const char *const opening[] = { "", "a picture of ", "a drawing of ", "here is ", "an image of " };
	const struct dc_scene_object *o = &s->object[0];
	const char *c = dc_colour_names[o->colour], *shape = dc_shape_names[o->shape];

	switch (dc_rng_below(r, full ? FULL_ONE : ALL_ONE)) {
	case 0: case 1: say(t, "%s", opening[dc_rng_below(r, 5)]); a_noun(t, r, o); break;
	case 2: say(t, "there is "); a_noun(t, r, o); say(t, " %s", place_word(s, o)); break;
	case 3: a_noun(t, r, o); say(t, " %s", place_word(s, o)); break;
	case 4: a_noun(t, r, o); background_phrase(t, s); break;
	case 5: say(t, "a %s%s that is %s", size_word(o, r), shape, c); break;
	case 6: texture_phrase(t, o); break;
	case 7: say(t, "one "); noun(t, r, o); break;
	case 8: say(t, "the %s%s is %s", size_word(o, r), shape, c); break;
	case 9: say(t, "%sa %s%s", opening[dc_rng_below(r, 5)], size_word(o, r), shape); break;
	case 10: say(t, "%sa %s%s shape", opening[dc_rng_below(r, 5)], size_word(o, r), c); break;
	default: say(t, one_in(r, 2) ? "something %s" : "a shape that is %s", c); break;
	}
}

/* --- two objects --- */

static int
alike(const struct dc_scene_object *a, const struct dc_scene_object *b)
{
	return a->shape == b->shape && a->colour == b->colour;
}

/* Where a stands seen from b. */
static const char *
relation(const struct dc_scene_object *a, const struct dc_scene_object *b)
{
	int dx = a->x - b->x, dy = a->y - b->y;

	if (abs(dx) >= 2 * abs(dy))
		return dx < 0 ? "to the left of" : "to the right of";
	if (abs(dy) >= 2 * abs(dx))
		return dy < 0 ? "above" : "below";
	return one_in(&(struct dc_rng){ (uint64_t)(dx + 4096 * dy) }, 2) ? "near" : "next to";
}

static void
say_two(struct text *t, const struct dc_scene *s, struct dc_rng *r)
{
	const struct dc_scene_object *a = &s->object[0], *b = &s->object[1], *swap;
	int way = (int)dc_rng_below(r, 6);

	if (one_in(r, 2)) {
		swap = a;
		a = b;
		b = swap;
	}
	if (alike(a, b) && way < 3) {
		say(t, "%stwo %s %s%s", way ? "" : "a picture of ", dc_colour_names[a->colour], dc_shape_names[a->shape],
		    plural(a));
		return;
	}
	if (way == 0)
		say(t, "a picture of ");
	if (way == 1)
		say(t, "two shapes: ");
	if (way == 5 && a->shape == b->shape && a->colour != b->colour) {
		say(t, "two %s%s, one %s and one %s", dc_shape_names[a->shape], plural(a), dc_colour_names[a->colour],
		    dc_colour_names[b->colour]);
		return;
	}
	a_noun(t, r, a);
	if (way < 3)
		say(t, " and ");
	else
		say(t, " %s ", relation(a, b));
	a_noun(t, r, b);
}

/* --- three objects --- */

static void
say_three(struct text *t, const struct dc_scene *s, struct dc_rng *r)
{
	static const char *const opening[] = { "", "a picture of ", "three shapes: ", "there are three shapes, " };
	int order[3] = { 0, 1, 2 };

	dc_rng_shuffle(r, order, 3, sizeof *order);
	if (alike(&s->object[0], &s->object[1]) && alike(&s->object[0], &s->object[2])) {
		say(t, "%sthree %s %s%s", one_in(r, 2) ? "a picture of " : "", dc_colour_names[s->object[0].colour],
		    dc_shape_names[s->object[0].shape], plural(&s->object[0]));
		return;
	}
	say(t, "%s", opening[dc_rng_below(r, 4)]);
	for (int i = 0; i < 3; i++) {
		say(t, "%s", i == 0 ? "" : i == 1 ? ", " : " and ");
		a_noun(t, r, &s->object[order[i]]);
	}
}

static int
said_before(char (*out)[DC_CAPTION_BYTES], int n, const char *p)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(out[i], p))
			return 1;
	return 0;
}

int
dc_scene_captions(const struct dc_scene *s, struct dc_rng *r, char (*out)[DC_CAPTION_BYTES], int n)
{
	int have = 0;

	for (int tries = 0; have < n && tries < 4 * n; tries++) {
		struct text t = { out[have], 0 };

		if (s->n == 1)
			say_one(&t, s, r, have == 0);
		else if (s->n == 2)
			say_two(&t, s, r);
		else
			say_three(&t, s, r);
		have += !said_before(out, have, out[have]);
	}
	return have;
}
