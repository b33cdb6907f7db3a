#ifndef WEIR_TESTS_SUPPORT_DOCUMENT_H
#define WEIR_TESTS_SUPPORT_DOCUMENT_H

/* A document with something in every type of container, for fuzzers and their seeds: one entry,
 * made by a change, with an id that is easily guessed: 32 times 'B'. */

#include "store/replica/replica.h"

#include <string.h>

struct sample {
    struct weir_buf payload;
    struct weir_doc_entry entry;
};

#define sample_must(call) weir_assert ((call) == WEIR_OK)

static inline struct weir_container *
sample_root (struct weir_change *change, const char *name, const struct weir_container_type *type)
{
    struct weir_container *c = NULL;
    sample_must (weir_change_root (change, name, type, &c, NULL));
    return c;
}

static inline struct weir_value
sample_text (const char *text)
{
    return (struct weir_value){ .type = WEIR_VALUE_TEXT, .bytes = weir_bytes_str (text) };
}

static inline void
sample_map (struct weir_change *change)
{
    struct weir_container *map = sample_root (change, "m", &weir_container_map);
    struct weir_container *child = NULL;
    struct weir_value v = { .type = WEIR_VALUE_INT, .number.i = -5 };
    struct weir_value bytes = { .type = WEIR_VALUE_BYTES, .bytes = weir_bytes ("\0x", 2) };
    sample_must (weir_change_map_set (change, map, weir_bytes_str ("a"), &v, NULL));
    sample_must (weir_change_map_set (change, map, weir_bytes_str ("b"), &bytes, NULL));
    sample_must (
        weir_change_child (change, map, weir_bytes_str ("c"), &weir_container_map, &child, NULL));
    sample_must (weir_change_map_set (change, child, weir_bytes_str ("d"), &v, NULL));
    sample_must (weir_change_map_make (change, map, weir_bytes_str ("u"), &weir_container_text,
                                       &child, NULL));
    sample_must (weir_change_text_insert (change, child, 0, weir_bytes_str ("own"), NULL));
    sample_must (weir_change_map_delete (change, map, weir_bytes_str ("b"), NULL));
}

static inline void
sample_sequences (struct weir_change *change)
{
    struct weir_container *text = sample_root (change, "t", &weir_container_text);
    struct weir_container *list = sample_root (change, "l", &weir_container_list);
    struct weir_container *movable = sample_root (change, "v", &weir_container_movable);
    struct weir_value mark = { .type = WEIR_VALUE_TRUE };
    struct weir_value values[3] = { sample_text ("x"),
                                    { .type = WEIR_VALUE_INT, .number.i = 7 },
                                    { .type = WEIR_VALUE_NULL } };
    sample_must (
        weir_change_text_insert (change, text, 0, weir_bytes_str ("hello w\xc3\xb6rld"), NULL));
    sample_must (weir_change_text_delete (change, text, 2, 3, NULL));
    sample_must (weir_change_text_mark (change, text, 1, 4, weir_bytes_str ("bold"), &mark,
                                        WEIR_EXPAND_AFTER, NULL));
    sample_must (weir_change_list_insert (change, list, 0, values, 3, NULL, NULL));
    sample_must (weir_change_list_delete (change, list, 1, 1, NULL));
    sample_must (weir_change_list_insert (change, movable, 0, values, 3, NULL, NULL));
    sample_must (weir_change_list_move (change, movable, 0, 2, NULL));
    sample_must (weir_change_list_set (change, movable, 1, &values[1], NULL, NULL));
}

static inline void
sample_tree (struct weir_change *change)
{
    struct weir_container *tree = sample_root (change, "r", &weir_container_tree);
    struct weir_value v = sample_text ("name");
    uint32_t nodes[3];
    sample_must (weir_change_tree_create (change, tree, WEIR_TREE_ROOT, 0, &nodes[0], NULL));
    sample_must (weir_change_tree_create (change, tree, nodes[0], 0, &nodes[1], NULL));
    sample_must (weir_change_tree_create (change, tree, nodes[0], 1, &nodes[2], NULL));
    sample_must (weir_change_map_set (change, weir_change_tree_meta (change, tree, nodes[1]),
                                      weir_bytes_str ("n"), &v, NULL));
    sample_must (weir_change_tree_move (change, tree, nodes[2], nodes[1], 0, NULL));
    sample_must (weir_change_tree_delete (change, tree, nodes[1], NULL));
}

static inline void
sample_counter (struct weir_change *change)
{
    struct weir_container *counter = sample_root (change, "c", &weir_container_counter);
    struct weir_value by[2] = { { .type = WEIR_VALUE_INT, .number.i = 3 },
                                { .type = WEIR_VALUE_DOUBLE, .number.d = 0.25 } };
    sample_must (weir_change_increment (change, counter, &by[0], NULL));
    sample_must (weir_change_increment (change, counter, &by[1], NULL));
}

#define SAMPLE_PARTS 4u

static inline void
sample_write (struct weir_change *change, unsigned parts)
{
    static void (*const write[SAMPLE_PARTS]) (
        struct weir_change *) = { sample_map, sample_sequences, sample_tree, sample_counter };
    for (unsigned i = 0; i < SAMPLE_PARTS; i++) {
        if ((parts >> i & 1) != 0) {
            write[i](change);
        }
    }
}

/* One bit a part: map, sequences, tree, counter. */
static inline void
sample_init (struct sample *sample, unsigned parts)
{
    *sample = (struct sample){ .entry.chain.lane = 1 };
    memset (sample->entry.id.b, 'B', WEIR_ID_BYTES);
    struct weir_doc *doc = weir_doc_new ();
    struct weir_change *change = weir_change_open (doc, &sample->entry.chain, 0);
    sample_write (change, parts);
    sample_must (weir_change_payload (change, weir_bytes_str ("said"), &sample->payload,
                                      &sample->entry.ops, NULL));
    weir_change_seal (change, &sample->entry);
    weir_change_destroy (&change);
    weir_doc_destroy (&doc);
}

/* A replica with the same in it, committed twice; always the same one. */
static inline struct weir_replica *
sample_replica (void)
{
    static struct weir_identity identity;
    static struct weir_buf genesis;
    const uint8_t seed[32] = { 5 };
    if (genesis.len == 0) {
        weir_crypto_init ();
        weir_identity_init (&identity, seed);
        weir_replica_genesis (&identity, seed, "sample", &genesis);
    }
    struct weir_replica_options options = {
        .identity = &identity,
        .lane = 1,
        .genesis = weir_buf_bytes (&genesis),
        .trusts_signatures = true,
    };
    struct weir_replica *r = NULL;
    sample_must (weir_replica_new (&r, &options, NULL));
    for (int i = 0; i < 2; i++) {
        struct weir_change *change = NULL;
        sample_must (weir_replica_change (r, &change, NULL));
        sample_write (change, 15);
        sample_must (weir_replica_commit (r, weir_bytes (NULL, 0), 0, NULL, NULL));
    }
    return r;
}

static inline void
sample_fini (struct sample *sample)
{
    weir_buf_fini (&sample->payload);
}

#endif
