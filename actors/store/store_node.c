/* The store actor's side of node state: `_node` rows for peers and retry, the device's
 * signatures, its card and link keys, and leases of link keys to transports. Link keys belong to
 * addresses, not to processes: the store makes, keeps and certifies them (page 2, "Keys"). */

#include <stdlib.h>
#include <string.h>

#include "actors/store/state.h"
#include "actors/store/ticket.h"

#define STATE_ROWS_PER_ANSWER 256u
#define STATE_KEY_BYTES_MAX 256u
#define LINK_KEYS_KEPT 2u
#define DEFERRED_SHOWN 16u
#define LINK_KEYS_ROW "link_keys"
#define CARD_ROW "own_card"

/* ---- opening ---- */

void
store_open (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    (void) actor;
    Weir__StoreOpened answer = WEIR__STORE_OPENED__INIT;
    answer.has_device = answer.has_epoch = answer.has_members_epoch = answer.has_name = true;
    answer.device = weir_field_id (&s->identity.device);
    answer.epoch = weir_repo_epoch (s->repo);
    answer.members_epoch = weir_repo_members_epoch (s->repo);
    answer.name = weir_field_str (s->name);
    store_answer (s, &message->envelope, &answer.base);
}

/* ---- node state ---- */

/* Only the rows that page 1 gives to peers and retry; keys, tickets and joins are the store's. */
static bool
state_key_allowed (struct weir_bytes key)
{
    static const char *const prefixes[] = { "cards/", "peers/",   "relationships/", "cursors/",
                                            "retry/", "history/", "transports/" };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t n = strlen (prefixes[i]);
        if (key.len >= n && memcmp (key.data, prefixes[i], n) == 0) {
            return key.len <= STATE_KEY_BYTES_MAX && memchr (key.data, 0, key.len) == NULL;
        }
    }
    return false;
}

void
store_state_get (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__StateScan *ask = (const Weir__StateScan *) message->meta;
    char prefix[STATE_KEY_BYTES_MAX + 1];
    char after[STATE_KEY_BYTES_MAX + 1];
    (void) actor;
    if (weir_field_get_text (prefix, STATE_KEY_BYTES_MAX, ask->has_prefix, ask->prefix) != WEIR_OK
        || weir_field_get_text (after, STATE_KEY_BYTES_MAX, ask->has_after, ask->after) != WEIR_OK
        || !state_key_allowed (weir_bytes_str (prefix))) {
        store_fail (s, &message->envelope, WEIR_INVALID_ARGUMENT, NULL);
        return;
    }
    uint32_t limit = ask->has_limit && ask->limit > 0 && ask->limit < STATE_ROWS_PER_ANSWER
                         ? ask->limit
                         : STATE_ROWS_PER_ANSWER;
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    struct weir_buf key = { 0 };
    struct weir_buf value = { 0 };
    Weir__StateRows answer = WEIR__STATE_ROWS__INIT;
    size_t bytes = 0;
    answer.rows = weir_alloc (STATE_ROWS_PER_ANSWER * sizeof *answer.rows);
    answer.has_more = true;
    while (weir_repo_state_next (s->repo, prefix, after, &key, &value) == WEIR_OK) {
        bytes += key.len + value.len + 16;
        if (answer.n_rows == limit
            || (answer.n_rows > 0 && bytes > WEIR_MESSAGE_META_BYTES_MAX / 2)) {
            answer.more = true;
            break;
        }
        Weir__StateRow *row = weir_arena_alloc (arena, sizeof *row);
        if (row == NULL) {
            answer.more = true;
            break;
        }
        *row = (Weir__StateRow) WEIR__STATE_ROW__INIT;
        row->has_key = row->has_value = true;
        row->key.data = weir_arena_copy (arena, weir_buf_bytes (&key));
        row->key.len = key.len;
        row->value.data = weir_arena_copy (arena, weir_buf_bytes (&value));
        row->value.len = value.len;
        answer.rows[answer.n_rows++] = row;
        snprintf (after, sizeof after, "%s", weir_buf_str (&key));
        weir_buf_clear (&key);
        weir_buf_clear (&value);
    }
    store_answer (s, &message->envelope, &answer.base);
    free (answer.rows);
    weir_buf_fini (&key);
    weir_buf_fini (&value);
    weir_arena_destroy (&arena);
}

void
store_state_put (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__StateRows *ask = (const Weir__StateRows *) message->meta;
    (void) actor;
    for (size_t i = 0; i < ask->n_rows; i++) {
        if (!state_key_allowed (weir_field (ask->rows[i]->key))) {
            store_fail (s, &message->envelope, WEIR_INVALID_ARGUMENT, NULL);
            return;
        }
    }
    for (size_t i = 0; i < ask->n_rows; i++) {
        char *key = weir_strndup ((const char *) ask->rows[i]->key.data, ask->rows[i]->key.len);
        weir_repo_state_put (s->repo, key, weir_field (ask->rows[i]->value));
        free (key);
    }
    store_answer_synced (s, &message->envelope, NULL, weir_bytes (NULL, 0), 0);
}

