/* Goal: whole replicas against themselves: 2..5 of them edit every container, commit, fork, are
 * copied with their lane (one chain then ends in several tips), look at old versions and edit
 * there, and exchange exports late, twice, in any order, one by one and in batches. In the end
 * all are equal in values, versions and exported bytes; every version that was remembered shows
 * again what was seen when it was new; and a snapshot that is loaded is the replica it came from.
 * What the containers' values should be, their own models say. */

#include "tests/models/models.h"

#include "store/base/rand.h"
#include "store/replica/export.h"
#include "store/crdt/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLICAS_MAX 5u
#define DEVICES 3u
#define MAIL_MAX 64u
#define SEEN_MAX 24u

/* A version and what it showed. */
struct seen {
    struct weir_heads heads;
    json_t *value;
};

struct player {
    struct weir_replica *replica;
    struct weir_buf mail[MAIL_MAX];
    size_t n_mail;
};

struct world {
    struct weir_rand rand;
    struct weir_identity devices[DEVICES];
    struct weir_buf genesis;
    struct player players[REPLICAS_MAX];
    size_t n_players;
    struct seen seen[SEEN_MAX];
    size_t n_seen;
};

static uint64_t
draw (struct world *w, uint64_t below)
{
    return weir_rand_below (&w->rand, below);
}

static uint64_t
next_lane (void *context)
{
    return weir_rand_u64 (&((struct world *) context)->rand);
}

static void
must (enum weir_status status, const struct weir_error *e)
{
    model_check (status == WEIR_OK, "%s: %s", weir_status_code (status), e->what);
}

/* ---- values ---- */

static const struct weir_container *
root_of (const struct weir_replica *r, const char *name, const struct weir_container_type *type)
{
    return weir_container_child (weir_doc_top (weir_replica_doc (r)),
                                 weir_bytes (name, strlen (name)), type, false);
}

static json_t *
value_of (const struct weir_replica *r)
{
    struct weir_error e = { 0 };
    json_t *out = json_object ();
    json_t *all = NULL;
    must (weir_doc_get (weir_replica_doc (r), "", &all, &e), &e);
    json_object_set_new (out, "all", all);
    const struct weir_container *text = root_of (r, "t", &weir_container_text);
    json_object_set_new (out, "text", text == NULL ? json_null () : weir_text_delta (text));
    return out;
}

static size_t
length_of (const struct weir_replica *r, const char *name)
{
    struct weir_error e = { 0 };
    char path[8];
    json_t *json = NULL;
    size_t n = 0;
    snprintf (path, sizeof path, "/%s", name);
    if (weir_doc_get (weir_replica_doc (r), path, &json, &e) != WEIR_OK) {
        return 0;
    }
    if (json_is_string (json)) {
        for (const char *c = json_string_value (json); *c != '\0'; c++) {
            n += ((unsigned char) *c & 0xc0u) != 0x80u ? 1 : 0;
        }
    } else {
        n = json_array_size (json);
    }
    json_decref (json);
    return n;
}

/* ---- edits ---- */

static struct weir_value
any_value (struct world *w)
{
    struct weir_value v = { .type = WEIR_VALUE_INT };
    v.number.i = (int64_t) draw (w, 9);
    return v;
}

static struct weir_container *
root_for (struct weir_change *c, const char *name, const struct weir_container_type *type)
{
    struct weir_error e = { 0 };
    struct weir_container *out = NULL;
    must (weir_change_root (c, name, type, &out, &e), &e);
    return out;
}

static void
edit_map (struct world *w, struct weir_change *c)
{
    struct weir_error e = { 0 };
    struct weir_container *map = root_for (c, "m", &weir_container_map);
    char key[2] = { (char) ('a' + draw (w, 3)), '\0' };
    struct weir_bytes k = weir_bytes (key, 1);
    struct weir_value v = any_value (w);
    struct weir_container *child = NULL;
    switch (draw (w, 5)) {
    case 0:
        must (weir_change_map_delete (c, map, k, &e), &e);
        break;
    case 1:
        must (weir_change_child (c, map, weir_bytes ("p", 1), &weir_container_map, &child, &e), &e);
        must (weir_change_map_set (c, child, k, &v, &e), &e);
        break;
    case 2:
        must (weir_change_map_make (c, map, k, &weir_container_map, &child, &e), &e);
        must (weir_change_map_set (c, child, k, &v, &e), &e);
        break;
    default:
        must (weir_change_map_set (c, map, k, &v, &e), &e);
        break;
    }
}

