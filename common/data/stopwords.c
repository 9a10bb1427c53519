/* SPDX-License-Identifier: MIT */
#include "data/stopwords.h"

#include <stdlib.h>
#include <string.h>

/* Written down for this program, class by class, as an English grammar lists its closed classes: articles and other
 * determiners, pronouns, prepositions, conjunctions, auxiliary verbs, the adverbs of degree, negation, time and place
 * that work like them, their contractions, and the pieces that tokenizers cut contractions into. No other list was
 * copied. In byte order, for the search below. */
static const char *const stopwords[] = {
	"a", "about", "above", "across", "after", "again", "against", "ain", "ain't", "all", "almost", "along", "already",
	"also", "although", "am", "amid", "among", "an", "and", "another", "any", "anybody", "anyone", "anything", "are",
	"aren", "aren't", "around", "as", "at", "away", "be", "because", "been", "before", "behind", "being", "below",
	"beneath", "beside", "besides", "between", "beyond", "both", "but", "by", "can", "can't", "cannot", "could",
	"couldn", "couldn't", "d", "despite", "did", "didn", "didn't", "do", "does", "doesn", "doesn't", "doing", "don",
	"don't", "done", "down", "during", "each", "either", "else", "enough", "even", "ever", "every", "everybody",
	"everyone", "everything", "except", "few", "for", "from", "further", "had", "hadn", "hadn't", "has", "hasn",
	"hasn't", "have", "haven", "haven't", "having", "he", "he'd", "he'll", "he's", "her", "here", "here's", "hers",
	"herself", "him", "himself", "his", "how", "how's", "however", "i", "i'd", "i'll", "i'm", "i've", "if", "in",
	"inside", "into", "is", "isn", "isn't", "it", "it'd", "it'll", "it's", "its", "itself", "just", "least", "less",
	"let's", "like", "ll", "m", "ma", "many", "may", "me", "might", "mightn", "mightn't", "mine", "more", "most",
	"much", "must", "mustn", "mustn't", "my", "myself", "near", "needn", "needn't", "neither", "no", "nobody", "none",
	"nor", "not", "nothing", "now", "o", "of", "off", "on", "once", "one", "only", "onto", "or", "other", "others",
	"ought", "our", "ours", "ourselves", "out", "outside", "over", "own", "per", "quite", "rather", "re", "s", "same",
	"shall", "shan", "shan't", "she", "she'd", "she'll", "she's", "should", "should've", "shouldn", "shouldn't",
	"since", "so", "some", "somebody", "someone", "something", "still", "such", "t", "than", "that", "that'll",
	"that's", "the", "their", "theirs", "them", "themselves", "then", "there", "there's", "these", "they", "they'd",
	"they'll", "they're", "they've", "this", "those", "though", "through", "throughout", "thus", "till", "to",
	"together", "too", "toward", "towards", "under", "underneath", "unless", "until", "up", "upon", "us", "ve",
	"very", "via", "was", "wasn", "wasn't", "we", "we'd", "we'll", "we're", "we've", "were", "weren", "weren't",
	"what", "what's", "whatever", "when", "when's", "where", "where's", "whether", "which", "while", "who", "who's",
	"whoever", "whom", "whose", "why", "why's", "will", "with", "within", "without", "won", "won't", "would",
	"wouldn", "wouldn't", "y", "yet", "you", "you'd", "you'll", "you're", "you've", "your", "yours", "yourself",
	"yourselves"
};

struct key { const char *p; size_t n; };

static int
compare(const void *a, const void *b)
{
	const struct key *k = a;
	const char *s = *(const char *const *)b;
	const int c = strncmp(k->p, s, k->n);

	return c ? c : s[k->n] ? -1 : 0;
}

int
dc_is_stopword(const char *word, size_t n)
{
	const struct key k = { word, n };

	return n > 0 && !memchr(word, 0, n) &&
	    bsearch(&k, stopwords, sizeof stopwords / sizeof *stopwords, sizeof *stopwords, compare) != NULL;
}
