/* The payload of settings and genesis entries, as bytes and back. It knows nothing of who may
 * change what: that is members.c. Payloads come from anywhere, so reading checks everything. */

#include "store/dag/members.h"

#include <string.h>

static const char *const right_names[WEIR_RIGHT_COUNT] = {
    [WEIR_RIGHT_NONE] = "none",   [WEIR_RIGHT_CARRY] = "carry", [WEIR_RIGHT_READ] = "read",
    [WEIR_RIGHT_WRITE] = "write", [WEIR_RIGHT_ADMIN] = "admin",
};

const char *
weir_right_name (enum weir_right right)
{
    return (unsigned) right < WEIR_RIGHT_COUNT ? right_names[right] : "none";
}

enum weir_status
weir_right_parse (enum weir_right *out, const char *name)
{
    for (unsigned i = 0; i < WEIR_RIGHT_COUNT; i++) {
        if (strcmp (name, right_names[i]) == 0) {
            *out = (enum weir_right) i;
            return WEIR_OK;
        }
    }
    return WEIR_INVALID_ARGUMENT;
}

static bool
text_is_good (struct weir_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return false;
        }
    }
    return text.len <= WEIR_NAME_BYTES_MAX && weir_bytes_is_utf8 (text);
}

bool
weir_settings_name_is_good (const char *name)
{
    return text_is_good (weir_bytes (name, strlen (name)));
}

bool
weir_settings_is_leave (const struct weir_settings *s, const struct weir_id *author)
{
    return s->n_changes == 1 && s->changes[0].right == WEIR_RIGHT_NONE
           && weir_id_equal (&s->changes[0].device, author) && s->database_name[0] == '\0'
           && s->entry_version_max == 0 && s->codec_max == 0;
}

static void
put_name (struct weir_buf *out, const char *name)
{
    weir_buf_put_blob (out, weir_bytes (name, strlen (name)));
}

void
weir_settings_put (struct weir_buf *out, const struct weir_settings *s, bool genesis)
{
    weir_assert (s->n_changes <= WEIR_SETTINGS_CHANGES_MAX);
    weir_buf_put_u8 (out, WEIR_CODEC_SETTINGS);
    if (genesis) {
        weir_buf_put (out, s->random, sizeof s->random);
    }
    put_name (out, s->database_name);
    weir_buf_put_u8 (out, s->entry_version_max);
    weir_buf_put_u8 (out, s->codec_max);
    weir_buf_put_varint (out, s->n_changes);
    for (size_t i = 0; i < s->n_changes; i++) {
        const struct weir_member_change *change = &s->changes[i];
        weir_buf_put (out, change->device.b, WEIR_ID_BYTES);
        weir_buf_put_u8 (out, (uint8_t) change->right);
        put_name (out, change->name);
    }
}

/* False when it is no name; `name` then stays as it is. */
static bool
read_name (char name[WEIR_NAME_BYTES_MAX + 1], struct weir_reader *r)
{
    struct weir_bytes text = weir_read_blob (r, WEIR_NAME_BYTES_MAX);
    if (r->bad || !text_is_good (text)) {
        return false;
    }
    if (text.len > 0) {
        memcpy (name, text.data, text.len);
    }
    name[text.len] = '\0';
    return true;
}

/* Each device once, and no device that cannot be. */
static bool
read_changes (struct weir_settings *s, struct weir_reader *r)
{
    for (size_t i = 0; i < s->n_changes; i++) {
        struct weir_member_change *change = &s->changes[i];
        struct weir_bytes device = weir_read_bytes (r, WEIR_ID_BYTES);
        uint8_t right = weir_read_u8 (r);
        if (r->bad || weir_id_from_bytes (&change->device, device) != WEIR_OK
            || weir_id_is_zero (&change->device) || right >= WEIR_RIGHT_COUNT
            || !read_name (change->name, r)) {
            return false;
        }
        change->right = (enum weir_right) right;
        for (size_t j = 0; j < i; j++) {
            if (weir_id_equal (&s->changes[j].device, &change->device)) {
                return false;
            }
        }
    }
    return true;
}

enum weir_status
weir_settings_get (struct weir_settings *s, struct weir_arena *arena, struct weir_bytes payload,
                   bool genesis)
{
    struct weir_settings got = { .n_changes = 0 };
    struct weir_reader r = weir_reader (payload);
    uint8_t codec = weir_read_u8 (&r);
    if (r.bad || codec != WEIR_CODEC_SETTINGS) {
        return r.bad ? WEIR_BAD_PAYLOAD : WEIR_NEEDS_UPGRADE;
    }
    if (genesis) {
        struct weir_bytes random = weir_read_bytes (&r, sizeof got.random);
        if (random.len == sizeof got.random) {
            memcpy (got.random, random.data, sizeof got.random);
        }
    }
    if (!read_name (got.database_name, &r)) {
        return WEIR_BAD_PAYLOAD;
    }
    got.entry_version_max = weir_read_u8 (&r);
    got.codec_max = weir_read_u8 (&r);
    uint64_t n = weir_read_varint (&r);
    /* Each takes at least an id, a right and an empty name: a count cannot promise more. */
    if (r.bad || n > WEIR_SETTINGS_CHANGES_MAX || n > weir_reader_left (&r) / (WEIR_ID_BYTES + 2)) {
        return WEIR_BAD_PAYLOAD;
    }
    got.n_changes = (size_t) n;
    got.changes = weir_arena_array (arena, got.n_changes, sizeof got.changes[0]);
    if (got.changes == NULL && got.n_changes > 0) {
        return WEIR_LIMIT;
    }
    if (!read_changes (&got, &r) || !weir_reader_done (&r)) {
        return WEIR_BAD_PAYLOAD;
    }
    *s = got;
    return WEIR_OK;
}
