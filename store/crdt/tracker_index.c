/* The tracker's index: from an event to what it did. Insertions cost a word each, which their
 * content outweighs; a deletion of a million elements is a few bytes on the wire, so whole pages
 * of one are a row of the directory each and no page. */

#include "store/crdt/tracker_parts.h"

#include <stdlib.h>
#include <string.h>

void
weir_tracker_index_fini (struct tracker_index *self)
{
    free (self->pages);
    free (self->directory);
    *self = (struct tracker_index){ 0 };
}

size_t
weir_tracker_index_bytes (const struct tracker_index *self)
{
    return self->page_cap * sizeof *self->pages + self->cap * sizeof *self->directory;
}

/* Makes the directory reach from page `low` to page `high`. */
static void
reserve (struct tracker_index *self, size_t low, size_t high)
{
    if (self->count == 0) {
        self->first = low;
    }
    if (low < self->first) {
        size_t more = self->first - low;
        if (more < self->count / 2) {
            more = self->count / 2 < self->first ? self->count / 2 : self->first;
        }
        if (self->count + more > self->cap) {
            weir_grow (&self->directory, &self->cap, self->count + more, sizeof *self->directory);
        }
        memmove (self->directory + more, self->directory, self->count * sizeof *self->directory);
        memset (self->directory, 0, more * sizeof *self->directory);
        self->first -= more;
        self->count += more;
    }
    size_t count = high - self->first + 1;
    if (count > self->count) {
        if (count > self->cap) {
            weir_grow (&self->directory, &self->cap, count, sizeof *self->directory);
        }
        memset (self->directory + self->count, 0, (count - self->count) * sizeof *self->directory);
        self->count = count;
    }
}

static struct tracker_page *
page_at (struct tracker_index *self, size_t page)
{
    uint64_t *row = &self->directory[page - self->first];
    weir_assert ((*row & INDEX_WHOLE) == 0);
    if (*row == 0) {
        if (self->page_count == self->page_cap) {
            self->page_cap += self->page_cap / 2 + 1;
            self->pages = weir_realloc (self->pages, self->page_cap * sizeof *self->pages);
        }
        memset (&self->pages[self->page_count], 0, sizeof *self->pages);
        *row = ++self->page_count;
    }
    return &self->pages[*row - 1];
}

void
weir_tracker_index_insert (struct tracker_index *self, uint32_t event, uint32_t count,
                           uint32_t leaf)
{
    reserve (self, event / INDEX_PAGE, (event + (count - 1)) / INDEX_PAGE);
    while (count > 0) {
        uint32_t in_page = event % INDEX_PAGE;
        uint32_t n = INDEX_PAGE - in_page < count ? INDEX_PAGE - in_page : count;
        uint32_t *value = page_at (self, event / INDEX_PAGE)->value + in_page;
        for (uint32_t i = 0; i < n; i++) {
            value[i] = leaf;
        }
        event += n;
        count -= n;
    }
}

void
weir_tracker_index_delete (struct tracker_index *self, uint32_t event, uint32_t count,
                           uint32_t target)
{
    reserve (self, event / INDEX_PAGE, (event + (count - 1)) / INDEX_PAGE);
    while (count > 0) {
        uint32_t in_page = event % INDEX_PAGE;
        uint32_t n = INDEX_PAGE - in_page < count ? INDEX_PAGE - in_page : count;
        if (n == INDEX_PAGE) {
            self->directory[event / INDEX_PAGE - self->first] = INDEX_WHOLE | target;
        } else {
            struct tracker_page *page = page_at (self, event / INDEX_PAGE);
            for (uint32_t i = in_page; i < in_page + n; i++) {
                page->value[i] = target + (i - in_page);
                page->deletes[i / 8] = (uint8_t) (page->deletes[i / 8] | 1u << i % 8);
            }
        }
        event += n;
        count -= n;
        target += n;
    }
}

static uint64_t
row_of (const struct tracker_index *self, uint32_t event)
{
    size_t page = event / INDEX_PAGE;
    weir_assert (page >= self->first && page - self->first < self->count);
    return self->directory[page - self->first];
}

static inline bool
is_delete (const struct tracker_page *page, uint32_t in_page)
{
    return (page->deletes[in_page / 8] >> in_page % 8 & 1) != 0;
}

/* How many events from one on, at most `count` and within its page, delete `target` and what
 * follows it. */
static uint32_t
run (const struct tracker_index *self, uint32_t event, uint32_t count, uint32_t target)
{
    uint64_t row = row_of (self, event);
    uint32_t in_page = event % INDEX_PAGE;
    uint32_t n = 0;
    count = count < INDEX_PAGE - in_page ? count : INDEX_PAGE - in_page;
    if ((row & INDEX_WHOLE) != 0) {
        return (uint32_t) row + in_page == target ? count : 0;
    }
    weir_assert (row != 0);
    const struct tracker_page *page = &self->pages[row - 1];
    while (n < count && page->value[in_page + n] == target + n && is_delete (page, in_page + n)) {
        n++;
    }
    return n;
}

bool
weir_tracker_index_get (const struct tracker_index *self, uint32_t event, uint32_t *count,
                        uint32_t *value)
{
    uint64_t row = row_of (self, event);
    uint32_t in_page = event % INDEX_PAGE;
    weir_assert (row != 0);
    if ((row & INDEX_WHOLE) != 0) {
        *value = (uint32_t) row + in_page;
    } else {
        const struct tracker_page *page = &self->pages[row - 1];
        *value = page->value[in_page];
        if (!is_delete (page, in_page)) {
            return false;
        }
    }
    uint32_t n = 0;
    uint32_t more = 0;
    do {
        more = run (self, event + n, *count - n, *value + n);
        n += more;
    } while (more > 0 && n < *count && (event + n) % INDEX_PAGE == 0);
    *count = n;
    return true;
}
