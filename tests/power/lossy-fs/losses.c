#include "losses.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { sector = 512, name_size_max = 256 };

/* One write, or one change of size, that no sync covers. */
struct change {
  uint64_t offset, size;
  uint64_t size_after;
  unsigned char *old_bytes; /* NULL: zeros */
  unsigned char *new_bytes; /* NULL: zeros */
  struct change *previous, *next;
};
struct file {
  dev_t device;
  ino_t inode;
  int fd;
  uint64_t durable_size;
  struct change *first, *last;
  size_t count;
  struct file *next;
};

enum kind { made, removed, renamed };
struct entry_change {
  enum kind kind;
  bool is_folder;
  char from[name_size_max], to[name_size_max];
  ino_t inode, replaced; /* 0: none */
  struct entry_change *previous, *next;
};
struct directory {
  ino_t inode;
  int fd;
  struct entry_change *first, *last;
  struct directory *next;
};

static struct file *files;
static struct directory *directories;
static int objects = -1;
static uint64_t state;

static void must(bool holds, const char *what) {
  if (holds) return;
  fprintf(stderr, "lossy-fs: %s: %s\n", what, strerror(errno));
  abort();
}

static void *memory(size_t size) {
  void *got = calloc(1, size ? size : 1);
  must(got != NULL, "memory");
  return got;
}

/* splitmix64 */
static uint64_t chance(uint64_t bound) {
  uint64_t mixed = (state += 0x9e3779b97f4a7c15u);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return (mixed ^ (mixed >> 31)) % bound;
}

void losses_open(int objects_folder) { objects = objects_folder; }

/* --- content ------------------------------------------------------------------------------------------------------- */

static bool is_zero(const unsigned char *bytes, uint64_t size) {
  return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static int reopened(int fd) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int own = open(path, O_RDWR | O_CLOEXEC);
  must(own >= 0, "open again");
  return own;
}

static struct file *file_of(int fd, bool is_made) {
  struct stat at;
  must(fstat(fd, &at) == 0, "fstat");
  for (struct file *each = files; each; each = each->next)
    if (each->inode == at.st_ino) return each;
  if (!is_made) return NULL;
  struct file *file = memory(sizeof *file);
  *file = (struct file){.inode = at.st_ino, .fd = reopened(fd), .durable_size = (uint64_t)at.st_size, .next = files};
  files = file;
  return file;
}

static struct change *add_change(struct file *file, uint64_t offset, uint64_t size) {
  struct stat at;
  must(fstat(file->fd, &at) == 0, "fstat");
  uint64_t there = (uint64_t)at.st_size;
  struct change *change = memory(sizeof *change);
  *change = (struct change){.offset = offset, .size = size, .size_after = there, .previous = file->last};
  if (file->last) file->last->next = change;
  else file->first = change;
  file->last = change;
  file->count += 1;
  if (offset >= there || size == 0) return change;
  change->old_bytes = memory(size);
  uint64_t held = there - offset < size ? there - offset : size;
  must(pread(file->fd, change->old_bytes, held, (off_t)offset) == (ssize_t)held, "read what was there");
  if (is_zero(change->old_bytes, size)) {
    free(change->old_bytes);
    change->old_bytes = NULL;
  }
  return change;
}

void losses_note_write(int fd, uint64_t offset, uint64_t size, const void *data) {
  struct change *change = add_change(file_of(fd, true), offset, size);
  if (change->size_after < offset + size) change->size_after = offset + size;
  if (data == NULL || is_zero(data, size)) return;
  change->new_bytes = memory(size);
  memcpy(change->new_bytes, data, size);
}

void losses_note_size(int fd, uint64_t size) {
  struct file *file = file_of(fd, true);
  struct stat at;
  must(fstat(fd, &at) == 0, "fstat");
  uint64_t there = (uint64_t)at.st_size;
  struct change *change = add_change(file, size, size < there ? there - size : 0);
  change->size_after = size;
}

static void drop_file(struct file *file) {
  for (struct change *each = file->first, *next; each; each = next) {
    next = each->next;
    free(each->old_bytes);
    free(each->new_bytes);
    free(each);
  }
  for (struct file **at = &files; *at; at = &(*at)->next)
    if (*at == file) {
      *at = file->next;
      break;
    }
  close(file->fd);
  free(file);
}

void losses_sync_file(int fd) {
  struct file *file = file_of(fd, false);
  if (file) drop_file(file);
}

