/*
 * dyn_words.c
 *	  SQL text as the words that the server's scanner sees in it.
 *
 * The scanner is given no keywords: what is one is for the grammar to know
 * that reads the words.
 */
#include <postgres.h>

#include <common/kwlookup.h>
#include <parser/scanner.h>

#include "query/dyn_words.h"

static const ScanKeywordList no_keywords = {.max_kw_len = 0};

/* The scanner ends the word that it has just read by a zero byte in its copy of the text. */
static int
word_end(const core_yy_extra_type *extra, int start)
{
	return start + strlen(extra->scanbuf + start);
}

DynWords *
dyn_words_read(const char *text)
{
	core_yy_extra_type extra;
	core_yyscan_t scanner = scanner_init(text, &extra, &no_keywords, NULL);
	DynWords   *words = palloc0(sizeof(DynWords));
	int			space = 64;

	/* Whoever reads the text for good gives the warnings. */
	extra.escape_string_warning = false;
	words->text = text;
	words->words = palloc(space * sizeof(DynWord));
	for (;;)
	{
		core_YYSTYPE value = {0};
		DynWord    *word;
		int			start;
		int			type = core_yylex(&value, &start, scanner);

		if (words->count == space)
			words->words = repalloc(words->words, (space *= 2) * sizeof(DynWord));
		word = &words->words[words->count];
		word->type = type;
		word->start = start;
		word->end = type == DYN_WORD_END ? start : word_end(&extra, start);
		word->quoted = text[start] == '"';
		word->value = type == DYN_WORD_NAME || type == DYN_WORD_STRING ||
			type == DYN_WORD_UNICODE_NAME || type == DYN_WORD_UNICODE_STRING ? value.str : NULL;
		if (type == DYN_WORD_END)
			break;
		words->count++;
	}
	scanner_finish(scanner);
	return words;
}

bool
dyn_word_is(const DynWords *words, int i, const char *word)
{
	const DynWord *at = &words->words[i];

	if (at->type == DYN_WORD_NAME)
		return !at->quoted && strcmp(at->value, word) == 0;
	return at->end - at->start == strlen(word) &&
		strncmp(words->text + at->start, word, at->end - at->start) == 0;
}

char *
dyn_words_slice(const DynWords *words, int start, int end)
{
	return pnstrdup(words->text + start, end - start);
}
