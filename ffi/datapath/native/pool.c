/* The pool: two sets of threads (hashing and sealing; devices), contexts with their records and completion ring, and what
 * bun:ffi calls. A context belongs to one JS thread; its callback is asked for once until that thread has drained. */
#include "datapath.h"

#include "erasure-code.h"

#include <openssl/mem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct context {
  struct datapath *datapath;
  pthread_mutex_t mutex;
  void (*callback)(void);
  int is_signalled, is_starving;
  uint32_t tail;
  uint32_t *ring; /* numbers of finished records, in the order they finished */
  struct record *records;
  uint8_t *scratch; /* for jobs in the thread of the context */
};
struct work { struct context *context; uint32_t record; };
struct queue {
  pthread_mutex_t mutex;
  pthread_cond_t filled;
  uint32_t head, count;
  int is_closing;
  struct work work[CONTEXTS_MAX * RECORDS];
};
struct datapath {
  struct arena *arena;
  struct devices *devices;
  struct hash_states *states;
  pthread_mutex_t mutex;
  struct context *contexts[CONTEXTS_MAX];
  struct queue compute, device;
  uint32_t threads;
  struct thread { pthread_t id; struct datapath *datapath; struct queue *queue; uint8_t *scratch; } thread[THREADS_MAX + 1];
};

static size_t shared_size(void) { return RECORDS * sizeof(struct record) + RECORDS * sizeof(uint32_t); }

/* --- work ----------------------------------------------------------------------------------------------------------------- */

static void run_job(struct datapath *datapath, struct record *record, uint8_t *scratch) {
  struct devices *devices = datapath->devices;
  struct arena *arena = datapath->arena;
  record->status = STATUS_OK;
  record->error = record->outcome = 0;
  switch (record->kind) {
    case JOB_HASH: hash_job(datapath->states, arena, record); break;
    case JOB_SEAL: seal_job(arena, record, scratch); break;
    case JOB_UNSEAL: unseal_job(arena, record); break;
    case JOB_CODE: code_job(arena, record); break;
    case JOB_FETCH: fetch_job(devices, arena, record, scratch); break;
    case JOB_OPEN: open_job(devices, arena, record, scratch); break;
    case JOB_REBUILD: rebuild_job(devices, arena, record, scratch); break;
    case JOB_VERIFY: verify_job(devices, record, scratch); break;
    case JOB_APPEND: append_job(devices, arena, record, scratch); break;
    case JOB_READ: read_job(devices, arena, record, scratch); break;
    case JOB_DISCARD: discard_job(devices, record); break;
    case JOB_DEVICE_OPEN: device_open_job(devices, record); break;
    case JOB_DEVICE_CLOSE: device_close_job(devices, record); break;
    default: fail(record, STATUS_BAD_ARGUMENT, 0);
  }
  OPENSSL_cleanse(record->dek, sizeof record->dek);
}

/* With the context's mutex held, so that no callback can outlive kiseki_datapath_detach. */
static void signal_locked(struct context *context) {
  if (context->is_signalled || !context->callback) return;
  context->is_signalled = 1;
  context->callback();
}

static void complete(struct context *context, uint32_t record) {
  pthread_mutex_lock(&context->mutex);
  context->ring[context->tail++ % RECORDS] = record;
  signal_locked(context);
  pthread_mutex_unlock(&context->mutex);
}

static void *work(void *argument) {
  struct thread *thread = argument;
  struct queue *queue = thread->queue;
  for (;;) {
    pthread_mutex_lock(&queue->mutex);
    while (queue->count == 0 && !queue->is_closing) pthread_cond_wait(&queue->filled, &queue->mutex);
    if (queue->count == 0) break;
    struct work next = queue->work[queue->head];
    queue->head = (queue->head + 1) % (CONTEXTS_MAX * RECORDS);
    queue->count--;
    pthread_mutex_unlock(&queue->mutex);
    run_job(thread->datapath, &next.context->records[next.record], thread->scratch);
    complete(next.context, next.record);
  }
  pthread_mutex_unlock(&queue->mutex);
  return NULL;
}

/* --- opening and closing -------------------------------------------------------------------------------------------------- */

static int start_threads(struct datapath *datapath, struct queue *queue, uint32_t count) {
  pthread_mutex_init(&queue->mutex, NULL);
  pthread_cond_init(&queue->filled, NULL);
  for (uint32_t i = 0; i < count; i++) {
    struct thread *thread = &datapath->thread[datapath->threads];
    *thread = (struct thread){.datapath = datapath, .queue = queue, .scratch = secret_pages(SCRATCH_SIZE)};
    if (!thread->scratch) return -1;
    if (pthread_create(&thread->id, NULL, work, thread) != 0) {
      munmap(thread->scratch, SCRATCH_SIZE);
      return -1;
    }
    datapath->threads++;
  }
  return 0;
}

