/*
 * COMMIT and checkpoint of a connection in a thread of their own: both wait for disks, and the thread that owns the
 * connection has others to serve meanwhile. It leaves the connection alone until it has seen the result.
 */
#include <stdlib.h>

#include "sealed-sqlite.h"

SQLITE_EXTENSION_INIT3

enum { threads_max = 4, running = -1 };

typedef enum { act_commit = 0, act_checkpoint = 1 } Act;

struct Committer {
  struct Committer *next;
  sqlite3 *database;
  sqlite3_stmt *commit;
  Act act;
  DoneCallback done;
  _Atomic int result; /* `running`, or what SQLite said: 0 is well */
  _Atomic int frames; /* in the WAL, after the last commit */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static Committer *first, **last = &first;
static int threads, idle, queued;

/* Of the extension's last loading: the connection that the calling thread has just loaded it into. */
static _Thread_local sqlite3 *loaded;

void committer_loaded(sqlite3 *database) { loaded = database; }

static int on_commit(void *argument, sqlite3 *database, const char *name, int frames) {
  (void)database, (void)name;
  atomic_store(&((Committer *)argument)->frames, frames);
  return SQLITE_OK;
}

static int run(Committer *committer) {
  sqlite3 *database = committer->database;
  if (committer->act == act_checkpoint)
    return sqlite3_wal_checkpoint_v2(database, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
  int code = sqlite3_step(committer->commit);
  int reset = sqlite3_reset(committer->commit);
  return code == SQLITE_DONE ? reset : sqlite3_extended_errcode(database);
}

static void *work(void *argument) {
  (void)argument;
  pthread_mutex_lock(&mutex);
  for (;;) {
    idle++;
    while (!first) pthread_cond_wait(&wake, &mutex);
    idle--;
    Committer *committer = first;
    first = committer->next;
    if (!first) last = &first;
    queued--;
    pthread_mutex_unlock(&mutex);
    DoneCallback done = committer->done;
    int code = run(committer);
    /* From here on the owner may close the committer. */
    atomic_store(&committer->result, code < 0 ? SQLITE_ERROR : code);
    done();
    pthread_mutex_lock(&mutex);
  }
  return NULL;
}

/* For the connection that this library was just loaded into; NULL when there is none. Takes its checkpoints over. */
Committer *committer_open(void) {
  sqlite3 *database = loaded;
  loaded = NULL;
  Committer *committer = database ? calloc(1, sizeof *committer) : NULL;
  if (!committer) return NULL;
  committer->database = database;
  if (sqlite3_prepare_v2(database, "COMMIT", -1, &committer->commit, NULL) != SQLITE_OK) {
    free(committer);
    return NULL;
  }
  sqlite3_wal_hook(database, on_commit, committer);
  return committer;
}

/* Not while it runs; before the connection is closed. */
void committer_close(Committer *committer) {
  sqlite3_wal_hook(committer->database, NULL, NULL);
  sqlite3_finalize(committer->commit);
  free(committer);
}

/* `done` is called from another thread when the result is there. False: there is no thread for it. */
bool committer_start(Committer *committer, int act, DoneCallback done) {
  committer->act = act == act_checkpoint ? act_checkpoint : act_commit;
  committer->done = done;
  committer->next = NULL;
  atomic_store(&committer->result, running);
  pthread_mutex_lock(&mutex);
  pthread_t thread;
  if (queued >= idle && threads < threads_max && pthread_create(&thread, NULL, work, NULL) == 0) {
    pthread_detach(thread);
    threads++;
  }
  bool is_served = threads > 0;
  if (is_served) {
    *last = committer;
    last = &committer->next;
    queued++;
    pthread_cond_signal(&wake);
  }
  pthread_mutex_unlock(&mutex);
  return is_served;
}

int committer_result(const Committer *committer) { return atomic_load(&committer->result); }
int committer_frames(const Committer *committer) { return atomic_load(&committer->frames); }
