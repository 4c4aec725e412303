/** What people run in a mount, as it comes from Debian: each checks its own work, or is compared with what it does on the local disk. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isFull, NodeProcess, plainEnvironment } from "../support/node-process.ts";
import { S3Client } from "../support/s3-client.ts";
import { hasFuse, KisekiMount } from "./kiseki-mount.ts";

const limitMs = isFull ? 600_000 : 20_000;
setDefaultTimeout(limitMs);
const root = dirname(dirname(import.meta.dir));
/** Where scripts/native finds what it has built before. */
const cacheDirectory =
  process.env["KISEKI_CACHE_DIR"] ??
  join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "kiseki");

let node: NodeProcess;
let mount: KisekiMount;
let local: string;
beforeAll(async () => {
  if (!hasFuse) return;
  const deviceSize = isFull ? "4GiB" : "384MiB";
  node = await NodeProcess.started({ devices: 1, mirrors: 0, deviceSize });
  using s3 = await S3Client.of(node);
  await s3.createBucket("programs");
  mount = await KisekiMount.start(node, { namespace: "programs", options: "allow_other" });
  local = mkdtempSync(join(tmpdir(), "kiseki-programs-"));
  chmodSync(local, 0o755); // PostgreSQL's user goes through it
});
afterAll(async () => {
  if (!hasFuse) return;
  await mount?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
  if (local) rmSync(local, { recursive: true });
});

