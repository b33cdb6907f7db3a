/* xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018),
 * seeded through splitmix64 as its authors advise, so that near seeds give far streams. */

#include "store/base/rand.h"

#include <string.h>

void
weir_rand_init (struct weir_rand *r, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

static uint64_t
rotate (uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

uint64_t
weir_rand_u64 (struct weir_rand *r)
{
    uint64_t result = rotate (r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;
    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotate (r->s[3], 45);
    return result;
}

uint64_t
weir_rand_below (struct weir_rand *r, uint64_t below)
{
    if (below == 0) {
        return 0;
    }
    /* The lowest 2^64 mod below values would come once too often: drawn again. */
    uint64_t uneven = (0 - below) % below;
    uint64_t v = weir_rand_u64 (r);
    while (v < uneven) {
        v = weir_rand_u64 (r);
    }
    return v % below;
}

void
weir_rand_bytes (struct weir_rand *r, void *out, size_t len)
{
    uint8_t *p = out;
    while (len > 0) {
        uint8_t bytes[8];
        weir_store_u64 (bytes, weir_rand_u64 (r));
        size_t n = len < sizeof bytes ? len : sizeof bytes;
        memcpy (p, bytes, n);
        p += n;
        len -= n;
    }
}

uint64_t
weir_rand_jitter (struct weir_rand *r, uint64_t value, unsigned percent)
{
    /* In two parts, so that only a result beyond 2^64 can overflow; that stays at the end. */
    uint64_t spread = 0;
    if (__builtin_mul_overflow (value / 100, (uint64_t) percent, &spread)
        || __builtin_add_overflow (spread, value % 100 * percent / 100, &spread)) {
        spread = UINT64_MAX;
    }
    uint64_t low = value > spread ? value - spread : 0;
    uint64_t high = UINT64_MAX - value > spread ? value + spread : UINT64_MAX;
    uint64_t width = high - low;
    return width == UINT64_MAX ? weir_rand_u64 (r) : low + weir_rand_below (r, width + 1);
}
