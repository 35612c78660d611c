/*
 * dyn_words.h
 *	  SQL text as the words that the server's scanner sees in it.
 */
#ifndef DYN_WORDS_H
#define DYN_WORDS_H

/* What a word is: a character that stands for itself, or the scanner's own numbers (parser/scanner.h). */
typedef enum DynWordType
{
	DYN_WORD_END = 0,			/* behind the last word */
	DYN_WORD_NAME = 258,		/* identifier, quoted or not; keywords too */
	DYN_WORD_UNICODE_NAME,		/* U&"..." */
	DYN_WORD_FLOAT,
	DYN_WORD_STRING,			/* '...', E'...', $$...$$ */
	DYN_WORD_UNICODE_STRING,	/* U&'...' */
	DYN_WORD_BITS,
	DYN_WORD_HEX,
	DYN_WORD_OPERATOR,
	DYN_WORD_INTEGER,
	DYN_WORD_PARAMETER,
	DYN_WORD_CAST,				/* :: */
	DYN_WORD_DOT_DOT,
	DYN_WORD_COLON_EQUALS,
	DYN_WORD_ARROW,				/* => */
} DynWordType;

typedef struct DynWord
{
	int			type;
	int			start;			/* text[start] ... */
	int			end;			/* ... to text[end - 1] */
	char	   *value;			/* of names (folded) and strings, else NULL */
	bool		quoted;			/* a name in double quotes */
} DynWord;

typedef struct DynWords
{
	const char *text;
	int			count;			/* without the one at the end */
	DynWord    *words;
} DynWords;

/* All words of a text.  Errors of the scanner have their position in the text (errposition). */
extern DynWords *dyn_words_read(const char *text);

/* Whether a word is this one (in lower case), without quotes; a character or operator as it is written. */
extern bool dyn_word_is(const DynWords *words, int i, const char *word);

/* The text from a byte to another, as a string of its own. */
extern char *dyn_words_slice(const DynWords *words, int start, int end);

#endif							/* DYN_WORDS_H */