static void
edit_list (struct world *w, struct weir_replica *r, struct weir_change *c, const char *name,
           const struct weir_container_type *type)
{
    struct weir_error e = { 0 };
    struct weir_container *list = root_for (c, name, type);
    size_t n = length_of (r, name);
    struct weir_value values[3];
    uint32_t count = 1 + (uint32_t) draw (w, 3);
    uint32_t at = (uint32_t) draw (w, n + 1);
    for (size_t i = 0; i < 3; i++) {
        values[i] = any_value (w);
    }
    uint64_t what = draw (w, type == &weir_container_movable ? 6 : 3);
    if (n == 0 || what < 2) {
        must (weir_change_list_insert (c, list, at, values, count, NULL, &e), &e);
    } else if (what == 2) {
        at = (uint32_t) draw (w, n);
        count = 1 + (uint32_t) draw (w, n - at < 3 ? n - at : 3);
        must (weir_change_list_delete (c, list, at, count, &e), &e);
    } else if (what == 3) {
        must (weir_change_list_set (c, list, (uint32_t) draw (w, n), &values[0], NULL, &e), &e);
    } else {
        must (weir_change_list_move (c, list, (uint32_t) draw (w, n), (uint32_t) draw (w, n), &e),
              &e);
    }
}

static void
edit_text (struct world *w, struct weir_replica *r, struct weir_change *c)
{
    static const char *const words[] = { "a", "bc", "\xc3\xa9", "long one", "x y" };
    static const char *const keys[] = { "bold", "link" };
    struct weir_error e = { 0 };
    struct weir_container *text = root_for (c, "t", &weir_container_text);
    size_t n = length_of (r, "t");
    uint32_t at = (uint32_t) draw (w, n + 1);
    uint64_t what = draw (w, 5);
    if (n == 0 || what < 3) {
        const char *word = words[draw (w, 5)];
        must (weir_change_text_insert (c, text, at, weir_bytes (word, strlen (word)), &e), &e);
        return;
    }
    at = (uint32_t) draw (w, n);
    uint32_t count = 1 + (uint32_t) draw (w, n - at < 4 ? n - at : 4);
    if (what == 3) {
        must (weir_change_text_delete (c, text, at, count, &e), &e);
    } else {
        const char *key = keys[draw (w, 2)];
        struct weir_value v = { .type = draw (w, 3) == 0 ? WEIR_VALUE_NULL : WEIR_VALUE_TRUE };
        must (weir_change_text_mark (c, text, at, at + count, weir_bytes (key, 4), &v,
                                     (enum weir_expand) draw (w, 4), &e),
              &e);
    }
}

static uint32_t
alive_node (struct world *w, const struct weir_container *tree)
{
    uint32_t n = tree == NULL ? 0 : weir_tree_nodes (tree);
    for (uint32_t tries = 0; tries < 4 && n > 0; tries++) {
        struct weir_tree_node node;
        uint32_t number = (uint32_t) draw (w, n);
        weir_tree_node (tree, number, &node);
        if (node.is_alive) {
            return number;
        }
    }
    return WEIR_TREE_ROOT;
}

static uint32_t
children_of (const struct weir_container *tree, uint32_t parent)
{
    struct weir_numbers children = { 0 };
    weir_tree_children (tree, parent, &children);
    uint32_t n = (uint32_t) children.count;
    weir_numbers_fini (&children);
    return n;
}

static void
edit_tree (struct world *w, struct weir_change *c)
{
    struct weir_error e = { 0 };
    struct weir_container *tree = root_for (c, "r", &weir_container_tree);
    uint32_t node = alive_node (w, tree);
    uint32_t parent = alive_node (w, tree);
    uint64_t what = draw (w, 5);
    if (node == WEIR_TREE_ROOT || what < 2) {
        uint32_t at = (uint32_t) draw (w, children_of (tree, parent) + 1);
        must (weir_change_tree_create (c, tree, parent, at, NULL, &e), &e);
    } else if (what == 2) {
        must (weir_change_tree_delete (c, tree, node, &e), &e);
    } else if (what == 3) {
        struct weir_value v = any_value (w);
        must (weir_change_map_set (c, weir_change_tree_meta (c, tree, node), weir_bytes ("k", 1),
                                   &v, &e),
              &e);
    } else {
        enum weir_status status = weir_change_tree_move (c, tree, node, parent, 0, &e);
        model_check (status == WEIR_OK || status == WEIR_CONFLICT, "a move: %s", e.what);
    }
}

