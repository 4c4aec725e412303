/* What SQLite calls. A database's path is "/kiseki/<set>/<file>", its slot stands in the URI. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sealed-sqlite.h"

SQLITE_EXTENSION_INIT1

static sqlite3_vfs *host;
static sqlite3_vfs vfs;

static File *as_file(sqlite3_file *file) { return (File *)file; }

/* The set and the name within it; NULL when the path is not ours. */
static Set *parse_path(const char *path, const char **name) {
  int number, length = 0;
  if (!path || sscanf(path, "/kiseki/%d/%n", &number, &length) != 1 || length == 0) return NULL;
  *name = path + length;
  if (!**name || strchr(*name, '/') || strlen(*name) >= name_max - 8) return NULL;
  return set_find(number);
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Out of "<name>-<32 hex>-k<keyset>.db…". */
bool parse_file_id(const char *name, uint8_t *id) {
  const char *end = strstr(name, ".db"), *mark = end;
  while (mark && mark > name && *mark != '-') mark--;
  if (!mark || mark - name < 33 || mark[1] != 'k' || mark[-33] != '-') return false;
  for (int i = 0; i < id_size; i++) {
    int high = hex_digit(mark[-32 + 2 * i]), low = hex_digit(mark[-31 + 2 * i]);
    if (high < 0 || low < 0) return false;
    id[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}

static bool is_usable(const File *file) { return set_live(file->node->set) && slot_is_open(file->keys.slot); }

static int kiseki_close(sqlite3_file *base) {
  File *file = as_file(base);
  shm_unmap(file);
  locks_unlock(file, SQLITE_LOCK_NONE);
  node_release(file->node);
  return SQLITE_OK;
}

static int kiseki_read(sqlite3_file *base, void *target, int amount, sqlite3_int64 offset) {
  File *file = as_file(base);
  if (!is_usable(file)) return SQLITE_IOERR_READ;
  return (file->node->is_wal ? wal_read : main_read)(file, target, amount, (uint64_t)offset);
}

static int kiseki_write(sqlite3_file *base, const void *source, int amount, sqlite3_int64 offset) {
  File *file = as_file(base);
  if (!is_usable(file)) return SQLITE_IOERR_WRITE;
  return (file->node->is_wal ? wal_write : main_write)(file, source, amount, (uint64_t)offset);
}

static int kiseki_truncate(sqlite3_file *base, sqlite3_int64 size) {
  File *file = as_file(base);
  if (!is_usable(file)) return SQLITE_IOERR_TRUNCATE;
  return file->node->is_wal ? wal_truncate(file->node, (uint64_t)size) : main_truncate(file, (uint64_t)size);
}

static int kiseki_sync(sqlite3_file *base, int flags) {
  (void)flags;
  File *file = as_file(base);
  if (!is_usable(file)) return SQLITE_IOERR_FSYNC;
  return file->node->is_wal ? wal_sync(file->node) : main_sync(file->node);
}

static int kiseki_file_size(sqlite3_file *base, sqlite3_int64 *size) {
  File *file = as_file(base);
  *size = (sqlite3_int64)atomic_load(&file->node->size);
  return is_usable(file) ? SQLITE_OK : SQLITE_IOERR_FSTAT;
}

static int kiseki_lock(sqlite3_file *base, int level) {
  return is_usable(as_file(base)) ? locks_lock(as_file(base), level) : SQLITE_IOERR_LOCK;
}
static int kiseki_unlock(sqlite3_file *base, int level) { return locks_unlock(as_file(base), level); }
static int kiseki_check_reserved(sqlite3_file *base, int *result) { return locks_is_reserved(as_file(base), result); }

static int kiseki_control(sqlite3_file *base, int code, void *argument) {
  (void)base;
  if (code != SQLITE_FCNTL_VFSNAME) return SQLITE_NOTFOUND;
  *(char **)argument = sqlite3_mprintf("kiseki");
  return SQLITE_OK;
}

static int kiseki_sector_size(sqlite3_file *base) {
  (void)base;
  return page_size;
}
/* No SUBPAGE_READ: a part of a sealed page cannot be read. */
static int kiseki_characteristics(sqlite3_file *base) {
  (void)base;
  return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int kiseki_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **result) {
  return is_usable(as_file(base)) ? shm_map(as_file(base), region, size, extend, result) : SQLITE_IOERR_SHMMAP;
}
static int kiseki_shm_lock(sqlite3_file *base, int offset, int count, int flags) {
  if (flags & SQLITE_SHM_LOCK && !is_usable(as_file(base))) return SQLITE_IOERR_SHMLOCK;
  return shm_lock(as_file(base), offset, count, flags);
}
static void kiseki_shm_barrier(sqlite3_file *base) {
  (void)base;
  atomic_thread_fence(memory_order_seq_cst);
}
static int kiseki_shm_unmap(sqlite3_file *base, int is_delete) {
  (void)is_delete;
  shm_unmap(as_file(base));
  return SQLITE_OK;
}

const sqlite3_io_methods kiseki_methods = {
    .iVersion = 2, /* no mmap */
    .xClose = kiseki_close,
    .xRead = kiseki_read,
    .xWrite = kiseki_write,
    .xTruncate = kiseki_truncate,
    .xSync = kiseki_sync,
    .xFileSize = kiseki_file_size,
    .xLock = kiseki_lock,
    .xUnlock = kiseki_unlock,
    .xCheckReservedLock = kiseki_check_reserved,
    .xFileControl = kiseki_control,
    .xSectorSize = kiseki_sector_size,
    .xDeviceCharacteristics = kiseki_characteristics,
    .xShmMap = kiseki_shm_map,
    .xShmLock = kiseki_shm_lock,
    .xShmBarrier = kiseki_shm_barrier,
    .xShmUnmap = kiseki_shm_unmap,
};

/* Only databases and their WAL: a journal or a temporary file would hold pages in the clear. */
static int kiseki_open(sqlite3_vfs *self, const char *path, sqlite3_file *base, int flags, int *flags_out) {
  (void)self;
  File *file = as_file(base);
  memset(file, 0, sizeof *file);
  const char *name;
  Set *set = parse_path(path, &name);
  if (!set || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL))) return SQLITE_CANTOPEN;
  if (!parse_file_id(name, file->keys.file_id)) return SQLITE_CANTOPEN;
  file->keys.slot = (uint32_t)sqlite3_uri_int64(path, "slot", 0);
  file->is_full = sqlite3_uri_boolean(path, "full", 0);
  if (!slot_is_open(file->keys.slot)) return SQLITE_CANTOPEN;
  bool is_wal = flags & SQLITE_OPEN_WAL;
  int code = node_acquire(set, name, flags & SQLITE_OPEN_CREATE, is_wal, &file->keys, &file->node);
  if (code != SQLITE_OK) return code;
  file->base.pMethods = &kiseki_methods;
  if (flags_out) *flags_out = flags;
  return SQLITE_OK;
}

static int kiseki_delete(sqlite3_vfs *self, const char *path, int is_synced) {
  (void)self, (void)is_synced;
  const char *name;
  Set *set = parse_path(path, &name);
  Op *op = set ? op_new(set, op_delete, 0) : NULL;
  if (!op) return SQLITE_IOERR_DELETE;
  strcpy(op->name, name);
  failpoint("delete");
  int code = set_run(set, op);
  op_release(op);
  failpoint("deleted");
  return code == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_DELETE;
}

static int kiseki_access(sqlite3_vfs *self, const char *path, int flags, int *result) {
  (void)self, (void)flags;
  const char *name;
  Set *set = parse_path(path, &name);
  struct stat status;
  *result = 0;
  for (int i = 0; set && i < set->count; i++)
    if (set_live(set) >> i & 1 && fstatat(set->members[i].directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
      *result |= status.st_size > 0;
  return set && set_live(set) ? SQLITE_OK : SQLITE_IOERR_ACCESS;
}

static int kiseki_full_path(sqlite3_vfs *self, const char *path, int size, char *target) {
  (void)self;
  const char *name;
  if (!parse_path(path, &name) || strlen(path) >= (size_t)size) return SQLITE_CANTOPEN;
  strcpy(target, path);
  return SQLITE_OK;
}

/* For this library alone, which is shown a connection by being loaded into it. */
static void *kiseki_dl_open(sqlite3_vfs *self, const char *path) {
  (void)self;
  return host->xDlOpen(host, path);
}
static void kiseki_dl_error(sqlite3_vfs *self, int size, char *target) {
  (void)self;
  host->xDlError(host, size, target);
}
typedef void (*Symbol)(void);
static Symbol kiseki_dl_symbol(sqlite3_vfs *self, void *library, const char *name) {
  (void)self;
  return host->xDlSym(host, library, name);
}
static void kiseki_dl_close(sqlite3_vfs *self, void *library) {
  (void)self;
  host->xDlClose(host, library);
}
static int kiseki_randomness(sqlite3_vfs *self, int size, char *target) {
  (void)self;
  return host->xRandomness(host, size, target);
}
static int kiseki_sleep(sqlite3_vfs *self, int microseconds) {
  (void)self;
  return host->xSleep(host, microseconds);
}
static int kiseki_time(sqlite3_vfs *self, double *days) {
  (void)self;
  return host->xCurrentTime(host, days);
}
static int kiseki_time_int64(sqlite3_vfs *self, sqlite3_int64 *milliseconds) {
  (void)self;
  return host->xCurrentTimeInt64(host, milliseconds);
}
static int kiseki_last_error(sqlite3_vfs *self, int size, char *target) {
  (void)self, (void)size, (void)target;
  return 0;
}

EXPORTED int sqlite3_extension_init(sqlite3 *database, char **message, const sqlite3_api_routines *api) {
  (void)message;
  SQLITE_EXTENSION_INIT2(api);
  committer_loaded(database);
  if (sqlite3_vfs_find("kiseki")) return SQLITE_OK_LOAD_PERMANENTLY;
  host = sqlite3_vfs_find(NULL);
  if (!host) return SQLITE_ERROR;
  vfs = (sqlite3_vfs){
      .iVersion = 2,
      .szOsFile = sizeof(File),
      .mxPathname = 512,
      .zName = "kiseki",
      .xOpen = kiseki_open,
      .xDelete = kiseki_delete,
      .xAccess = kiseki_access,
      .xFullPathname = kiseki_full_path,
      .xDlOpen = kiseki_dl_open,
      .xDlError = kiseki_dl_error,
      .xDlSym = kiseki_dl_symbol,
      .xDlClose = kiseki_dl_close,
      .xRandomness = kiseki_randomness,
      .xSleep = kiseki_sleep,
      .xCurrentTime = kiseki_time,
      .xGetLastError = kiseki_last_error,
      .xCurrentTimeInt64 = kiseki_time_int64,
  };
  int code = sqlite3_vfs_register(&vfs, 0);
  return code == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : code;
}
