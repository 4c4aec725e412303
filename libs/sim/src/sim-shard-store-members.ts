import type { Prng } from "@kiseki/base";
import { assert } from "@kiseki/base";
import type { ShardStore } from "@kiseki/ports";
import { SimShardStore } from "./sim-shard-store.ts";
import type { SimShardState } from "./sim-shard-store-state.ts";
import { emptyShardState, SimCrash, SimShardRefusal } from "./sim-shard-store-state.ts";

export type SimShardFault =
  | "crash_before_commit"
  | "crash_between_members"
  | "crash_after_commit"
  | "member_lost"
  | "member_returned"
  | "fenced"
  | "unknown_stored"
  | "unknown_not_stored";

/** How often each fault strikes, in commits of 1,000; what is left out never does. */
export type SimShardFaultRates = { readonly [F in SimShardFault]?: number };

/**
 * Safeties that a mutant of the simulator switches off. `believe_returning`: a start takes the first
 * member that is there, however old its list. `ack_before_commit`: the answer comes before the state is stored.
 */
export type SimShardMutant = "believe_returning" | "ack_before_commit";

export interface SimShardOptions {
  /** Directories that hold the shard: 1 and its mirrors; 1 unless told. */
  readonly memberCount?: number;
  readonly rates?: SimShardFaultRates;
  readonly declares?: ShardStore["declares"];
  readonly mutants?: ReadonlySet<SimShardMutant>;
}

interface Member {
  state: SimShardState;
  /** Version of the member list that it holds. */
  listVersion: number;
  isPresent: boolean;
}

/**
 * Where a simulated shard survives its process: mirrors with a member list each, and the highest list
 * version noted apart, as the sealing VFS keeps them (STORE §1). Deterministic by `prng`. Faults are
 * those of `SimShardFault`; `counts` says how often each struck.
 */
export class SimShardMembers {
  readonly declares: ShardStore["declares"];
  readonly counts = new Map<SimShardFault, number>();
  readonly #prng: Prng;
  /** Set at any time. */
  rates: SimShardFaultRates;
  readonly #mutants: ReadonlySet<SimShardMutant>;
  readonly #members: Member[];
  #listVersionNoted = 1;
  #listed: Set<number>;
  #store: SimShardStore | undefined;