static void
edit_counter (struct world *w, struct weir_change *c)
{
    struct weir_error e = { 0 };
    struct weir_value by = any_value (w);
    if (draw (w, 4) == 0) {
        by = (struct weir_value){ .type = WEIR_VALUE_DOUBLE, .number.d = 0.1 };
    }
    must (weir_change_increment (c, root_for (c, "c", &weir_container_counter), &by, &e), &e);
}

static void
edit (struct world *w, struct weir_replica *r)
{
    struct weir_error e = { 0 };
    for (uint64_t n = 1 + draw (w, 4); n > 0; n--) {
        struct weir_change *c = NULL;
        must (weir_replica_change (r, &c, &e), &e);
        switch (draw (w, 6)) {
        case 0:
            edit_map (w, c);
            break;
        case 1:
            edit_list (w, r, c, "l", &weir_container_list);
            break;
        case 2:
            edit_list (w, r, c, "v", &weir_container_movable);
            break;
        case 3:
            edit_tree (w, c);
            break;
        case 4:
            edit_counter (w, c);
            break;
        default:
            edit_text (w, r, c);
            break;
        }
    }
}

static void
commit (struct world *w, struct weir_replica *r)
{
    struct weir_error e = { 0 };
    must (
        weir_replica_commit (r, weir_bytes ("message", draw (w, 3)), draw (w, 3) * 1000, NULL, &e),
        &e);
    if (w->n_seen < SEEN_MAX && draw (w, 3) == 0) {
        struct seen *s = &w->seen[w->n_seen++];
        *s = (struct seen){ .value = value_of (r) };
        weir_replica_doc_heads (r, &s->heads);
    }
}

/* ---- replicas ---- */

static struct weir_replica_options
options_of (struct world *w, size_t device)
{
    return (struct weir_replica_options){
        .identity = &w->devices[device],
        .lane = weir_rand_u64 (&w->rand),
        .genesis = weir_buf_bytes (&w->genesis),
        .trusts_signatures = draw (w, 8) != 0,
        .keeps_detached_edits = draw (w, 2) == 0,
        .next_lane = next_lane,
        .context = w,
    };
}

static struct weir_buf
export_of (struct weir_replica *r, enum weir_export_mode mode, const struct weir_op_vector *from)
{
    struct weir_error e = { 0 };
    struct weir_export what = { .mode = mode, .from = from };
    struct weir_buf out = { 0 };
    must (weir_replica_export (r, &what, &out, &e), &e);
    return out;
}

/* Another replica of one that is there: a fork, or a copy that goes on in the same lane. */
static void
multiply (struct world *w)
{
    struct weir_error e = { 0 };
    if (w->n_players == REPLICAS_MAX) {
        return;
    }
    struct player *from = &w->players[draw (w, w->n_players)];
    struct player *to = &w->players[w->n_players++];
    if (draw (w, 2) == 0) {
        const struct weir_heads *heads =
            w->n_seen > 0 && draw (w, 2) == 0 ? &w->seen[draw (w, w->n_seen)].heads : NULL;
        enum weir_status status = weir_replica_fork (from->replica, heads, &to->replica, &e);
        if (status != WEIR_OK) {
            model_check (status == WEIR_NOT_FOUND && heads != NULL, "a fork: %s", e.what);
            w->n_players--;
        }
        return;
    }
    /* Attached: what it shows must be what it goes on from. */
    must (weir_replica_attach (from->replica, &e), &e);
    struct weir_replica_options options = *weir_replica_options (from->replica);
    options.trusts_signatures = draw (w, 8) != 0;
    struct weir_buf blob = export_of (from->replica, WEIR_EXPORT_SNAPSHOT, NULL);
    must (weir_replica_load (&to->replica, &options, weir_buf_bytes (&blob), &e), &e);
    weir_buf_fini (&blob);
}

static void
post (struct world *w, struct player *from, struct player *to)
{
    struct weir_op_vector has = { 0 };
    struct weir_heads heads = { 0 };
    struct weir_error e = { 0 };
    if (to->n_mail == MAIL_MAX) {
        return;
    }
    /* What the other had lately, or somebody else had: too much or too little is in it. */
    struct weir_replica *of = w->players[draw (w, w->n_players)].replica;
    weir_replica_log_heads (of, &heads);
    must (weir_replica_vector (of, &heads, &has, &e), &e);
    to->mail[to->n_mail++] = export_of (
        from->replica, draw (w, 8) == 0 ? WEIR_EXPORT_SNAPSHOT : WEIR_EXPORT_UPDATE, &has);
    weir_heads_fini (&heads);
    weir_op_vector_fini (&has);
}