static void put(int fd, const unsigned char *bytes, uint64_t offset, uint64_t size) {
  static const unsigned char zeros[65536];
  while (size > 0) {
    uint64_t piece = bytes || size < sizeof zeros ? size : sizeof zeros;
    must(pwrite(fd, bytes ? bytes : zeros, piece, (off_t)offset) == (ssize_t)piece, "write");
    if (bytes) bytes += piece;
    offset += piece;
    size -= piece;
  }
}

/* Applies `change` to the sectors that survive. Mode 0: all; 1: those before a random one; 2: any. */
static void apply_torn(int fd, const struct change *change, int mode) {
  if (mode == 0) {
    put(fd, change->new_bytes, change->offset, change->size);
    return;
  }
  uint64_t sectors = (change->offset + change->size - 1) / sector - change->offset / sector + 1;
  uint64_t limit = chance(sectors + 1), at = change->offset, end = change->offset + change->size;
  for (uint64_t index = 0; at < end; index += 1) {
    uint64_t next = (at / sector + 1) * sector;
    if (next > end) next = end;
    bool is_kept = mode == 1 ? index < limit : chance(2) == 0;
    if (is_kept) put(fd, change->new_bytes ? change->new_bytes + (at - change->offset) : NULL, at, next - at);
    at = next;
  }
}

/* How a cut treats the changes of one file. */
enum fate { all_lost, all_kept, cut_off, some_in_order, some_in_any_order, fates };

static void cut_file(struct file *file, size_t *lost, size_t *torn) {
  for (struct change *each = file->last; each; each = each->previous)
    put(file->fd, each->old_bytes, each->offset, each->size);
  must(ftruncate(file->fd, (off_t)file->durable_size) == 0, "truncate");
  enum fate fate = (enum fate)chance(fates);
  size_t limit = chance(file->count + 1), kept = 0, at = 0;
  struct change **order = memory(file->count * sizeof *order);
  for (struct change *each = file->first; each; each = each->next, at += 1) {
    bool is_kept = fate == all_kept || (fate == cut_off && at <= limit) || (fate > cut_off && chance(3) > 0);
    if (is_kept) order[kept++] = each;
  }
  *lost += file->count - kept;
  for (size_t i = kept; fate == some_in_any_order && i > 1; i -= 1) {
    size_t other = chance(i);
    struct change *swapped = order[i - 1];
    order[i - 1] = order[other];
    order[other] = swapped;
  }
  for (size_t i = 0; i < kept; i += 1) {
    bool is_last = fate == cut_off && i + 1 == kept;
    int mode = is_last || (fate > cut_off && chance(4) == 0) ? 1 + (int)chance(2) : 0;
    if (order[i]->size > 0) apply_torn(file->fd, order[i], mode);
    if (order[i]->size > 0 && mode > 0) *torn += 1;
  }
  /* The size is one field: it has one of the values that it had. */
  uint64_t size = file->durable_size;
  if (kept > 0) size = order[fate >= some_in_order ? chance(kept) : kept - 1]->size_after;
  if (fate >= some_in_order && chance(4) == 0) size = file->durable_size;
  must(ftruncate(file->fd, (off_t)size) == 0, "truncate");
  free(order);
}

/* --- names --------------------------------------------------------------------------------------------------------- */

static ino_t inode_of(int parent, const char *name, bool *is_folder) {
  struct stat at;
  if (fstatat(parent, name, &at, AT_SYMLINK_NOFOLLOW) != 0) return 0;
  if (is_folder) *is_folder = S_ISDIR(at.st_mode);
  return at.st_ino;
}

static const char *object_name(ino_t inode) {
  static char name[32];
  snprintf(name, sizeof name, "%llu", (unsigned long long)inode);
  return name;
}

/* Keeps a file alive under its number. */
static void hold(int parent, const char *name, ino_t inode) {
  must(linkat(parent, name, objects, object_name(inode), 0) == 0 || errno == EEXIST, "hold");
}

static struct directory *directory_of(int parent, bool is_made) {
  struct stat at;
  must(fstat(parent, &at) == 0, "fstat");
  for (struct directory *each = directories; each; each = each->next)
    if (each->inode == at.st_ino) return each;
  if (!is_made) return NULL;
  struct directory *directory = memory(sizeof *directory);
  int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  must(fd >= 0, "open directory");
  *directory = (struct directory){.inode = at.st_ino, .fd = fd, .next = directories};
  directories = directory;
  return directory;
}

