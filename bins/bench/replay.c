/* weir bench replay: files of document histories, one JSON object a line, each with the values
 * that it must come to; one line a file says how many do. */

#include "bins/bench/replay.h"

#include <string.h>

#include "bins/bench/trace.h"

#define LINE_BYTES_MAX (64u << 20)

struct tally {
    json_int_t cases;
    json_int_t right;
    json_t *wrong;
};

static enum weir_status
play_line (struct bench *b, const struct bench_keys *keys, struct weir_bytes line,
           struct tally *tally, struct weir_error *e)
{
    struct weir_buf why = { 0 };
    json_t *root = NULL;
    enum weir_status status = weir_json_parse (&root, line, LINE_BYTES_MAX, e);
    if (status != WEIR_OK) {
        return status;
    }
    json_t *name = json_object_get (root, "case");
    tally->cases++;
    if (bench_replay_case (keys, root, &why)) {
        tally->right++;
    } else {
        json_array_append_new (tally->wrong,
                               name != NULL ? json_incref (name) : json_integer (tally->cases));
    }
    if (b->verbose && why.len > 0) {
        fprintf (stderr, "case %lld (%s): %s\n", (long long) json_integer_value (name),
                 json_string_value (json_object_get (root, "kind")), weir_buf_str (&why));
    }
    json_decref (root);
    weir_buf_fini (&why);
    return WEIR_OK;
}

static bool
replay_file (struct bench *b, const struct bench_keys *keys, const char *path)
{
    struct weir_buf text = { 0 };
    struct weir_error e = { 0 };
    struct tally tally = { .wrong = json_array () };
    enum weir_status status = bench_file_read (path, &text, &e);
    size_t number = 0;
    for (size_t at = 0; status == WEIR_OK && at < text.len;) {
        const uint8_t *end = memchr (text.data + at, '\n', text.len - at);
        size_t len = end != NULL ? (size_t) (end - text.data) - at : text.len - at;
        number++;
        if (len > 0) {
            status = play_line (b, keys, weir_bytes (text.data + at, len), &tally, &e);
        }
        at += len + 1;
    }
    weir_buf_fini (&text);
    if (status != WEIR_OK) {
        fprintf (stderr, "weir-bench: %s, line %zu: %s (%s)\nhint: %s\n", path, number, e.what,
                 weir_status_code (status), weir_error_hint (&e));
        json_decref (tally.wrong);
        return false;
    }
    bench_print (b, json_pack ("{s:s, s:I, s:I, s:o}", "file", path, "cases", tally.cases, "right",
                               tally.right, "wrong", tally.wrong));
    fflush (stdout);
    return tally.right == tally.cases;
}

bool
bench_replay (struct bench *b)
{
    struct bench_keys keys;
    bool ok = true;
    bench_keys_init (&keys, BENCH_REPLICAS_MAX);
    for (size_t i = 0; i < b->n_files; i++) {
        ok = replay_file (b, &keys, b->files[i]) && ok;
    }
    bench_keys_fini (&keys);
    return ok;
}