static void stop_threads(struct datapath *datapath) {
  struct queue *queues[] = {&datapath->compute, &datapath->device};
  for (int i = 0; i < 2; i++) {
    pthread_mutex_lock(&queues[i]->mutex);
    queues[i]->is_closing = 1;
    pthread_cond_broadcast(&queues[i]->filled);
    pthread_mutex_unlock(&queues[i]->mutex);
  }
  for (uint32_t i = 0; i < datapath->threads; i++) {
    pthread_join(datapath->thread[i].id, NULL);
    munmap(datapath->thread[i].scratch, SCRATCH_SIZE);
  }
}

EXPORT uint32_t kiseki_datapath_abi(void) { return DATAPATH_ABI; }

/* 0, or -1 while a context is attached: it would be left with addresses of nothing. */
EXPORT int32_t kiseki_datapath_close(struct datapath *datapath) {
  pthread_mutex_lock(&datapath->mutex);
  int is_used = 0;
  for (int i = 0; i < CONTEXTS_MAX; i++) is_used |= datapath->contexts[i] != NULL;
  pthread_mutex_unlock(&datapath->mutex);
  if (is_used) return -1;
  stop_threads(datapath);
  devices_close(datapath->devices);
  hash_states_close(datapath->states);
  arena_close(datapath->arena);
  pthread_mutex_destroy(&datapath->mutex);
  free(datapath);
  return 0;
}

/* NULL when there is no memory, the arena cannot be locked, or a code's matrix is wrong. */
EXPORT struct datapath *kiseki_datapath_open(uint64_t arena_size, uint32_t compute, uint32_t device, uint32_t lock) {
  if (compute < 1 || device < 1 || compute > THREADS_MAX / 2 || device > THREADS_MAX / 2 || ec_prepare() != 0) return NULL;
  struct datapath *datapath = calloc(1, sizeof *datapath);
  if (!datapath) return NULL;
  pthread_mutex_init(&datapath->mutex, NULL);
  datapath->arena = arena_open(arena_size, lock != 0);
  datapath->devices = devices_open();
  datapath->states = hash_states_open();
  int is_started = start_threads(datapath, &datapath->compute, compute) == 0;
  is_started = start_threads(datapath, &datapath->device, device) == 0 && is_started;
  if (is_started && datapath->arena && datapath->devices && datapath->states) return datapath;
  kiseki_datapath_close(datapath);
  return NULL;
}

/* --- contexts ------------------------------------------------------------------------------------------------------------- */

EXPORT struct context *kiseki_datapath_attach(struct datapath *datapath, void (*callback)(void)) {
  struct context *context = calloc(1, sizeof *context);
  if (!context) return NULL;
  *context = (struct context){.datapath = datapath, .callback = callback, .records = secret_pages(shared_size()), .scratch = secret_pages(SCRATCH_SIZE)};
  pthread_mutex_init(&context->mutex, NULL);
  int is_listed = 0;
  if (context->records && context->scratch) {
    mlock2(context->records, shared_size(), MLOCK_ONFAULT); /* keys pass through; where the limit forbids it, swap may see them */
    context->ring = (uint32_t *)(context->records + RECORDS);
    pthread_mutex_lock(&datapath->mutex);
    for (int i = 0; i < CONTEXTS_MAX && !is_listed; i++)
      if (!datapath->contexts[i]) is_listed = 1, datapath->contexts[i] = context;
    pthread_mutex_unlock(&datapath->mutex);
  }
  if (is_listed) return context;
  if (context->records) munmap(context->records, shared_size());
  if (context->scratch) munmap(context->scratch, SCRATCH_SIZE);
  free(context);
  return NULL;
}

/* 1 while a callback is on its way: call again after it has come. 0: gone. Only when none of its jobs runs. */
EXPORT uint32_t kiseki_datapath_detach(struct context *context) {
  struct datapath *datapath = context->datapath;
  pthread_mutex_lock(&datapath->mutex);
  pthread_mutex_lock(&context->mutex);
  int is_signalled = context->is_signalled;
  context->callback = NULL;
  for (int i = 0; i < CONTEXTS_MAX && !is_signalled; i++)
    if (datapath->contexts[i] == context) datapath->contexts[i] = NULL;
  pthread_mutex_unlock(&context->mutex);
  pthread_mutex_unlock(&datapath->mutex);
  if (is_signalled) return 1;
  munmap(context->records, shared_size());
  munmap(context->scratch, SCRATCH_SIZE);
  pthread_mutex_destroy(&context->mutex);
  free(context);
  return 0;
}

