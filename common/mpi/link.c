/* SPDX-License-Identifier: MIT */
#include "mpi/link.h"

#include <mpi.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stream/stall.h"

enum { MAGIC = 0x64637700 + 1 /* version of struct dc_word */, TAG_WORD = 1, TAG_DATA = 2, TAG_BEAT = 3, CHUNK = 1 << 28 /* bytes of a message; a count is an int */,
	BLOCK = 1 << 20 /* numbers that a rank sums at a time */, TILE = 1024 /* of these in cache */ };
static const uint64_t share_max = (uint64_t)1 << 36;   /* bytes that a rank may announce */
static const double beat_s = 1, step_s = 0.2;         /* between signs of life; what one look counts as at most */
static const double spin_s = 30e-6, soon_s = 20e-3;   /* how long to look without sleep; to sleep but for a moment */

struct dc_link_private {
	struct dc_word *in, own;          /* [ranks] being received; being sent */
	MPI_Request *from, *to;           /* [ranks] of these */
	char *got;                        /* [ranks] in[k] is there */
	MPI_Request *beat_from, *beat_to; /* [ranks] signs of life */
	char *beat, beat_out;
	double *silent, looked, beaten;   /* [ranks] seconds without one; when we looked and gave one last */
	MPI_Request *data; int n_data, cap_data;
	float *theirs; size_t cap_theirs; /* numbers to be summed */
	char name[96];
};

static int
check(int e, const char *what)
{
	char text[MPI_MAX_ERROR_STRING] = "";
	int n;

	if (e == MPI_SUCCESS)
		return 0;
	MPI_Error_string(e, text, &n);
	return dc_err_set("%s: %s", what, text);
}

const char *
dc_link_name(struct dc_link *l, int rank)
{
	snprintf(l->p->name, sizeof l->p->name, "rank %d (%s)", rank, l->host[rank]);
	return l->p->name;
}

/* --- waiting --- */

/* Sleep a little, the longer it has taken; 1 where the reader of l->out is gone, or whoever started us. */
static int
nap(const struct dc_link *l, double since)
{
	struct pollfd p[2] = { { l->out, 0, 0 }, { l->lifeline, 0, 0 } };
	double s = dc_seconds() - since;
	struct timespec t = { 0, s < spin_s ? 0 : s < soon_s ? 50000 : 1000000 };

	if (s < spin_s)
		sched_yield();
	return ppoll(p, 2, &t, NULL) > 0;
}

/* --- words --- */

static int
expect(struct dc_link *l, int k)
{
	l->p->got[k] = 0;
	return check(MPI_Irecv(&l->p->in[k], sizeof *l->p->in, MPI_BYTE, k, TAG_WORD, MPI_COMM_WORLD, &l->p->from[k]), "MPI_Irecv");
}

/* Nothing has come of rank k for too long: it is as if it had said that it failed. */
static void
give_up(struct dc_link *l, int k)
{
	l->p->in[k] = (struct dc_word){ .magic = MAGIC, .kind = DC_WORD_FAIL, .step = l->word[l->rank].step };
	snprintf(l->p->in[k].why, sizeof l->p->in[k].why, "nothing was heard of it for %.3g s", l->p->silent[k]);
	l->p->got[k] = 1;
}

static int
listen_to(struct dc_link *l, int k, double seconds)
{
	int heard = 0;

	DC_TRY(check(MPI_Test(&l->p->beat_from[k], &heard, MPI_STATUS_IGNORE), "MPI_Test"));
	l->p->silent[k] = heard ? 0 : l->p->silent[k] + seconds;
	if (heard)
		DC_TRY(check(MPI_Irecv(&l->p->beat[k], 1, MPI_BYTE, k, TAG_BEAT, MPI_COMM_WORLD, &l->p->beat_from[k]), "MPI_Irecv"));
	if (l->dead > 0 && l->p->silent[k] > l->dead)
		give_up(l, k);
	return 0;
}

