/*
 * Several connections commit and checkpoint by commits.c at once, more than it has threads; each committer is closed
 * the moment that its result is there, often before `done` was called, and made anew. `commits FOLDER ROUNDS`.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "sealed-sqlite.h"

enum { databases = 7, running = -1, act_commit = 0, act_checkpoint = 1 };

static _Atomic int told;
static void done(void) { atomic_fetch_add(&told, 1); }

static Committer *make(sqlite3 *database) {
  committer_loaded(database);
  Committer *committer = committer_open();
  CHECK(committer);
  return committer;
}

static void sql(sqlite3 *database, const char *text) {
  CHECK(sqlite3_exec(database, text, NULL, NULL, NULL) == SQLITE_OK);
}

static int count(sqlite3 *database) {
  sqlite3_stmt *statement;
  CHECK(sqlite3_prepare_v2(database, "SELECT count(*) FROM t", -1, &statement, NULL) == SQLITE_OK);
  CHECK(sqlite3_step(statement) == SQLITE_ROW);
  int rows = sqlite3_column_int(statement, 0);
  sqlite3_finalize(statement);
  return rows;
}

int main(int argc, char **argv) {
  CHECK(argc == 3);
  int rounds = atoi(argv[2]), started = 0;
  sqlite3 *database[databases];
  Committer *committer[databases];
  CHECK(committer_open() == NULL);
  for (int at = 0; at < databases; at++) {
    char path[512];
    snprintf(path, sizeof path, "%s/%d.db", argv[1], at);
    CHECK(sqlite3_open(path, &database[at]) == SQLITE_OK);
    sql(database[at], "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE t(x)");
    committer[at] = make(database[at]);
  }
  for (int round = 0; round < rounds; round++) {
    bool is_checkpoint = round % 5 == 4;
    for (int at = 0; at < databases; at++) {
      if (!is_checkpoint) sql(database[at], "BEGIN IMMEDIATE; INSERT INTO t VALUES(randomblob(900))");
      CHECK(committer_start(committer[at], is_checkpoint ? act_checkpoint : act_commit, done));
      started++;
    }
    for (int left = databases, is_over[databases] = {0}; left > 0; sched_yield()) {
      for (int at = 0; at < databases; at++) {
        if (is_over[at] || committer_result(committer[at]) == running) continue;
        CHECK(committer_result(committer[at]) == SQLITE_OK);
        CHECK(is_checkpoint || committer_frames(committer[at]) > 0);
        committer_close(committer[at]);
        committer[at] = make(database[at]);
        is_over[at] = 1;
        left--;
      }
    }
  }
  /* Without a transaction a COMMIT fails, and is told as such. */
  CHECK(committer_start(committer[0], act_commit, done));
  started++;
  while (committer_result(committer[0]) == running) sched_yield();
  CHECK(committer_result(committer[0]) == SQLITE_ERROR);
  while (atomic_load(&told) < started) sched_yield();
  for (int at = 0; at < databases; at++) {
    CHECK(count(database[at]) == rounds - rounds / 5);
    committer_close(committer[at]);
    CHECK(sqlite3_close(database[at]) == SQLITE_OK);
  }
  return 0;
}
