/* Goal: differences as JSON from outside. A document with something of every container; in the
 * input, $0 .. $9 stand for ids of its containers and $n for a node, so that a difference can
 * fit. One that is refused leaves the values as they were; one that is taken can be committed,
 * and what was before can be had back. */

#include "store/crdt/change.h"
#include "store/crdt/replica.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const struct weir_container_type *const types[] = {
    &weir_container_map,     &weir_container_list, &weir_container_text,
    &weir_container_movable, &weir_container_tree, &weir_container_counter,
};

struct scene {
    struct weir_identity identity;
    struct weir_replica *replica;
    struct weir_id ids[10];
    size_t n_ids;
    struct weir_op_id node;
};

static void
must (enum weir_status status)
{
    weir_assert (status == WEIR_OK);
}

static void
furnish (struct scene *s, struct weir_change *change)
{
    struct weir_value values[] = { { .type = WEIR_VALUE_INT, .number.i = 5 },
                                   { .type = WEIR_VALUE_UNIQUE },
                                   { .type = WEIR_VALUE_NULL } };
    struct weir_value yes = { .type = WEIR_VALUE_TRUE };
    struct weir_container *c[6];
    struct weir_container *made[3];
    uint32_t node;
    values[1].container = WEIR_CONTAINER_MAP;
    for (size_t i = 0; i < 6; i++) {
        must (weir_change_root (change, types[i]->name, types[i], &c[i], NULL));
        s->ids[s->n_ids++] = c[i]->id;
    }
    must (weir_change_map_set (change, c[0], weir_bytes_str ("k"), &values[0], NULL));
    must (weir_change_list_insert (change, c[1], 0, values, 3, made, NULL));
    must (weir_change_text_insert (change, c[2], 0, weir_bytes_str ("a text"), NULL));
    must (weir_change_text_mark (change, c[2], 1, 4, weir_bytes_str ("b"), &yes, WEIR_EXPAND_AFTER,
                                 NULL));
    must (weir_change_list_insert (change, c[3], 0, values, 3, made, NULL));
    must (weir_change_tree_create (change, c[4], WEIR_TREE_ROOT, 0, &node, NULL));
    must (weir_change_tree_create (change, c[4], node, 0, &node, NULL));
    must (weir_change_increment (change, c[5], &values[0], NULL));
}

static void
begin (struct scene *s)
{
    static const uint8_t seed[32] = { 1 };
    struct weir_buf genesis = { 0 };
    struct weir_change *change = NULL;
    struct weir_id entry;
    *s = (struct scene){ .replica = NULL };
    weir_crypto_init ();
    weir_identity_init (&s->identity, seed);
    weir_replica_genesis (&s->identity, seed, "fuzz", &genesis);
    struct weir_replica_options options = { .identity = &s->identity,
                                            .lane = 1,
                                            .genesis = weir_buf_bytes (&genesis),
                                            .trusts_signatures = true };
    must (weir_replica_new (&s->replica, &options, NULL));
    must (weir_replica_change (s->replica, &change, NULL));
    furnish (s, change);
    must (weir_replica_commit (s->replica, weir_bytes (NULL, 0), 0, &entry, NULL));
    s->node = (struct weir_op_id){ .entry = entry };
    weir_buf_fini (&genesis);
}

static void
fill_in (const struct scene *s, struct weir_bytes input, struct weir_buf *out)
{
    for (size_t i = 0; i < input.len; i++) {
        uint8_t next = i + 1 < input.len ? input.data[i + 1] : 0;
        if (input.data[i] == '$' && next >= '0' && next <= '9') {
            struct weir_id_text id = weir_id_text (&s->ids[next - '0']);
            weir_buf_put (out, id.s, strlen (id.s));
            i++;
        } else if (input.data[i] == '$' && next >= 'n' && next <= 'z') {
            /* Which of the entry's ops made a node, the input has to find out. */
            struct weir_op_id node = { .entry = s->node.entry, .offset = next - 'n' + 15u };
            struct weir_op_id_text text = weir_op_id_text (&node);
            weir_buf_put (out, text.s, strlen (text.s));
            i++;
        } else {
            weir_buf_put_u8 (out, input.data[i]);
        }
    }
}

static json_t *
values (const struct scene *s)
{
    json_t *json = NULL;
    must (weir_doc_get (weir_replica_doc (s->replica), "", &json, NULL));
    return json;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    struct scene s;
    struct weir_buf text = { 0 };
    struct weir_heads heads = { 0 };
    struct weir_error e = { 0 };
    json_t *diff = NULL;
    begin (&s);
    fill_in (&s, weir_bytes (data, size), &text);
    if (weir_json_parse (&diff, weir_buf_bytes (&text), WEIR_JSON_BYTES_MAX, &e) == WEIR_OK) {
        json_t *before = values (&s);
        weir_replica_doc_heads (s.replica, &heads);
        if (weir_replica_apply_diff (s.replica, diff, &e) != WEIR_OK) {
            json_t *after = values (&s);
            weir_assert (json_equal (before, after));
            json_decref (after);
        }
        must (weir_replica_commit (s.replica, weir_bytes (NULL, 0), 0, NULL, &e));
        must (weir_replica_revert_to (s.replica, &heads, &e));
        json_decref (before);
    }
    json_decref (diff);
    weir_heads_fini (&heads);
    weir_buf_fini (&text);
    weir_replica_destroy (&s.replica);
    weir_identity_fini (&s.identity);
    return 0;
}