static struct entry_change *add_entry(int parent, enum kind kind, const char *from, const char *to) {
  struct directory *directory = directory_of(parent, true);
  struct entry_change *change = memory(sizeof *change);
  change->kind = kind;
  must(strlen(from) < name_size_max && strlen(to) < name_size_max, "name size");
  strcpy(change->from, from);
  strcpy(change->to, to);
  change->inode = inode_of(parent, from, &change->is_folder);
  change->previous = directory->last;
  if (directory->last) directory->last->next = change;
  else directory->first = change;
  directory->last = change;
  if (!change->is_folder) hold(parent, from, change->inode);
  return change;
}

void losses_note_create(int parent, const char *name, bool is_folder) {
  add_entry(parent, made, name, "")->is_folder = is_folder;
}

void losses_note_unlink(int parent, const char *name) { add_entry(parent, removed, name, ""); }

void losses_note_rename(int parent, const char *from, const char *to) {
  struct entry_change *change = add_entry(parent, renamed, from, to);
  bool is_folder = false;
  change->replaced = inode_of(parent, to, &is_folder);
  if (change->replaced && !is_folder) hold(parent, to, change->replaced);
}

static void drop_directory(struct directory *directory) {
  for (struct entry_change *each = directory->first, *next; each; each = next) {
    next = each->next;
    unlinkat(objects, object_name(each->inode), 0);
    if (each->replaced) unlinkat(objects, object_name(each->replaced), 0);
    free(each);
  }
  for (struct directory **at = &directories; *at; at = &(*at)->next)
    if (*at == directory) {
      *at = directory->next;
      break;
    }
  close(directory->fd);
  free(directory);
  for (struct file *each = files, *next; each; each = next) {
    struct stat at;
    next = each->next;
    if (fstat(each->fd, &at) == 0 && at.st_nlink == 0) drop_file(each);
  }
}

void losses_sync_directory(int parent) {
  struct directory *directory = directory_of(parent, false);
  if (directory) drop_directory(directory);
}

static int remove_one(const char *path, const struct stat *at, int kind, struct FTW *walk) {
  (void)at, (void)kind, (void)walk;
  return remove(path);
}

static void set_name(int parent, const char *name, ino_t inode) {
  must(unlinkat(parent, name, 0) == 0 || errno == ENOENT, "unlink");
  if (inode) must(linkat(objects, object_name(inode), parent, name, 0) == 0, "link");
}

static void undo_entry(int parent, const struct entry_change *change) {
  switch (change->kind) {
    case made:
      if (!change->is_folder) set_name(parent, change->from, 0);
      break;
    case removed: set_name(parent, change->from, change->inode); break;
    case renamed:
      set_name(parent, change->to, change->replaced);
      set_name(parent, change->from, change->inode);
  }
}

static void redo_entry(int parent, const struct entry_change *change) {
  switch (change->kind) {
    case made:
      if (!change->is_folder) set_name(parent, change->from, change->inode);
      break;
    case removed: set_name(parent, change->from, 0); break;
    case renamed:
      set_name(parent, change->from, 0);
      set_name(parent, change->to, change->inode);
  }
}

static size_t cut_directory(struct directory *directory) {
  size_t count = 0, lost = 0, at = 0;
  for (struct entry_change *each = directory->last; each; each = each->previous, count += 1)
    undo_entry(directory->fd, each);
  enum fate fate = (enum fate)chance(some_in_any_order); /* names of one directory are not reordered, only lost */
  size_t limit = chance(count + 1);
  for (struct entry_change *each = directory->first; each; each = each->next, at += 1) {
    bool is_kept = fate == all_kept || (fate == cut_off && at < limit) || (fate == some_in_order && chance(2) == 0);
    if (!is_kept) lost += 1;
    if (is_kept) redo_entry(directory->fd, each);
    else if (each->kind == made && each->is_folder) {
      char path[512];
      snprintf(path, sizeof path, "/proc/self/fd/%d/%s", directory->fd, each->from);
      char real[4096];
      must(realpath(path, real) != NULL, "realpath");
      must(nftw(real, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0, "remove folder");
    }
  }
  return lost;
}

void losses_cut(uint64_t seed) {
  size_t lost = 0, torn = 0, names = 0, changes = 0;
  state = seed;
  for (struct file *each = files; each; each = each->next) {
    changes += each->count;
    cut_file(each, &lost, &torn);
  }
  for (struct directory *each = directories; each; each = each->next) names += cut_directory(each);
  printf("{\"changes\":%zu,\"lost\":%zu,\"torn\":%zu,\"names\":%zu}\n", changes, lost, torn, names);
  fflush(stdout);
}