/* Signs of life, of ours and of the others. Time counts while we look: who was stopped, or slept with its machine, has not
 * heard anything either. */
static int
beat(struct dc_link *l)
{
	double now = dc_seconds(), since = now - l->p->looked;
	int say = now - l->p->beaten > beat_s, gone;

	l->p->looked = now;
	for (int k = 0; k < l->ranks; k++) {
		if (k == l->rank || (l->p->got[k] && l->p->in[k].kind >= DC_WORD_END))
			continue;
		DC_TRY(listen_to(l, k, since < step_s ? since : step_s));
		if (say && MPI_Test(&l->p->beat_to[k], &gone, MPI_STATUS_IGNORE) == MPI_SUCCESS && gone)
			DC_TRY(check(MPI_Isend(&l->p->beat_out, 1, MPI_BYTE, k, TAG_BEAT, MPI_COMM_WORLD, &l->p->beat_to[k]), "MPI_Isend"));
	}
	l->p->beaten = say ? now : l->p->beaten;
	return 0;
}

/* What has come of the next words. */
static int
progress(struct dc_link *l)
{
	DC_TRY(beat(l));
	for (int k = 0; k < l->ranks; k++) {
		int done = 0;

		if (k == l->rank || l->p->got[k])
			continue;
		DC_TRY(check(MPI_Test(&l->p->from[k], &done, MPI_STATUS_IGNORE), "MPI_Test"));
		if (!done)
			continue;
		DC_CHECK(l->p->in[k].magic == MAGIC, "%s is another version of this program", dc_link_name(l, k));
		l->p->got[k] = 1;
	}
	return 0;
}

/* Who has failed, or stopped, or with `ended` has come to the end; -1: nobody. */
static int
who_left(const struct dc_link *l, enum dc_word_kind from)
{
	int who = -1;

	for (int k = 0; k < l->ranks; k++)
		if (k != l->rank && l->p->got[k] && l->p->in[k].kind >= from && (who < 0 || l->p->in[k].kind > l->p->in[who].kind))
			who = k;
	return who;
}

static int
leave(struct dc_link *l, int who)
{
	l->left = who;
	l->word[who] = l->p->in[who];
	return DC_OTHER;
}

int
dc_link_look(struct dc_link *l)
{
	int who;

	DC_TRY(progress(l));
	return (who = who_left(l, DC_WORD_STOP)) >= 0 ? leave(l, who) : DC_FRAME;
}

static int
send_word(struct dc_link *l, const struct dc_word *w)
{
	l->p->own = *w;
	l->p->own.magic = MAGIC;
	l->word[l->rank] = l->p->own;
	for (int k = 0; k < l->ranks; k++)
		if (k != l->rank)
			DC_TRY(check(MPI_Isend(&l->p->own, sizeof l->p->own, MPI_BYTE, k, TAG_WORD, MPI_COMM_WORLD, &l->p->to[k]), "MPI_Isend"));
	return 0;
}

static int
all_said(const struct dc_link *l)
{
	for (int k = 0; k < l->ranks; k++)
		if (k != l->rank && !l->p->got[k])
			return 0;
	return 1;
}

static int
first_missing(const struct dc_link *l)
{
	for (int k = 0; k < l->ranks; k++)
		if (k != l->rank && !l->p->got[k])
			return k;
	return l->rank;
}

static const char *
kind_name(uint32_t kind)
{
	static const char *const name[] = { "?", "features", "gradients", "reduce", "end", "stop", "fail" };

	return name[kind <= DC_WORD_FAIL ? kind : 0];
}