/* ---- signatures ---- */

void
store_sign_proof (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__SignAsk *ask = (const Weir__SignAsk *) message->meta;
    struct weir_signature signature;
    (void) actor;
    if (!ask->has_claim || ask->claim.len == 0) {
        store_fail (s, &message->envelope, WEIR_BAD_MESSAGE, NULL);
        return;
    }
    weir_sign (&signature, &s->identity, WEIR_SIGN_PROOF, weir_field (ask->claim));
    Weir__Signature answer = WEIR__SIGNATURE__INIT;
    answer.has_signature = true;
    answer.signature = weir_field_of (weir_bytes (signature.b, sizeof signature.b));
    store_answer (s, &message->envelope, &answer.base);
}

/* ---- link keys and the card ---- */

/* The row holds pairs of public and secret keys, the newest first. Makes the first one. */
static size_t
link_keys (struct store *s, struct weir_link_key keys[LINK_KEYS_KEPT], bool rotate, bool retire)
{
    struct weir_buf row = { 0 };
    size_t n = 0;
    if (weir_repo_state_get (s->repo, LINK_KEYS_ROW, &row) == WEIR_OK) {
        n = row.len / 64;
        n = n > LINK_KEYS_KEPT ? LINK_KEYS_KEPT : n;
        for (size_t i = 0; i < n; i++) {
            memcpy (keys[i].public_key.b, row.data + i * 64, 32);
            memcpy (keys[i].secret, row.data + i * 64 + 32, 32);
        }
    }
    bool change = n == 0 || rotate || (retire && n > 1);
    if (retire && n > 1) {
        n = 1;
    }
    if (n == 0 || rotate) {
        if (n > 0) {
            keys[1] = keys[0]; /* stays admitted until members have acknowledged the new card */
        }
        n = n > 0 ? 2 : 1;
        weir_link_key_make (&keys[0]);
    }
    if (change) {
        weir_buf_clear (&row);
        for (size_t i = 0; i < n; i++) {
            weir_buf_put (&row, keys[i].public_key.b, 32);
            weir_buf_put (&row, keys[i].secret, 32);
        }
        weir_repo_state_put (s->repo, LINK_KEYS_ROW, weir_buf_bytes (&row));
    }
    if (row.data != NULL) {
        weir_wipe (row.data, row.len);
    }
    weir_buf_fini (&row);
    return n;
}

void
store_lease (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    struct weir_link_key keys[LINK_KEYS_KEPT];
    Weir__LinkKey items[LINK_KEYS_KEPT];
    Weir__LinkKey *pointers[LINK_KEYS_KEPT];
    (void) actor;
    Weir__Lease answer = WEIR__LEASE__INIT;
    answer.keys = pointers;
    answer.n_keys = link_keys (s, keys, false, false);
    for (size_t i = 0; i < answer.n_keys; i++) {
        items[i] = (Weir__LinkKey) WEIR__LINK_KEY__INIT;
        items[i].has_public_key = items[i].has_secret_key = true;
        items[i].public_key = weir_field_id (&keys[i].public_key);
        items[i].secret_key = weir_field_of (weir_bytes (keys[i].secret, 32));
        pointers[i] = &items[i];
    }
    store_answer_synced (s, &message->envelope, &answer.base, weir_bytes (NULL, 0), 0);
    weir_wipe (keys, sizeof keys);
}

/* The card is signed anew only when it changes: same addresses, keys and name keep the counter,
 * so a restart makes no traffic. */