/** Runs a shell script in a new folder of the mount, `$local` beside it on the disk. What it said, once it went well. */
async function script(name: string, text: string): Promise<string> {
  const begin = `mkdir -p ${local}/${name} ${mount.path(name)} && cd ${mount.path(name)}\n`;
  const seconds = String(limitMs / 1000 - 2);
  const child = Bun.spawn(["timeout", "-k", "1", seconds, "bash", "-euc", begin + text], {
    env: {
      ...plainEnvironment(),
      ...{
        local: join(local, name),
        root,
        LC_ALL: "C.UTF-8",
        HOME: local,
        KISEKI_CACHE_DIR: cacheDirectory,
      },
      ...{ GIT_CONFIG_COUNT: "1", GIT_CONFIG_KEY_0: "safe.directory", GIT_CONFIG_VALUE_0: "*" },
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [said, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  const code = await child.exited;
  if (code !== 0) throw new Error(`${name} ended with ${code}: ${(said + errors).slice(-2000)}`);
  return said.trim();
}

test.skipIf(!hasFuse)("git clones in a mount, works, and finds all of it whole", async () => {
  await script(
    "git",
    `
    origin=${isFull ? "$root" : "$local/origin"}
    ${isFull ? "" : 'git init -q "$local/origin" && cp -r "$root"/ffi/fuse/native "$root"/README.md "$local/origin" && git -C "$local/origin" add . && git -C "$local/origin" -c user.name=test -c user.email=test@example.org commit -qm all'}
    git clone -q --depth 1 "file://$origin" clone && cd clone
    git config user.name test && git config user.email test@example.org
    git status --porcelain | cmp - /dev/null
    git checkout -q -b work && git mv README.md READ.md && echo more >>READ.md && git add -A && git commit -qm work
    git checkout -q -  && test -e README.md && git merge -q work && test -e READ.md
    ${isFull ? "git gc -q" : ""}
    git fsck --strict
    git status --porcelain | cmp - /dev/null
    cd .. && git clone -q clone second && diff -r --exclude .git clone second
    ${isFull ? "for each in fuse erasure-code; do clone/scripts/native $each; done; ls clone/build/native/libkiseki-fuse.so" : ""}
    `,
  );
});

test.skipIf(!hasFuse)(
  "tar, cp, rsync, find and grep in a mount see what the disk has",
  async () => {
    const source = isFull ? "/usr/include" : join(root, "ffi/datapath/native");
    await script(
      "trees",
      `
    mkdir source && tar -C ${source} --one-file-system -cf - . | tar -xf - -C source || true
    cp -a source copy && diff -r --no-dereference source copy
    cp -a source "$local/tree"
    rsync -a --checksum --delete source/ "$local/tree/"
    rsync -aHn --checksum --itemize-changes "$local/tree/" source/ | cmp - /dev/null
    rsync -a "$local/tree/" synced/
    find "$local/tree" -printf '%P %y %s %m %U %G %n %l %TY%Tm%Td%TH%TM%TS\\n' | grep -v '^ ' | sed -E 's/( d) [0-9]+ (.*) [0-9]+  /\\1 \\2 /' | sort >"$local/wanted"
    for tree in copy synced; do
      find $tree -printf '%P %y %s %m %U %G %n %l %TY%Tm%Td%TH%TM%TS\\n' | grep -v '^ ' | sed -E 's/( d) [0-9]+ (.*) [0-9]+  /\\1 \\2 /' | sort | diff "$local/wanted" -
    done
    (cd "$local/tree" && grep -rlI the . | sort) >"$local/grep"
    (cd copy && grep -rlI the . | sort) | cmp "$local/grep" -
    tar -C copy -cf - . | tar -C "$local/tree" -df -
    find copy -depth -delete && test ! -e copy
    rm -r source synced
    `,
    );
  },
);

test.skipIf(!hasFuse)(
  "sqlite3 in a mount keeps its promises by rollback journal, from two programs at once",
  async () => {
    const rows = isFull ? 2000 : 10;
    const work = (name: string) =>
      `for i in $(seq ${rows}); do echo "BEGIN IMMEDIATE; INSERT INTO t SELECT '${name}', count(*) FROM t; COMMIT;"; done | sqlite3 -cmd '.timeout 15000' base.db`;
    const said = await script(
      "sqlite",
      `
    sqlite3 base.db 'PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL; CREATE TABLE t (who TEXT, at INTEGER); CREATE INDEX i ON t (at)' >/dev/null
    (${work("one")}) & one=$!
    (${work("two")}) & two=$!
    wait $one && wait $two
    sqlite3 base.db "BEGIN; WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20000) INSERT INTO t SELECT 'three', -i FROM n; ROLLBACK"
    test ! -e base.db-journal
    sqlite3 base.db 'PRAGMA integrity_check; SELECT count(*), count(DISTINCT at), max(at) FROM t'
    `,
    );
    expect(said).toBe(`ok\n${2 * rows}|${2 * rows}|${2 * rows - 1}`);
  },
);

/** As facts have it: buffered and direct, random and in order, large and small, each read back and compared. */
const mixes = {
  buffered: "--rw=randrw --bsrange=4k-256k --numjobs=2 --iodepth=8 --ioengine=libaio",
  direct: "--rw=randwrite --bsrange=4k-1m --direct=1 --iodepth=8 --ioengine=libaio",
  "direct mixed": "--rw=randrw --bsrange=4k-64k --direct=1 --iodepth=16 --ioengine=libaio",
  stream: "--rw=write --bs=1m --ioengine=sync --fsync_on_close=1",
  synced: "--rw=randwrite --bs=16k --ioengine=sync --fsync=8",
};
test.skipIf(!hasFuse).each(Object.entries(mixes))(
  "fio verifies what it wrote in a mount: %s",
  async (name, words) => {
    const size = isFull ? "512m" : name === "synced" ? "1m" : "4m";
    const common = `--size=${size} --verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting --minimal --randrepeat=0 --thread`;
    await script(
      `fio-${name.replace(" ", "-")}`,
      `fio --name=mix ${common} ${words} >/dev/null && rm mix.*`,
    );
  },
);

if (isFull) {
  test("PostgreSQL in a mount: initdb, pgbench, killed and recovered", async () => {
    const said = await script(
      "postgres",
      `
      export PATH=$(echo /usr/lib/postgresql/*/bin | tr ' ' :):$PATH
      chown postgres . "$local"
      as() { runuser -u postgres -- env PGHOST="$local" PGUSER=postgres PGDATABASE=postgres "$@"; }
      as initdb -D data -A trust --data-checksums >/dev/null
      as pg_ctl -D data -w -o "-k $local -h ''" -l "$local/log" start >/dev/null
      as pgbench -q -i -s 2
      as pgbench -c 4 -j 2 -T 30 --no-vacuum >"$local/bench"
      as psql -Atc 'SELECT sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_accounts'
      as psql -Atc 'SELECT count(*) FROM pgbench_history' >"$local/before"
      kill -QUIT "$(head -1 data/postmaster.pid)"; sleep 2
      as pg_ctl -D data -w -o "-k $local -h ''" -l "$local/log" start >/dev/null
      as psql -Atc 'SELECT count(*) FROM pgbench_history' | cmp - "$local/before"
      as psql -Atc 'SELECT sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_accounts'
      as pg_ctl -D data -w stop >/dev/null
      as pg_checksums -D data --check >/dev/null
      grep -o 'tps = [0-9]*' "$local/bench" >&2
      `,
    );
    expect(said).toBe("t\nt");
  });
}
