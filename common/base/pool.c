/* SPDX-License-Identifier: MIT */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>

#include "base/util.h"

struct dc_pool {
	pthread_t *thread;
	int n_threads;              /* helpers beside the caller */
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	void (*fn)(void *, size_t);
	void *arg;
	size_t next, n;             /* items given out, items in all */
	int busy, quit;
};

/* Take items until none is left; called and left with the lock held. */
static void
drain(struct dc_pool *p)
{
	p->busy++;
	while (p->next < p->n) {
		size_t i = p->next++;
		pthread_mutex_unlock(&p->lock);
		p->fn(p->arg, i);
		pthread_mutex_lock(&p->lock);
	}
	if (--p->busy == 0)
		pthread_cond_broadcast(&p->idle);
}

static void *
helper(void *arg)
{
	struct dc_pool *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->quit) {
		if (p->next < p->n)
			drain(p);
		else
			pthread_cond_wait(&p->work, &p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct dc_pool *
dc_pool_new(int threads)
{
	struct dc_pool *p = dc_xcalloc(1, sizeof *p);
	sigset_t all, old;

	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->idle, NULL);
	p->thread = dc_xcalloc((size_t)threads, sizeof *p->thread);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are the main thread's */
	for (; p->n_threads < threads - 1; p->n_threads++)
		if (pthread_create(&p->thread[p->n_threads], NULL, helper, p))
			break; /* fewer threads: slower, not wrong */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return p;
}

void
dc_pool_for(struct dc_pool *p, size_t n, void (*fn)(void *arg, size_t i), void *arg)
{
	pthread_mutex_lock(&p->lock);
	p->fn = fn;
	p->arg = arg;
	p->next = 0;
	p->n = n;
	if (n > 1)
		pthread_cond_broadcast(&p->work);
	drain(p);
	while (p->busy)
		pthread_cond_wait(&p->idle, &p->lock);
	p->n = p->next = 0;
	pthread_mutex_unlock(&p->lock);
}

void
dc_pool_free(struct dc_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->quit = 1;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->n_threads; i++)
		pthread_join(p->thread[i], NULL);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->idle);
	free(p->thread);
	free(p);
}

int
dc_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}