void
store_card_sign (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    const Weir__CardSign *ask = (const Weir__CardSign *) message->meta;
    struct weir_link_key keys[LINK_KEYS_KEPT];
    struct weir_card card;
    struct weir_card old;
    struct weir_buf row = { 0 };
    (void) actor;
    memset (&card, 0, sizeof card); /* compared as bytes below, padding too */
    memset (&old, 0, sizeof old);
    card.device = s->identity.device;
    size_t n = link_keys (s, keys, ask->has_rotate && ask->rotate, ask->has_retire && ask->retire);
    for (size_t i = 0; i < n; i++) {
        card.link_keys[card.n_link_keys++] = keys[i].public_key;
    }
    weir_wipe (keys, sizeof keys);
    for (size_t i = 0; i < ask->n_addresses && i < WEIR_CARD_ADDRESSES_MAX; i++) {
        if (weir_field_get_text (card.addresses[card.n_addresses], WEIR_ADDRESS_BYTES_MAX, true,
                                 ask->addresses[i])
            == WEIR_OK) {
            card.n_addresses++;
        }
    }
    snprintf (card.name, sizeof card.name, "%s", s->name);
    bool held = weir_repo_state_get (s->repo, CARD_ROW, &row) == WEIR_OK
                && weir_card_get (&old, weir_buf_bytes (&row)) == WEIR_OK;
    card.counter = old.counter;
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison) */
    if (!held || memcmp (&card, &old, sizeof card) != 0
        || (ask->has_at_least && ask->at_least > old.counter)) {
        uint64_t seen = ask->has_at_least ? ask->at_least : 0;
        card.counter = (seen > old.counter ? seen : old.counter) + 1;
        weir_buf_clear (&row);
        weir_card_put (&row, &card, &s->identity);
        weir_repo_state_put (s->repo, CARD_ROW, weir_buf_bytes (&row));
    }
    struct weir_arena *arena = weir_arena_new (WEIR_UNPACK_BYTES_MAX);
    ProtobufCMessage *packed = NULL;
    if (weir_meta_unpack (&packed, arena, &weir__card__descriptor, weir_buf_bytes (&row))
        == WEIR_OK) {
        store_answer_synced (s, &message->envelope, packed, weir_bytes (NULL, 0), 0);
    } else {
        store_fail (s, &message->envelope, WEIR_FAILED, NULL);
    }
    weir_arena_destroy (&arena);
    weir_buf_fini (&row);
}

void
store_key_show (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    struct weir_link_key keys[LINK_KEYS_KEPT];
    ProtobufCBinaryData fields[LINK_KEYS_KEPT];
    Weir__KeyShow answer = WEIR__KEY_SHOW__INIT;
    answer.has_device = answer.has_file = answer.has_sealed = true;
    answer.device = weir_field_id (&s->identity.device);
    answer.file = weir_field_str (s->paths.key);
    answer.sealed = weir_actor_settings (actor)->passphrase_file[0] != '\0';
    answer.n_link_keys = link_keys (s, keys, false, false);
    answer.link_keys = fields;
    for (size_t i = 0; i < answer.n_link_keys; i++) {
        fields[i] = weir_field_id (&keys[i].public_key);
    }
    store_answer (s, &message->envelope, &answer.base);
    weir_wipe (keys, sizeof keys);
}

/* ---- status ---- */

void
store_status (void *state, struct weir_actor *actor, const struct weir_message *message)
{
    struct store *s = state;
    struct weir_db_info info;
    Weir__StoreStatus m = WEIR__STORE_STATUS__INIT;
    Weir__DbDeferred deferred[DEFERRED_SHOWN];
    Weir__DbDeferred *pointers[DEFERRED_SHOWN];
    struct weir_id ids[DEFERRED_SHOWN];
    char names[DEFERRED_SHOWN][WEIR_NAME_BYTES_MAX + 1];
    m.has_device = m.has_name = m.has_epoch = m.has_role = true;
    m.device = weir_field_id (&s->identity.device);
    m.name = weir_field_str (s->name);
    m.role = weir_field_str (weir_actor_settings (actor)->role);
    m.epoch = weir_repo_epoch (s->repo);
    m.has_databases = m.has_entries = m.has_pending = true;
    for (size_t i = 0; weir_repo_database (s->repo, i, &info); i++) {
        m.databases++;
        m.entries += info.entries;
        m.pending += info.pending_runs;
        if (info.deferred != WEIR_OK && m.n_deferred < DEFERRED_SHOWN) {
            deferred[m.n_deferred] = (Weir__DbDeferred) WEIR__DB_DEFERRED__INIT;
            ids[m.n_deferred] = info.id;
            snprintf (names[m.n_deferred], sizeof names[0], "%s", info.name);
            Weir__DbDeferred *d = pointers[m.n_deferred] = &deferred[m.n_deferred];
            d->has_db = d->has_name = d->has_status = true;
            d->db = weir_field_id (&ids[m.n_deferred]);
            d->name = weir_field_str (names[m.n_deferred]);
            d->status = (uint32_t) info.deferred;
            m.n_deferred++;
        }
    }
    m.deferred = pointers;
    m.has_disk_bytes = m.has_disk_free_bytes = m.has_disk_full = true;
    m.disk_bytes = weir_kv_disk_bytes (s->kv);
    m.disk_free_bytes = s->disk_free_bytes;
    m.disk_full = s->disk_full;
    m.has_position = m.has_synced_batches = m.has_commits = m.has_imports = true;
    m.position = weir_repo_position (s->repo);
    m.synced_batches = weir_kv_synced (s->kv);
    m.commits = s->commits;
    m.imports = s->imports;
    m.has_refused = m.has_transfers = m.has_frames_dropped = true;
    m.refused = s->refused;
    m.transfers = s->n_transfers;
    m.frames_dropped = s->frames_dropped;
    store_answer (s, &message->envelope, &m.base);
}