/* Take what all have said, and look out for the words after that. */
static int
take_words(struct dc_link *l)
{
	for (int k = 0; k < l->ranks; k++) {
		if (k == l->rank)
			continue;
		l->word[k] = l->p->in[k];
		DC_TRY(expect(l, k));
	}
	for (int k = 0; k < l->ranks; k++) {
		const struct dc_word *a = &l->word[l->rank], *b = &l->word[k];

		DC_CHECK(a->kind == b->kind && a->step == b->step, "%s is at %s of step %llu, this rank at %s of step %llu", dc_link_name(l, k),
		    kind_name(b->kind), (unsigned long long)b->step, kind_name(a->kind), (unsigned long long)a->step);
		DC_CHECK(b->bytes <= share_max, "%s announces %llu bytes of %s", dc_link_name(l, k), (unsigned long long)b->bytes, kind_name(b->kind));
		DC_CHECK(a->check == b->check, "%s of step %llu are of another shape in %s: another model, or other options",
		    kind_name(a->kind), (unsigned long long)a->step, dc_link_name(l, k));
	}
	return DC_FRAME;
}

/* The watchdog's: for whom this rank waits. */
static int
begin_wait(struct dc_link *l, char *text, size_t n)
{
	snprintf(text, n, "for %s", dc_link_name(l, first_missing(l)));
	return dc_wait_begin(&(struct dc_wait){ .fd = -1, .name = text });
}

/* Until the word before is on its way. A rank that fails meanwhile ends it. */
static int
wait_sent(struct dc_link *l)
{
	double since = dc_seconds();
	int done = 0, who, r;

	while ((r = check(MPI_Testall(l->ranks, l->p->to, &done, MPI_STATUSES_IGNORE), "MPI_Testall")) == 0 && !done) {
		DC_TRY(progress(l));
		if ((who = who_left(l, DC_WORD_FAIL)) >= 0)
			return leave(l, who);
		if (nap(l, since))
			return DC_GONE;
	}
	return r < 0 ? DC_FAIL : DC_FRAME;
}

int
dc_link_meet(struct dc_link *l, const struct dc_word *w)
{
	double since = dc_seconds();
	int r = 0, who = -1, gone = 0, at;
	char text[128];

	if ((r = wait_sent(l)) != DC_FRAME)
		return r;
	DC_TRY(send_word(l, w));
	at = begin_wait(l, text, sizeof text);
	while ((r = progress(l)) == 0 && (who = who_left(l, DC_WORD_END)) < 0 && !all_said(l) && !(gone = nap(l, since)))
		;
	dc_wait_end(at);
	l->waited += dc_seconds() - since;
	if (r < 0 || gone)
		return r < 0 ? DC_FAIL : DC_GONE;
	return who >= 0 ? leave(l, who) : take_words(l);
}

