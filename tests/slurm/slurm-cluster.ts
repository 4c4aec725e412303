import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { until } from "../support/node-process.ts";

/** Whether Debian's Slurm is here, and may be started. */
export const hasSlurm: boolean =
  process.getuid?.() === 0 &&
  ["slurmctld", "slurmd", "munged", "sbatch"].every((name) => Bun.which(name) !== null);

const scripts = join(import.meta.dir, "../../scripts/slurm");

/** Of a port that is free now. */
function freePort(): number {
  const listener = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: { data: () => undefined },
  });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** A cluster of this machine alone: munged, slurmctld and slurmd, none of them a daemon, all of their files in one folder. */
export class SlurmCluster implements AsyncDisposable {
  readonly directory: string;
  readonly #children: Subprocess[] = [];

  private constructor(directory: string) {
    this.directory = directory;
  }
  /** `settings`: lines of the scripts' own configuration. */
  static async start(settings: Readonly<Record<string, string>>): Promise<SlurmCluster> {
    const cluster = new SlurmCluster(await mkdtemp(join(tmpdir(), "kiseki-slurm-")));
    try {
      await cluster.#start(settings);
      return cluster;
    } catch (reason) {
      await cluster[Symbol.asyncDispose]();
      throw reason;
    }
  }
  get environment(): Record<string, string> {
    return {
      PATH: process.env["PATH"]!,
      SLURM_CONF: join(this.directory, "slurm.conf"),
      KISEKI_SLURM_CONF: join(this.directory, "kiseki-slurm.conf"),
    };
  }
  /** The folder of pools, and of notes about jobs. */
  get cacheBase(): string {
    return join(this.directory, "cache");
  }
  get jobs(): string {
    return join(this.directory, "jobs");
  }

  async #start(settings: Readonly<Record<string, string>>): Promise<void> {
    chmodSync(this.directory, 0o755);
    this.#startMunge();
    const socket = join(this.directory, "munge/socket");
    await until("munged listens", () => existsSync(socket));
    this.#write(settings, socket);
    this.#spawn("slurmctld", "-D", "-f", join(this.directory, "slurm.conf"));
    this.#spawn("slurmd", "-D", "-f", join(this.directory, "slurm.conf"), "-N", hostname());
    await until("the node is idle", () => this.run("sinfo", "-h", "-o", "%T").trim() === "idle");
  }
  #startMunge(): void {
    const [uid, gid] = Bun.spawnSync(["sh", "-c", "id -u munge; id -g munge"])
      .stdout.toString()
      .split("\n")
      .map(Number);
    const folder = join(this.directory, "munge");
    mkdirSync(folder, { mode: 0o755 });
    writeFileSync(join(folder, "key"), Buffer.alloc(128, 7), { mode: 0o600 });
    for (const path of [folder, join(folder, "key")]) chownSync(path, uid!, gid!);
    const files = [
      "key-file=key",
      "socket=socket",
      "pid-file=pid",
      "log-file=log",
      "seed-file=seed",
    ];
    const words = files.map((word) => `--${word.replace("=", `=${folder}/`)}`);
    const user = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
    this.#spawn("setpriv", ...user, "munged", "--foreground", "--force", ...words);
  }
  #write(settings: Readonly<Record<string, string>>, socket: string): void {
    const at = (name: string): string => join(this.directory, name);
    for (const name of ["state", "spool"]) mkdirSync(at(name));
    const host = hostname();
    // Slurm starts its scripts without this environment.
    for (const [name, script] of [
      ["prolog", "prolog"],
      ["task-prolog", "task-prolog"],
      ["epilog", "epilog"],
    ] as const) {
      const variables = Object.entries(this.environment)
        .map(([variable, value]) => `export ${variable}=${value}`)
        .join("\n");
      writeFileSync(at(name), `#!/bin/bash\n${variables}\nexec ${join(scripts, script)}\n`, {
        mode: 0o755,
      });
    }
    writeFileSync(
      at("slurm.conf"),
      `ClusterName=kiseki
SlurmctldHost=${host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${socket}
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=${freePort()}
SlurmdPort=${freePort()}
StateSaveLocation=${at("state")}
SlurmdSpoolDir=${at("spool")}
SlurmctldPidFile=${at("slurmctld.pid")}
SlurmdPidFile=${at("slurmd.pid")}
SlurmctldLogFile=${at("slurmctld.log")}
SlurmdLogFile=${at("slurmd.log")}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
AccountingStoreFlags=job_comment
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
PrologFlags=Alloc
PrologEpilogTimeout=60
Prolog=${at("prolog")}
Epilog=${at("epilog")}
TaskProlog=${at("task-prolog")}
NodeName=${host} NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes=ALL Default=YES State=UP
`,
    );
    writeFileSync(at("cgroup.conf"), "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n");
    const known = { KISEKI_CACHE_BASE: this.cacheBase, KISEKI_JOBS_DIR: this.jobs };
    const lines = Object.entries({ ...known, ...settings }).map(
      ([name, value]) => `${name}=${value}`,
    );
    writeFileSync(at("kiseki-slurm.conf"), `${lines.join("\n")}\n`);
  }
  #spawn(...words: string[]): void {
    const child = Bun.spawn(words, {
      env: this.environment,
      stdin: "ignore",
      stdout: "ignore",
      stderr: Bun.file(join(this.directory, `${words.find((word) => !word.startsWith("-"))}.err`)),
    });
    this.#children.push(child);
  }

  /** A command of Slurm; what it printed. */
  run(...words: string[]): string {
    const { stdout } = Bun.spawnSync(["timeout", "15", ...words], { env: this.environment });
    return stdout.toString();
  }
  /** A job of a user that runs `script`; ends when its epilog has. What it printed. */
  async job(user: string, script: string, ...words: string[]): Promise<string> {
    const file = join(this.directory, "job.sh");
    const output = join(this.directory, "job.out");
    writeFileSync(file, `#!/bin/bash\n${script}`, { mode: 0o755 });
    writeFileSync(output, "", { mode: 0o666 });
    chmodSync(output, 0o666);
    const options = [`--uid=${user}`, "--chdir=/tmp", `--output=${output}`, "--open-mode=append"];
    const id = this.run("sbatch", "--parsable", ...options, ...words, file).trim();
    if (!/^\d+$/.test(id)) throw new Error(`No job was made: ${id}`);
    await until("the job has ended", () => {
      const state = this.run("scontrol", "-o", "show", "job", id);
      return /JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT)/.test(state);
    });
    await until(
      "its epilog has ended",
      () => this.run("sinfo", "-h", "-o", "%T").trim() === "idle",
    );
    return readFileSync(output, "utf8");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.reverse()) {
      child.kill("SIGTERM");
      await Promise.race([child.exited, Bun.sleep(3000)]);
      child.kill("SIGKILL");
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