static void
deliver (struct world *w, struct player *to)
{
    struct weir_error e = { 0 };
    if (to->n_mail == 0) {
        return;
    }
    if (draw (w, 4) == 0) {
        struct weir_bytes blobs[MAIL_MAX];
        for (size_t i = 0; i < to->n_mail; i++) {
            blobs[i] = weir_buf_bytes (&to->mail[i]);
        }
        must (weir_replica_import_batch (to->replica, blobs, to->n_mail, NULL, &e), &e);
        return;
    }
    size_t i = draw (w, to->n_mail);
    must (weir_replica_import (to->replica, weir_buf_bytes (&to->mail[i]), NULL, &e), &e);
    if (draw (w, 3) != 0) { /* else it comes again */
        weir_buf_fini (&to->mail[i]);
        to->mail[i] = to->mail[--to->n_mail];
    }
}

static void
look_back (struct world *w, struct player *p)
{
    struct weir_error e = { 0 };
    struct weir_heads heads = { 0 };
    switch (draw (w, 4)) {
    case 0:
        must (weir_replica_detach (p->replica, &e), &e);
        break;
    case 1:
        if (w->n_seen > 0) {
            enum weir_status status =
                weir_replica_checkout (p->replica, &w->seen[draw (w, w->n_seen)].heads, &e);
            model_check (status == WEIR_OK || status == WEIR_NOT_FOUND, "a checkout: %s", e.what);
        }
        break;
    default:
        must (weir_replica_attach (p->replica, &e), &e);
        break;
    }
    weir_heads_fini (&heads);
}

/* ---- the end ---- */

static void
settle (struct world *w)
{
    struct weir_error e = { 0 };
    for (size_t i = 0; i < w->n_players; i++) {
        struct player *p = &w->players[i];
        must (weir_replica_attach (p->replica, &e), &e);
        while (p->n_mail > 0) {
            deliver (w, p);
            if (p->n_mail > 0 && draw (w, 2) == 0) {
                weir_buf_fini (&p->mail[--p->n_mail]);
            }
        }
    }
    for (size_t i = 0; i < 2 * w->n_players; i++) {
        for (size_t j = 1; j < w->n_players; j++) {
            struct weir_replica *from = w->players[i % w->n_players].replica;
            struct weir_replica *to = w->players[(i + j) % w->n_players].replica;
            struct weir_op_vector has = { 0 };
            struct weir_heads heads = { 0 };
            weir_replica_log_heads (to, &heads);
            must (weir_replica_vector (to, &heads, &has, &e), &e);
            struct weir_buf blob = export_of (from, WEIR_EXPORT_UPDATE, &has);
            must (weir_replica_import (to, weir_buf_bytes (&blob), NULL, &e), &e);
            weir_buf_fini (&blob);
            weir_heads_fini (&heads);
            weir_op_vector_fini (&has);
        }
    }
}

static void
check_value (const struct weir_replica *r, const json_t *wanted, const char *where)
{
    json_t *got = value_of (r);
    if (!json_equal (got, wanted)) {
        char *a = json_dumps (got, JSON_SORT_KEYS);
        char *b = json_dumps (wanted, JSON_SORT_KEYS);
        model_check (false, "%s:\n%s\ninstead of\n%s", where, a, b);
    }
    json_decref (got);
}

static void
check_vectors (struct weir_replica *a, struct weir_replica *b)
{
    struct weir_error e = { 0 };
    struct weir_heads p = { 0 };
    struct weir_heads q = { 0 };
    struct weir_heads back = { 0 };
    struct weir_op_vector x = { 0 };
    struct weir_op_vector y = { 0 };
    weir_replica_log_heads (a, &p);
    weir_replica_log_heads (b, &q);
    model_check (p.count == q.count && memcmp (p.items, q.items, p.count * sizeof *p.items) == 0,
                 "the heads");
    must (weir_replica_vector (a, &p, &x, &e), &e);
    must (weir_replica_vector (b, &q, &y, &e), &e);
    model_check (x.count == y.count, "the vectors");
    for (size_t i = 0; i < x.count; i++) {
        model_check (x.rows[i].ops == y.rows[i].ops
                         && weir_id_equal (&x.rows[i].tip, &y.rows[i].tip),
                     "row %zu of the vectors", i);
    }
    must (weir_replica_heads (a, &x, &back, &e), &e);
    for (size_t i = 0; i < back.count; i++) {
        enum weir_graph_relation relation;
        struct weir_heads one = { .items = &back.items[i], .count = 1 };
        must (weir_replica_compare (a, &one, &p, &relation, &e), &e);
        model_check (relation == WEIR_GRAPH_EQUAL || relation == WEIR_GRAPH_BEFORE,
                     "the heads of the vector");
    }
    weir_heads_fini (&p);
    weir_heads_fini (&q);
    weir_heads_fini (&back);
    weir_op_vector_fini (&x);
    weir_op_vector_fini (&y);
}

