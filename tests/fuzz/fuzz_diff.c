/* Goal: differences as JSON from outside, on a replica with something of every container. In the
 * input, $0 .. $5 stand for ids of its roots and $n .. $z for its tree's nodes, so that a
 * difference can be made to fit. One that is refused leaves the values as they were; one that is
 * taken can be committed, and the version before be had back. */

#include "store/crdt/change.h"
#include "store/crdt/types.h"
#include "tests/support/document.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

struct scene {
    struct weir_replica *replica;
    struct weir_container *roots[6];
};

static void
must (enum weir_status status)
{
    weir_assert (status == WEIR_OK);
}

static void
begin (struct scene *s)
{
    static const struct {
        const char *name;
        const struct weir_container_type *type;
    } roots[6] = { { "m", &weir_container_map },  { "l", &weir_container_list },
                   { "t", &weir_container_text }, { "v", &weir_container_movable },
                   { "r", &weir_container_tree }, { "c", &weir_container_counter } };
    struct weir_change *change = NULL;
    s->replica = sample_replica ();
    must (weir_replica_change (s->replica, &change, NULL));
    for (size_t i = 0; i < 6; i++) {
        must (weir_change_root (change, roots[i].name, roots[i].type, &s->roots[i], NULL));
    }
    must (weir_replica_commit (s->replica, weir_bytes (NULL, 0), 0, NULL, NULL));
}

static void
fill_in (const struct scene *s, struct weir_bytes input, struct weir_buf *out)
{
    const struct weir_container *tree = s->roots[4];
    for (size_t i = 0; i < input.len; i++) {
        uint8_t next = input.data[i] == '$' && i + 1 < input.len ? input.data[i + 1] : 0;
        if (next >= '0' && next <= '9') {
            struct weir_id id = { { next } };
            struct weir_id_text text = weir_id_text (next <= '5' ? &s->roots[next - '0']->id : &id);
            weir_buf_put (out, text.s, strlen (text.s));
            i++;
        } else if (next >= 'n' && next <= 'z') {
            struct weir_tree_node node = { .id.offset = next };
            if (next - 'n' < (int) weir_tree_nodes (tree)) {
                weir_tree_node (tree, next - 'n', &node);
            }
            struct weir_op_id_text text = weir_op_id_text (&node.id);
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
    return 0;
}