void
dc_link_tell(struct dc_link *l, const struct dc_word *w, double seconds)
{
	double since = dc_seconds();
	int done = 0;

	if (MPI_Testall(l->ranks, l->p->to, &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS || !done || send_word(l, w) < 0)
		return;
	while (MPI_Testall(l->ranks, l->p->to, &done, MPI_STATUSES_IGNORE) == MPI_SUCCESS && !done && dc_seconds() - since < seconds)
		usleep(1000);
}

/* --- data --- */

static MPI_Request *
another(struct dc_link *l)
{
	struct dc_link_private *p = l->p;

	if (p->n_data == p->cap_data) {
		p->cap_data = p->cap_data ? 2 * p->cap_data : 64;
		p->data = dc_xrealloc(p->data, (size_t)p->cap_data, sizeof *p->data);
	}
	p->data[p->n_data] = MPI_REQUEST_NULL;
	return &p->data[p->n_data++];
}

static int
send_to(struct dc_link *l, int k, const void *x, size_t n)
{
	for (size_t at = 0; at < n; at += CHUNK)
		DC_TRY(check(MPI_Isend((const char *)x + at, (int)(n - at < CHUNK ? n - at : CHUNK), MPI_BYTE, k, TAG_DATA, MPI_COMM_WORLD,
		    another(l)), "MPI_Isend"));
	l->sent += n;
	return 0;
}

static int
receive_from(struct dc_link *l, int k, void *x, size_t n)
{
	for (size_t at = 0; at < n; at += CHUNK)
		DC_TRY(check(MPI_Irecv((char *)x + at, (int)(n - at < CHUNK ? n - at : CHUNK), MPI_BYTE, k, TAG_DATA, MPI_COMM_WORLD,
		    another(l)), "MPI_Irecv"));
	l->received += n;
	return 0;
}

/* Until all data are sent and have come. A rank that fails in the middle ends it; one that stops has done its share. */
static int
wait_data(struct dc_link *l)
{
	double since = dc_seconds();
	int done = 0, who, r;

	while ((r = check(MPI_Testall(l->p->n_data, l->p->data, &done, MPI_STATUSES_IGNORE), "MPI_Testall")) == 0 && !done) {
		DC_TRY(progress(l));
		if ((who = who_left(l, DC_WORD_FAIL)) >= 0)
			return leave(l, who);
		if (nap(l, since))
			return DC_GONE;
	}
	l->p->n_data = 0;
	return r < 0 ? DC_FAIL : DC_FRAME;
}

int
dc_link_share(struct dc_link *l, const void *own, unsigned char *const *to)
{
	for (int k = 0; k < l->ranks; k++)
		if (k != l->rank)
			DC_TRY(receive_from(l, k, to[k], (size_t)l->word[k].bytes));
	for (int i = 1; i < l->ranks; i++)   /* each begins with another one */
		DC_TRY(send_to(l, (l->rank + i) % l->ranks, own, (size_t)l->word[l->rank].bytes));
	return wait_data(l);
}

/* Rank k's share of n numbers begins here. */
static size_t
share_of(const struct dc_link *l, size_t n, int k)
{
	return n * (size_t)k / (size_t)l->ranks;
}

/* Everybody's numbers of the share of rank k go there. */
static int
scatter(struct dc_link *l, const float *x, size_t n)
{
	const size_t mine = share_of(l, n, l->rank + 1) - share_of(l, n, l->rank);

	for (int k = 0, at = 0; k < l->ranks; k++)
		if (k != l->rank)
			DC_TRY(receive_from(l, k, l->p->theirs + (size_t)at++ * mine, mine * sizeof *x));
	for (int i = 1; i < l->ranks; i++) {
		int k = (l->rank + i) % l->ranks;
		DC_TRY(send_to(l, k, x + share_of(l, n, k), (share_of(l, n, k + 1) - share_of(l, n, k)) * sizeof *x));
	}
	return wait_data(l);
}

/* sum_k x_k, k = 0 ... R-1, with the own one in its place */
static void
add_up(const struct dc_link *l, float *x, size_t mine)
{
	double s[TILE];

	for (size_t from = 0; from < mine; from += TILE) {
		const size_t n = mine - from < TILE ? mine - from : TILE;

		memset(s, 0, sizeof s);
		for (int k = 0, at = 0; k < l->ranks; k++) {
			const float *y = k == l->rank ? x + from : l->p->theirs + (size_t)at++ * mine + from;
			for (size_t i = 0; i < n; i++)
				s[i] += (double)y[i];
		}
		for (size_t i = 0; i < n; i++)
			x[from + i] = (float)s[i];
	}
}

static int
spread(struct dc_link *l, float *x, size_t n)
{
	const size_t from = share_of(l, n, l->rank), mine = share_of(l, n, l->rank + 1) - from;

	for (int k = 0; k < l->ranks; k++)
		if (k != l->rank)
			DC_TRY(receive_from(l, k, x + share_of(l, n, k), (share_of(l, n, k + 1) - share_of(l, n, k)) * sizeof *x));
	for (int i = 1; i < l->ranks; i++)
		DC_TRY(send_to(l, (l->rank + i) % l->ranks, x + from, mine * sizeof *x));
	return wait_data(l);
}

int
dc_link_sum(struct dc_link *l, float *x, size_t n)
{
	const size_t block = (size_t)BLOCK * (size_t)l->ranks;
	const size_t room = (BLOCK + 1) * (size_t)l->ranks;
	int r = DC_FRAME;

	if (l->p->cap_theirs < room)
		l->p->theirs = dc_xrealloc(l->p->theirs, l->p->cap_theirs = room, sizeof *l->p->theirs);
	for (size_t at = 0; at < n && r == DC_FRAME && l->ranks > 1; at += block) {
		size_t k = n - at < block ? n - at : block;

		if ((r = scatter(l, x + at, k)) == DC_FRAME) {
			add_up(l, x + at + share_of(l, k, l->rank), share_of(l, k, l->rank + 1) - share_of(l, k, l->rank));
			r = spread(l, x + at, k);
		}
	}
	return r;
}

/* --- the beginning and the end --- */

static void
learn_hosts(struct dc_link *l)
{
	char own[64] = "";

	gethostname(own, sizeof own - 1);
	if (MPI_Allgather(own, sizeof own, MPI_CHAR, l->host, sizeof own, MPI_CHAR, MPI_COMM_WORLD) != MPI_SUCCESS)
		dc_warn("MPI_Allgather failed");
}

struct dc_link *
dc_link_open(int *argc, char ***argv)
{
	struct dc_link *l = dc_xcalloc(1, sizeof *l);
	size_t n;

	*l = (struct dc_link){ .left = -1, .out = -1, .lifeline = -1, .p = dc_xcalloc(1, sizeof *l->p) };
	if (check(MPI_Init(argc, argv), "MPI_Init") < 0)
		return NULL;
	MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
	MPI_Comm_rank(MPI_COMM_WORLD, &l->rank);
	MPI_Comm_size(MPI_COMM_WORLD, &l->ranks);
	n = (size_t)l->ranks;
	l->host = dc_xcalloc(n, sizeof *l->host);
	l->word = dc_xcalloc(n, sizeof *l->word);
	l->p->in = dc_xcalloc(n, sizeof *l->p->in);
	l->p->from = dc_xcalloc(n, sizeof *l->p->from);
	l->p->to = dc_xcalloc(n, sizeof *l->p->to);
	l->p->got = dc_xcalloc(n, 1);
	l->p->beat = dc_xcalloc(n, 1);
	l->p->silent = dc_xcalloc(n, sizeof *l->p->silent);
	l->p->beat_from = dc_xcalloc(n, sizeof *l->p->beat_from);
	l->p->beat_to = dc_xcalloc(n, sizeof *l->p->beat_to);
	for (size_t k = 0; k < n; k++)
		l->p->from[k] = l->p->to[k] = l->p->beat_from[k] = l->p->beat_to[k] = MPI_REQUEST_NULL;
	learn_hosts(l);
	l->p->looked = dc_seconds();
	for (int k = 0; k < l->ranks; k++)
		if (k != l->rank && (expect(l, k) < 0 || check(MPI_Irecv(&l->p->beat[k], 1, MPI_BYTE, k, TAG_BEAT, MPI_COMM_WORLD,
		    &l->p->beat_from[k]), "MPI_Irecv") < 0))
			return NULL;
	return l;
}

static void
forget(MPI_Request *r)
{
	if (*r == MPI_REQUEST_NULL)
		return;
	MPI_Cancel(r);
	MPI_Request_free(r);
}

void
dc_link_close(struct dc_link *l, int orderly)
{
	for (int k = 0; orderly && k < l->ranks; k++) {
		forget(&l->p->from[k]);
		forget(&l->p->beat_from[k]);
		if (l->p->beat_to[k] != MPI_REQUEST_NULL)
			MPI_Request_free(&l->p->beat_to[k]);
	}
	if (orderly)
		MPI_Finalize();
	free(l->host);
	free(l->word);
	free(l->p->in);
	free(l->p->from);
	free(l->p->to);
	free(l->p->got);
	free(l->p->beat);
	free(l->p->silent);
	free(l->p->beat_from);
	free(l->p->beat_to);
	free(l->p->data);
	free(l->p->theirs);
	free(l->p);
	free(l);
}