static void
check (struct world *w)
{
    struct weir_error e = { 0 };
    struct weir_replica *first = w->players[0].replica;
    json_t *value = value_of (first);
    struct weir_buf bytes = export_of (first, WEIR_EXPORT_SNAPSHOT, NULL);
    for (size_t i = 1; i < w->n_players; i++) {
        struct weir_replica *r = w->players[i].replica;
        check_value (r, value, "another replica");
        check_vectors (first, r);
        struct weir_buf other = export_of (r, WEIR_EXPORT_SNAPSHOT, NULL);
        model_check (other.len == bytes.len && memcmp (other.data, bytes.data, bytes.len) == 0,
                     "replica %zu exports other bytes (%zu and %zu)", i, other.len, bytes.len);
        weir_buf_fini (&other);
    }
    struct weir_replica_options options = options_of (w, 0);
    struct weir_replica *loaded = NULL;
    must (weir_replica_load (&loaded, &options, weir_buf_bytes (&bytes), &e), &e);
    check_value (loaded, value, "a loaded snapshot");
    struct weir_buf again = export_of (loaded, WEIR_EXPORT_SNAPSHOT, NULL);
    model_check (again.len == bytes.len && memcmp (again.data, bytes.data, bytes.len) == 0,
                 "a loaded snapshot exports other bytes");
    for (size_t i = 0; i < w->n_seen; i++) {
        struct weir_replica *r = i % 2 == 0 ? first : loaded;
        must (weir_replica_checkout (r, &w->seen[i].heads, &e), &e);
        check_value (r, w->seen[i].value, "an old version");
    }
    weir_replica_destroy (&loaded);
    weir_buf_fini (&again);
    weir_buf_fini (&bytes);
    json_decref (value);
}

void
weir_model_replica (uint64_t seed)
{
    struct world w = { .n_players = 0 };
    uint8_t random[32] = { 3 };
    struct weir_error e = { 0 };
    weir_rand_init (&w.rand, seed);
    weir_crypto_init ();
    for (uint8_t i = 0; i < DEVICES; i++) {
        uint8_t of[32] = { i, 7 };
        weir_identity_init (&w.devices[i], of);
    }
    weir_replica_genesis (&w.devices[0], random, "model", &w.genesis);
    for (uint64_t n = 2 + draw (&w, 2); n > 0; n--) {
        struct weir_replica_options options = options_of (&w, draw (&w, DEVICES));
        must (weir_replica_new (&w.players[w.n_players++].replica, &options, &e), &e);
    }
    for (uint64_t steps = 10 + draw (&w, 50); steps > 0; steps--) {
        struct player *p = &w.players[draw (&w, w.n_players)];
        uint64_t what = draw (&w, 20);
        bool can_edit = weir_replica_is_attached (p->replica)
                        || weir_replica_options (p->replica)->keeps_detached_edits;
        if (what < 8) {
            if (can_edit) {
                edit (&w, p->replica);
                if (what < 5) {
                    commit (&w, p->replica);
                }
            }
        } else if (what < 12) {
            post (&w, p, &w.players[draw (&w, w.n_players)]);
        } else if (what < 17) {
            deliver (&w, p);
        } else if (what < 19) {
            look_back (&w, p);
        } else {
            multiply (&w);
        }
    }
    settle (&w);
    check (&w);
    for (size_t i = 0; i < w.n_players; i++) {
        weir_replica_destroy (&w.players[i].replica);
    }
    for (size_t i = 0; i < w.n_seen; i++) {
        weir_heads_fini (&w.seen[i].heads);
        json_decref (w.seen[i].value);
    }
    weir_buf_fini (&w.genesis);
}