  constructor(prng: Prng, options: SimShardOptions = {}) {
    const memberCount = options.memberCount ?? 1;
    assert(memberCount >= 1 && memberCount <= 8, "a shard has 1 to 8 members");
    this.#prng = prng;
    this.rates = options.rates ?? {};
    this.#mutants = options.mutants ?? new Set();
    this.declares = options.declares ?? { fenced: false, unknown: false, snapshots: false };
    this.#members = Array.from({ length: memberCount }, () => ({
      state: emptyShardState,
      listVersion: 1,
      isPresent: true,
    }));
    this.#listed = new Set(this.#members.keys());
  }
  /**
   * Starts the owner's store on what the members hold; members with an older list are copied anew.
   * @throws {SimShardRefusal} unless `acceptLoss`, when only older lists are here.
   */
  open(options: { readonly acceptLoss?: boolean } = {}): SimShardStore {
    assert(this.#store === undefined, "the store before has ended");
    const chosen = this.#chooseMember(options.acceptLoss === true);
    const present = [...this.#members.keys()].filter((i) => this.#members[i]!.isPresent);
    this.#listed = new Set(present);
    this.#listVersionNoted += 1;
    for (const i of present) {
      this.#members[i]!.state = chosen.state;
      this.#members[i]!.listVersion = this.#listVersionNoted;
    }
    this.#store = new SimShardStore(this, chosen.state);
    return this.#store;
  }
  /** Kills the owner's process; what was stored stays. Does nothing when none runs. */
  crash(): void {
    this.#store?.crash();
    this.#store = undefined;
  }
  /** Takes a member away while the owner runs or not; it keeps what it holds. */
  loseMember(index: number): void {
    const member = this.#members[index];
    assert(member !== undefined, "the member exists");
    if (!member.isPresent) return;
    member.isPresent = false;
    this.#count("member_lost");
    if (this.#store !== undefined) this.#writeOut(index);
  }
  /** Brings a member back with what it held; the next start copies it anew. */
  returnMember(index: number): void {
    const member = this.#members[index];
    assert(member !== undefined, "the member exists");
    if (member.isPresent) return;
    member.isPresent = true;
    this.#count("member_returned");
  }
  /** What the owner's file holds now, to be put back later as an old copy. No owner runs. */
  copy(): SimShardState {
    assert(this.#store === undefined, "no owner runs");
    return this.#chooseMember(false).state;
  }
  /** Somebody puts `copy` in the place of the file on every member, the lists as they are. No owner runs. */
  putBack(copy: SimShardState): void {
    assert(this.#store === undefined, "no owner runs");
    for (const member of this.#members) member.state = copy;
  }
  /** Whether any one member may go while no owner runs: each holds the newest state under the newest list. */
  mayLose(): boolean {
    const isNewest = (member: Member): boolean =>
      member.isPresent && member.listVersion === this.#listVersionNoted;
    const { state } = this.#members[0]!;
    return (
      this.#members.length > 1 && this.#members.every((one) => isNewest(one) && one.state === state)
    );
  }
  /** Members that are there, listed or not. */
  presentCount(): number {
    return this.#members.filter((member) => member.isPresent).length;
  }
  /** True when the fault strikes now. For `SimShardStore`. */
  strikes(fault: SimShardFault): boolean {
    const rate = this.rates[fault] ?? 0;
    if (rate === 0 || !this.#prng.chance(rate, 1000)) return false;
    this.#count(fault);
    return true;
  }
  /** Makes `state` durable on every listed member, or ends the process. For `SimShardStore`. */
  store(state: SimShardState): void {
    if (this.strikes("crash_before_commit")) this.#die("before the commit");
    this.#loseAndReturn();
    const listed = [...this.#listed];
    if (listed.length > 1 && this.strikes("crash_between_members")) {
      const spared = this.#prng.below(listed.length); // at least this one is not reached
      for (const [n, i] of listed.entries()) {
        if (n !== spared && this.#prng.chance(1, 2)) this.#members[i]!.state = state;
      }
      this.#die("between the members");
    }
    const isLate = this.#mutants.has("ack_before_commit") && this.#prng.chance(1, 8);
    if (!isLate) for (const i of listed) this.#members[i]!.state = state;
    if (this.strikes("crash_after_commit")) this.#die("after the commit");
  }
  /** The store has ended in order. For `SimShardStore`. */
  closed(): void {
    this.#store = undefined;
  }
  #chooseMember(acceptLoss: boolean): Member {
    const present = this.#members.filter((member) => member.isPresent);
    const first = present[0];
    if (first === undefined) throw new SimShardRefusal("no_member");
    if (this.#mutants.has("believe_returning")) return first;
    const newest = Math.max(...present.map((member) => member.listVersion));
    if (newest < this.#listVersionNoted && !acceptLoss) throw new SimShardRefusal("older_list");
    return present
      .filter((member) => member.listVersion === newest)
      .reduce((a, b) => (b.state.generation > a.state.generation ? b : a));
  }
  #loseAndReturn(): void {
    const index = this.#prng.below(this.#members.length);
    const member = this.#members[index]!;
    if (!member.isPresent && this.strikes("member_returned")) member.isPresent = true;
    else if (this.#listed.has(index) && this.#listed.size > 1 && this.strikes("member_lost")) {
      member.isPresent = false;
      this.#writeOut(index);
    }
  }
  /** The rest of the list says that `index` is out, before work goes on. */
  #writeOut(index: number): void {
    this.#listed.delete(index);
    if (this.#listed.size === 0) this.#die("with no member left");
    this.#listVersionNoted += 1;
    for (const i of this.#listed) this.#members[i]!.listVersion = this.#listVersionNoted;
  }
  #die(when: string): never {
    this.crash();
    throw new SimCrash(`The process ended ${when}`);
  }
  #count(fault: SimShardFault): void {
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
  }
}
