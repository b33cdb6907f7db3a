/* Owns JSON Patch (RFC 6902) on edits: add, remove, replace, move, copy, test, all of a patch or
 * none of it. What operations become in the document, edit.c knows. */

#include "store/crdt/edit.h"

#include <string.h>

/* ---- equality, as RFC 6902 section 4.6 has it: numbers by value, objects in any order ---- */

static bool
scalars_equal (const json_t *a, const json_t *b)
{
    if (json_is_number (a) && json_is_number (b)) {
        return json_is_integer (a) && json_is_integer (b)
                   ? json_integer_value (a) == json_integer_value (b)
                   : json_number_value (a) == json_number_value (b);
    }
    if (json_typeof (a) != json_typeof (b)) {
        return false;
    }
    if (json_is_string (a)) {
        return weir_bytes_equal (weir_bytes (json_string_value (a), json_string_length (a)),
                                 weir_bytes (json_string_value (b), json_string_length (b)));
    }
    return !json_is_array (a); /* documents hold none yet */
}

struct frame {
    const json_t *a;
    const json_t *b;
    void *at; /* in a */
};

/* `a` comes from a document, so its depth has a bound. */
static bool
json_same (const json_t *a, const json_t *b)
{
    struct frame frames[WEIR_JSON_DEPTH_MAX + 1];
    size_t depth = 0;
    for (;;) {
        if (json_is_object (a) && json_is_object (b)) {
            if (json_object_size (a) != json_object_size (b)) {
                return false;
            }
            frames[depth++] = (struct frame){ a, b, json_object_iter ((json_t *) (uintptr_t) a) };
        } else if (!scalars_equal (a, b)) {
            return false;
        }
        while (depth > 0 && frames[depth - 1].at == NULL) {
            depth--;
        }
        if (depth == 0) {
            return true;
        }
        struct frame *f = &frames[depth - 1];
        a = json_object_iter_value (f->at);
        b = json_object_getn (f->b, json_object_iter_key (f->at), json_object_iter_key_len (f->at));
        f->at = json_object_iter_next ((json_t *) (uintptr_t) f->a, f->at);
        if (b == NULL) {
            return false;
        }
    }
}

/* ---- one operation ---- */

struct step {
    const char *op;
    const char *path;
    const char *from;    /* NULL: not named */
    const json_t *value; /* NULL: not named */
};

/* The cell of something that is there. */
static enum weir_status
find (struct weir_edit *edit, const char *pointer, uint32_t *cell, struct weir_error *e)
{
    struct weir_path path = { 0 };
    struct weir_value value;
    uint32_t found = WEIR_EDIT_NONE;
    enum weir_status status = weir_path_parse (&path, pointer, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (edit, &path, false, &found, e);
    }
    if (status == WEIR_OK && !weir_edit_visible (edit, found, &value)) {
        status = weir_error_set (e, WEIR_NOT_FOUND, NULL, "there is nothing at %s", pointer);
    }
    if (status == WEIR_OK) {
        *cell = found;
    }
    weir_path_fini (&path);
    return status;
}

static enum weir_status
read_json (struct weir_edit *edit, const char *pointer, json_t **out, struct weir_error *e)
{
    uint32_t cell = WEIR_EDIT_NONE;
    if (pointer[0] == 0) {
        *out = weir_edit_json (edit);
        return WEIR_OK;
    }
    enum weir_status status = find (edit, pointer, &cell, e);
    if (status == WEIR_OK) {
        *out = weir_edit_cell_json (edit, cell);
    }
    return status;
}

static enum weir_status
add (struct weir_edit *edit, const char *pointer, const json_t *value, struct weir_error *e)
{
    struct weir_path path = { 0 };
    uint32_t cell = WEIR_EDIT_NONE;
    enum weir_status status = weir_path_parse (&path, pointer, e);
    if (status == WEIR_OK) {
        status = weir_edit_walk (edit, &path, false, &cell, e);
    }
    if (status == WEIR_OK) {
        status = weir_edit_assign (edit, cell, value, e);
    }
    weir_path_fini (&path);
    return status;
}

static enum weir_status
removed (struct weir_edit *edit, const char *pointer, struct weir_error *e)
{
    uint32_t cell = WEIR_EDIT_NONE;
    enum weir_status status = find (edit, pointer, &cell, e);
    return status == WEIR_OK ? weir_edit_clear (edit, cell, e) : status;
}

