/* Builds the repository's keys; the table is in the header. No state, no I/O. */

#include "store/repo/keys.h"

#include <string.h>

struct weir_bytes
weir_repo_key_bytes (const struct weir_repo_key *key)
{
    return weir_bytes (key->data, key->len);
}

struct weir_repo_key
weir_repo_key (enum weir_repo_table table)
{
    struct weir_repo_key key = { .len = 1 };
    key.data[0] = (uint8_t) table;
    return key;
}

static void
add_u32 (struct weir_repo_key *key, uint32_t n)
{
    weir_store_u32 (key->data + key->len, n);
    key->len += 4;
}

static void
add_u64 (struct weir_repo_key *key, uint64_t n)
{
    weir_store_u64 (key->data + key->len, n);
    key->len += 8;
}

struct weir_repo_key
weir_repo_key_db (enum weir_repo_table table, uint32_t db)
{
    struct weir_repo_key key = weir_repo_key (table);
    add_u32 (&key, db);
    return key;
}

struct weir_repo_key
weir_repo_key_db_u32 (enum weir_repo_table table, uint32_t db, uint32_t n)
{
    struct weir_repo_key key = weir_repo_key_db (table, db);
    add_u32 (&key, n);
    return key;
}

struct weir_repo_key
weir_repo_key_db_u64 (enum weir_repo_table table, uint32_t db, uint64_t n)
{
    struct weir_repo_key key = weir_repo_key_db (table, db);
    add_u64 (&key, n);
    return key;
}

struct weir_repo_key
weir_repo_key_db_place (enum weir_repo_table table, uint32_t db, uint32_t a, uint64_t b)
{
    struct weir_repo_key key = weir_repo_key_db_u32 (table, db, a);
    add_u64 (&key, b);
    return key;
}

struct weir_repo_key
weir_repo_key_db_id (enum weir_repo_table table, uint32_t db, const struct weir_id *id)
{
    struct weir_repo_key key = weir_repo_key_db (table, db);
    memcpy (key.data + key.len, id->b, WEIR_ID_BYTES);
    key.len += WEIR_ID_BYTES;
    return key;
}

struct weir_repo_key
weir_repo_key_log (uint64_t position)
{
    struct weir_repo_key key = weir_repo_key (WEIR_REPO_TABLE_LOG);
    add_u64 (&key, position);
    return key;
}

struct weir_repo_key
weir_repo_key_client (const uint8_t client[16])
{
    struct weir_repo_key key = weir_repo_key (WEIR_REPO_TABLE_CLIENT);
    memcpy (key.data + key.len, client, 16);
    key.len += 16;
    return key;
}

struct weir_repo_key
weir_repo_key_answer (const uint8_t client[16], uint64_t number)
{
    struct weir_repo_key key = weir_repo_key (WEIR_REPO_TABLE_ANSWER);
    memcpy (key.data + key.len, client, 16);
    key.len += 16;
    add_u64 (&key, number);
    return key;
}

struct weir_repo_key
weir_repo_key_after (const struct weir_repo_key *key)
{
    struct weir_repo_key after = *key;
    while (after.len > 0 && after.data[after.len - 1] == 0xff) {
        after.len--;
    }
    weir_assert (after.len > 0); /* the table byte is never 0xff */
    after.data[after.len - 1]++;
    return after;
}
