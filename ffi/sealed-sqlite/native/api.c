/* What TypeScript calls. Numbers below zero are -errno. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "sealed-sqlite.h"

EXPORTED int64_t kiseki_slot_open(const uint8_t *keys) { return slot_open(keys, keys + 32); }
EXPORTED int kiseki_slot_close(uint32_t slot) { return slot_close(slot); }

EXPORTED int kiseki_slot_is_open(uint32_t slot) { return slot_is_open(slot); }

EXPORTED int kiseki_set_new(int count) {
  Set *set = set_new(count);
  return set ? set->number : -ENOMEM;
}

/* Opens the directory and locks it for this process; it does not count before kiseki_set_start. */
EXPORTED int kiseki_set_member(int number, int member, const char *path) {
  Set *set = set_find(number);
  if (!set || member < 0 || member >= set->count) return -EINVAL;
  int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -errno;
  if (flock(directory, LOCK_EX | LOCK_NB) != 0) {
    int error = errno;
    close(directory);
    return -error;
  }
  set->members[member].directory = directory;
  set->members[member].path = strdup(path);
  return 0;
}

/* `ids`: set id, then 16 bytes for each member; `live`: bit per member that counts. */
EXPORTED int kiseki_set_start(int number, uint32_t live, const uint8_t *ids, uint64_t version, const char *note,
                              int64_t silent_max, LostCallback on_lost) {
  Set *set = set_find(number);
  if (!set || !live || silent_max < 1) return -EINVAL;
  memcpy(set->id, ids, id_size);
  for (int i = 0; i < set->count; i++) {
    memcpy(set->members[i].id, ids + id_size * (i + 1), id_size);
    if (live >> i & 1 && set->members[i].directory < 0) return -EINVAL;
  }
  set->note_path = strdup(note);
  set->silent_max = silent_max;
  set->on_lost = on_lost;
  atomic_store(&set->version, version);
  atomic_store(&set->live, live);
  return set->note_path && set_start(set) ? 0 : -ENOMEM;
}

/* -EBUSY while a database is open. */
EXPORTED int kiseki_set_close(int number) {
  Set *set = set_find(number);
  if (!set) return -EINVAL;
  if (atomic_load(&set->open_nodes) > 0) return -EBUSY;
  set_free(set);
  return 0;
}

/* 8 numbers: version, live, healed pages, frames, files, damaged, seals, open files. */
EXPORTED int kiseki_set_status(int number, uint64_t *target) {
  Set *set = set_find(number);
  if (!set) return -EINVAL;
  target[0] = atomic_load(&set->version);
  target[1] = set_live(set);
  target[2] = atomic_load(&set->healed_pages);
  target[3] = atomic_load(&set->healed_frames);
  target[4] = atomic_load(&set->healed_files);
  target[5] = atomic_load(&set->damaged);
  target[6] = atomic_load(&set->seals);
  target[7] = (uint64_t)atomic_load(&set->open_nodes);
  return 0;
}

static int run_named(int number, OpKind kind, const char *name, const char *other) {
  Set *set = set_find(number);
  if (!set || strlen(name) >= name_max || strlen(other) >= name_max) return -EINVAL;
  Op *op = op_new(set, kind, 0);
  if (!op) return -ENOMEM;
  strcpy(op->name, name), strcpy(op->other, other);
  int code = set_run(set, op);
  op_release(op);
  return code == SQLITE_OK ? 0 : -EIO;
}

EXPORTED int kiseki_file_rename(int number, const char *name, const char *other) {
  failpoint("rename");
  return run_named(number, op_rename, name, other);
}
/* 1 when some member has it. */
EXPORTED int kiseki_file_exists(int number, const char *name) {
  Set *set = set_find(number);
  for (int i = 0; set && i < set->count; i++)
    if (set_live(set) >> i & 1 && faccessat(set->members[i].directory, name, F_OK, 0) == 0) return 1;
  return 0;
}
EXPORTED int kiseki_file_delete(int number, const char *name) { return run_named(number, op_delete, name, ""); }

/* See commits.c. */
EXPORTED Committer *kiseki_committer_open(void) { return committer_open(); }
EXPORTED void kiseki_committer_close(Committer *committer) { committer_close(committer); }
EXPORTED int kiseki_committer_start(Committer *committer, int act, DoneCallback done) {
  return committer_start(committer, act, done);
}
/* -1 while it runs, else SQLite's code. */
EXPORTED int kiseki_committer_result(const Committer *committer) { return committer_result(committer); }
EXPORTED int kiseki_committer_frames(const Committer *committer) { return committer_frames(committer); }

/* 0, -ENOENT, -EIO; `found` as main_scrub says. */
EXPORTED int kiseki_file_scrub(int number, const char *name, uint32_t slot, uint32_t first, uint32_t count,
                               uint64_t *found) {
  Set *set = set_find(number);
  KeySource keys = {.slot = slot};
  Node *node;
  if (!set || first < 1 || !parse_file_id(name, keys.file_id)) return -EINVAL;
  int code = node_acquire(set, name, false, false, &keys, &node);
  if (code != SQLITE_OK) return code == SQLITE_CANTOPEN ? -ENOENT : -EIO;
  code = main_scrub(node, &keys, first, count, found);
  node_release(node);
  return code == SQLITE_OK ? 0 : -EIO;
}
