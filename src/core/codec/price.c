/*
 * price.c: fills price lists.
 */
#include "price.h"

#define ESCAPED_BITS 16			/* what an escaped difference takes besides its token: of the commonest width */

static uint16_t
price_of_frequency(uint32_t frequency)
{
	return (uint16_t) ((RANS_BITS * 65536 - fixed_log2(frequency)) / (65536 / PRICE_UNIT));
}

static uint16_t
price_in(const uint16_t *frequency, unsigned token)
{
	unsigned	price;

	if (frequency[token])
		return price_of_frequency(frequency[token]);
	price = price_of_frequency(frequency[FAMILY_ESCAPE]) + ESCAPED_BITS * PRICE_UNIT;
	return (uint16_t) (price < PRICE_MOST ? price : PRICE_MOST);
}

/* A token of the same difference with one bit less; about, for what octave tokens leave raw is not counted (which changes sizes by 0.05% at most). */
static unsigned
halved(unsigned token)
{
	return token < 128 ? token / 2 : token < 136 ? 64 + (token - 128) * 8 : token - 8;
}

/*
 * A token that has a bit more below its lowest: *price changes by the raw bits that it has more, itself not included.
 */
static unsigned
doubled(unsigned token, int *price)
{
	*price -= PRICE_UNIT;
	if (token < 64)
		return 2 * token;
	*price += token < 128 ? 4 * PRICE_UNIT : PRICE_UNIT;
	return token < 128 ? 128 + (token - 64) / 8 : token < FAMILY_ESCAPE - 8 ? token + 8 : token;
}

/* In a context above the top octave, where each octave takes a bit away from the token; deep: or below it, where one is added. */
static uint16_t
shifted_price(const tables *t, unsigned token, int context, bool deep)
{
	int			price = 0;

	for (; context >= FAMILY_TOP + FAMILY_OCTAVE; context -= FAMILY_OCTAVE)
	{
		token = halved(token);
		price += PRICE_UNIT;
	}
	for (; deep && context < FAMILY_TOP; context += FAMILY_OCTAVE)
		token = doubled(token, &price);
	price += price_in(t->frequency[context < 0 ? 0 : context], token);
	return (uint16_t) (price < 0 ? 0 : price < PRICE_MOST ? price : PRICE_MOST);
}

void
price_tokens(const tables *t, uint16_t *price)
{
	for (unsigned token = 0; token < RANS_SYMBOLS; token++)
	{
		uint16_t   *plain = price + token * PRICE_ROW;
		uint16_t   *shifted = plain + PRICE_PLAIN;
		uint16_t   *deep = shifted + PRICE_SHIFTED;

		for (int i = 0; i < PRICE_PLAIN; i++)
		{
			int			c = i - PRICE_MARGIN;

			c = c < 0 ? 0 : c < FAMILY_CONTEXTS ? c : FAMILY_CONTEXTS - 1;
			plain[i] = price_in(t->frequency[c], token);
		}
		for (int i = 0; i < PRICE_SHIFTED; i++)
			shifted[i] = shifted_price(t, token, i - PRICE_MARGIN, false);
		for (int i = 0; i < PRICE_DEEP; i++)
			deep[i] = shifted_price(t, token, i + PRICE_DEEP_FIRST, true);
	}
}