static enum weir_status
tested (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    json_t *now = NULL;
    enum weir_status status = read_json (edit, s->path, &now, e);
    if (status == WEIR_NOT_FOUND || status == WEIR_CONFLICT
        || (status == WEIR_OK && !json_same (now, s->value))) {
        status = weir_error_set (e, WEIR_CONFLICT, "read it again, and decide anew",
                                 "another value stands at %s", s->path);
    }
    json_decref (now);
    return status;
}

static bool
is_inside (const char *path, const char *from)
{
    size_t len = strlen (from);
    return strncmp (path, from, len) == 0 && path[len] == '/';
}

static enum weir_status
copied (struct weir_edit *edit, const struct step *s, bool move, struct weir_error *e)
{
    json_t *value = NULL;
    if (move && is_inside (s->path, s->from)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "%s lies inside of %s", s->path,
                               s->from);
    }
    enum weir_status status = read_json (edit, s->from, &value, e);
    if (status == WEIR_OK && move && strcmp (s->path, s->from) != 0) {
        status = removed (edit, s->from, e);
    }
    if (status == WEIR_OK) {
        status = add (edit, s->path, value, e);
    }
    json_decref (value);
    return status;
}

static enum weir_status
replaced (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    uint32_t cell = WEIR_EDIT_NONE;
    enum weir_status status = find (edit, s->path, &cell, e);
    return status == WEIR_OK ? weir_edit_assign (edit, cell, s->value, e) : status;
}

static enum weir_status
run (struct weir_edit *edit, const struct step *s, struct weir_error *e)
{
    bool needs_from = strcmp (s->op, "move") == 0 || strcmp (s->op, "copy") == 0;
    bool removes = strcmp (s->op, "remove") == 0;
    if (needs_from ? s->from == NULL : !removes && s->value == NULL) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "\"%s\" is missing",
                               needs_from ? "from" : "value");
    }
    if (needs_from) {
        return copied (edit, s, s->op[0] == 'm', e);
    }
    if (removes) {
        return removed (edit, s->path, e);
    }
    if (strcmp (s->op, "test") == 0) {
        return tested (edit, s, e);
    }
    return strcmp (s->op, "add") == 0 ? add (edit, s->path, s->value, e) : replaced (edit, s, e);
}

static bool
is_known (const char *op)
{
    static const char *const known[] = { "add", "remove", "replace", "move", "copy", "test" };
    size_t i = 0;
    while (i < sizeof known / sizeof *known && (op == NULL || strcmp (op, known[i]) != 0)) {
        i++;
    }
    return i < sizeof known / sizeof *known;
}

static enum weir_status
step_read (struct step *s, const json_t *json, struct weir_error *e)
{
    *s = (struct step){ .op = json_string_value (json_object_get (json, "op")),
                        .path = json_string_value (json_object_get (json, "path")),
                        .from = json_string_value (json_object_get (json, "from")),
                        .value = json_object_get (json, "value") };
    if (!is_known (s->op)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, "add, remove, replace, move, copy or test",
                               "\"op\" is missing or unknown");
    }
    if (s->path == NULL) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, NULL, "\"path\" is missing");
    }
    return WEIR_OK;
}

enum weir_status
weir_edit_patch (struct weir_edit *self, const json_t *patch, struct weir_error *e)
{
    struct weir_edit_mark mark = weir_edit_mark (self);
    enum weir_status status = WEIR_OK;
    if (!json_is_array (patch)) {
        return weir_error_set (e, WEIR_INVALID_ARGUMENT, "see RFC 6902",
                               "a JSON Patch is an array of operations");
    }
    if (json_array_size (patch) > WEIR_PATCH_OPS_MAX) {
        return weir_error_set (e, WEIR_TOO_LARGE, NULL, "a patch has at most %u operations",
                               WEIR_PATCH_OPS_MAX);
    }
    for (size_t i = 0; i < json_array_size (patch) && status == WEIR_OK; i++) {
        struct step s;
        struct weir_error why = { 0 };
        status = step_read (&s, json_array_get (patch, i), &why);
        if (status == WEIR_OK) {
            status = run (self, &s, &why);
        }
        if (status != WEIR_OK) {
            (void) weir_error_set (e, status, weir_error_hint (&why), "operation %zu: %s", i,
                                   why.what);
        }
    }
    if (status != WEIR_OK) {
        weir_edit_rollback (self, &mark);
    }
    return status;
}
