/* Owns how a message of three parts lies on a DEALER socket. It never blocks and knows nothing of
 * kinds. Called by the actors' loop, and by the broker for the pieces they share. */

#include "actors/runtime/post.h"

#include <errno.h>
#include <string.h>
#include <time.h>

void
weir_post_init (struct weir_post *post)
{
    memset (&post->envelope, 0, sizeof post->envelope);
    (void) zmq_msg_init (&post->meta);
    (void) zmq_msg_init (&post->body);
}

void
weir_post_fini (struct weir_post *post)
{
    (void) zmq_msg_close (&post->meta);
    (void) zmq_msg_close (&post->body);
}

enum weir_status
weir_post_send (void *socket, struct weir_post *post)
{
    zmq_msg_t head;
    int rc = zmq_msg_init_size (&head, WEIR_ENVELOPE_BYTES);
    weir_assert (rc == 0);
    weir_envelope_put (&post->envelope, zmq_msg_data (&head));
    if (zmq_msg_send (&head, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        weir_assert (errno == EAGAIN || errno == EINTR);
        (void) zmq_msg_close (&head);
        return WEIR_BUSY;
    }
    /* Once the first part is in, the others follow: libzmq counts whole messages. */
    rc = zmq_msg_send (&post->meta, socket, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    weir_assert (rc >= 0);
    rc = zmq_msg_send (&post->body, socket, ZMQ_DONTWAIT);
    weir_assert (rc >= 0);
    return WEIR_OK;
}

/* Takes what is left of a message that has more parts than it may. */
static void
skip_rest (void *socket)
{
    zmq_msg_t part;
    bool more = true;
    while (more) {
        (void) zmq_msg_init (&part);
        more = zmq_msg_recv (&part, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more (&part) != 0;
        (void) zmq_msg_close (&part);
    }
}

enum weir_status
weir_post_receive (void *socket, struct weir_post *post)
{
    zmq_msg_t head;
    (void) zmq_msg_init (&head);
    enum weir_status status = WEIR_BAD_MESSAGE;
    if (zmq_msg_recv (&head, socket, ZMQ_DONTWAIT) < 0) {
        status = WEIR_NOT_FOUND;
        goto done;
    }
    if (zmq_msg_more (&head) == 0) {
        goto done;
    }
    if (zmq_msg_recv (&post->meta, socket, ZMQ_DONTWAIT) < 0 || zmq_msg_more (&post->meta) == 0) {
        goto done;
    }
    if (zmq_msg_recv (&post->body, socket, ZMQ_DONTWAIT) < 0) {
        goto done;
    }
    if (zmq_msg_more (&post->body) != 0) {
        skip_rest (socket);
        goto done;
    }
    status = weir_envelope_get (&post->envelope, weir_post_bytes (&head));
done:
    (void) zmq_msg_close (&head);
    return status;
}

struct weir_bytes
weir_post_bytes (zmq_msg_t *part)
{
    return weir_bytes (zmq_msg_data (part), zmq_msg_size (part));
}

void
weir_post_pack (zmq_msg_t *part, const ProtobufCMessage *meta)
{
    (void) zmq_msg_close (part);
    size_t len = meta == NULL ? 0 : protobuf_c_message_get_packed_size (meta);
    int rc = zmq_msg_init_size (part, len);
    weir_assert (rc == 0);
    if (len > 0) {
        (void) protobuf_c_message_pack (meta, zmq_msg_data (part));
    }
}

void
weir_post_copy (zmq_msg_t *part, struct weir_bytes bytes)
{
    (void) zmq_msg_close (part);
    int rc = zmq_msg_init_size (part, bytes.len);
    weir_assert (rc == 0);
    if (bytes.len > 0) {
        memcpy (zmq_msg_data (part), bytes.data, bytes.len);
    }
}

void
weir_post_option (void *socket, int option, int value)
{
    int rc = zmq_setsockopt (socket, option, &value, sizeof value);
    weir_assert (rc == 0);
}

uint64_t
weir_now_ms (void)
{
    struct timespec now;
    (void) clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000u + (uint64_t) now.tv_nsec / 1000000u;
}