EXPORT struct record *kiseki_datapath_records(struct context *context) { return context->records; }
EXPORT uint8_t *kiseki_datapath_arena(struct datapath *datapath) { return arena_base(datapath->arena); }
EXPORT double kiseki_datapath_arena_size(struct datapath *datapath) { return (double)arena_size(datapath->arena); }

/* --- called all the time -------------------------------------------------------------------------------------------------- */

/* Jobs that wait for no device. */
static int is_compute(uint32_t kind) {
  return kind == JOB_HASH || kind == JOB_SEAL || kind == JOB_UNSEAL || kind == JOB_CODE;
}

EXPORT int32_t kiseki_datapath_submit(struct context *context, uint32_t record) {
  if (record >= RECORDS) return -1;
  struct queue *queue = is_compute(context->records[record].kind) ? &context->datapath->compute : &context->datapath->device;
  pthread_mutex_lock(&queue->mutex);
  int has_room = queue->count < CONTEXTS_MAX * RECORDS;
  if (has_room) {
    queue->work[(queue->head + queue->count) % (CONTEXTS_MAX * RECORDS)] = (struct work){context, record};
    queue->count++;
    pthread_cond_signal(&queue->filled);
  }
  pthread_mutex_unlock(&queue->mutex);
  return has_room ? 0 : -1;
}

/* A small job at once, in the caller's thread: cheaper than waking another. What may wait for a device is refused: an
 * `open` or `fetch` comes with FLAG_CACHED and ends with STATUS_BUSY when the page cache has not all of it. */
EXPORT int32_t kiseki_datapath_run(struct context *context, uint32_t number) {
  if (number >= RECORDS) return -1;
  struct record *record = &context->records[number];
  int is_read = record->kind == JOB_OPEN || record->kind == JOB_FETCH;
  int is_quick = is_compute(record->kind) || (is_read && record->flags & FLAG_CACHED);
  if (!is_quick) return -1;
  run_job(context->datapath, record, context->scratch);
  return 0;
}

/* The count of completions ever put into the ring; from here on the next one calls back. */
EXPORT uint32_t kiseki_datapath_drain(struct context *context) {
  pthread_mutex_lock(&context->mutex);
  context->is_signalled = 0;
  uint32_t tail = context->tail;
  pthread_mutex_unlock(&context->mutex);
  return tail;
}

EXPORT double kiseki_datapath_lend(struct datapath *datapath, double size) {
  return size >= 1 && size < 1e15 ? (double)arena_lend(datapath->arena, (uint64_t)size) : -1;
}

/* Gives a loan back and wakes the other contexts that wait for room. */
EXPORT int32_t kiseki_datapath_give_back(struct context *context, double offset) {
  struct datapath *datapath = context->datapath;
  if (!(offset >= 0 && offset < 1e15) || arena_give_back(datapath->arena, (uint64_t)offset) != 0) return -1;
  pthread_mutex_lock(&datapath->mutex);
  for (int i = 0; i < CONTEXTS_MAX; i++) {
    struct context *other = datapath->contexts[i];
    if (!other || other == context) continue;
    pthread_mutex_lock(&other->mutex);
    if (other->is_starving) signal_locked(other);
    pthread_mutex_unlock(&other->mutex);
  }
  pthread_mutex_unlock(&datapath->mutex);
  return 0;
}

EXPORT void kiseki_datapath_starve(struct context *context, uint32_t is_starving) {
  pthread_mutex_lock(&context->mutex);
  context->is_starving = is_starving != 0;
  pthread_mutex_unlock(&context->mutex);
}

EXPORT double kiseki_datapath_lent(struct datapath *datapath) { return (double)arena_lent(datapath->arena); }

EXPORT int32_t kiseki_datapath_hash_open(struct datapath *datapath, uint32_t algorithms) {
  return hash_state_take(datapath->states, algorithms);
}
EXPORT int32_t kiseki_datapath_hash_close(struct datapath *datapath, uint32_t state) {
  return hash_state_free(datapath->states, state);
}
EXPORT int32_t kiseki_datapath_digest(struct context *context, uint32_t record) {
  if (record >= RECORDS) return -1;
  context->records[record].status = STATUS_OK;
  hash_digest(context->datapath->states, &context->records[record]);
  return context->records[record].status == STATUS_OK ? 0 : -1;
}
