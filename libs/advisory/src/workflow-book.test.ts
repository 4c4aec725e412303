import { expect, test } from "bun:test";
import { budgetsUsual, type Declaration, WorkflowBook } from "./workflow-book.ts";

const ref = (number: number): string => number.toString(16).padStart(32, "0");
const asked = (given: Partial<Declaration> = {}): Declaration => ({
  tenant: "a",
  client: ref(1),
  profile: "ai-training",
  phase: 1n,
  tag: "load",
  ttlSeconds: 0,
  ...given,
});
const open = (): WorkflowBook => new WorkflowBook(budgetsUsual);

test("declare() begins a workflow for its tenant, and end() ends it", () => {
  const book = open();
  expect(book.declare(asked(), ref(9), 0)).toBe(3600);
  expect(book.status("a", ref(9), 1500)).toEqual({ phase: 1n, tag: "load", secondsLeft: 3599 });
  expect(book.has("a", ref(9), 0)).toBe(true);
  expect(book.has(undefined, ref(9), 0)).toBe(true);
  expect(book.end("a", ref(9), 0)).toBeUndefined();
  expect(book.end("a", ref(9), 0)).toBe("scope_not_found");
  expect(book.count).toBe(0);
});

test("another tenant's workflow is answered as one that never was", () => {
  const book = open();
  book.declare(asked(), ref(9), 0);
  for (const id of [ref(9), ref(8)]) {
    expect(book.end("b", id, 0)).toBe("scope_not_found");
    expect(book.advance("b", id, { phase: 0n, tag: "x".repeat(999) }, 0)).toBe("scope_not_found");
    expect(book.status("b", id, 0)).toBe("scope_not_found");
    expect(book.has("b", id, 0)).toBe(false);
  }
  expect(book.status("a", ref(9), 0)).toMatchObject({ phase: 1n });
});

test("advance() takes greater phases alone, and so many of them", () => {
  const book = open();
  book.declare(asked({ phase: 5n }), ref(9), 0);
  const advance = (phase: bigint, tag = "t") => book.advance("a", ref(9), { phase, tag }, 0);
  expect(advance(5n)).toBe("phase_not_monotonic");
  expect(advance(7n)).toBeUndefined();
  expect(advance(6n)).toBe("phase_not_monotonic");
  expect(advance(8n, "é".repeat(129))).toBe("hint_too_large");
  for (let phase = 8n; phase < 70n; phase += 1n) expect(advance(phase)).toBeUndefined();
  expect(advance(100n)).toBe("budget_exceeded");
  expect(book.status("a", ref(9), 0)).toMatchObject({ phase: 69n });
});

test("a workflow is over with its time, and makes room then", () => {
  const book = open();
  for (let at = 0; at < 4; at += 1) book.declare(asked({ ttlSeconds: 1 }), ref(10 + at), 0);
  expect(book.declare(asked(), ref(20), 500)).toBe("budget_exceeded");
  expect(book.has("a", ref(10), 999)).toBe(true);
  expect(book.has("a", ref(10), 1000)).toBe(false);
  expect(book.status("a", ref(10), 1000)).toBe("scope_not_found");
  expect(book.declare(asked(), ref(21), 1000)).toBe(3600);
  expect(book.count).toBe(1);
});

test("declare() refuses what is not allowed, too fast, or over a budget", () => {
  const book = new WorkflowBook({ ...budgetsUsual, workflowsPerTenant: 6, workflowsMax: 7 });
  let next = 100;
  const declare = (given: Partial<Declaration>, now = 0) =>
    book.declare(asked(given), ref((next += 1)), now);
  expect(declare({ profile: "mining" })).toBe("profile_not_allowed");
  expect(declare({ tag: "x".repeat(257) })).toBe("hint_too_large");
  expect(declare({ ttlSeconds: 86_401 })).toBe("forbidden_target_field");
  expect(declare({ client: "ff" })).toBe("forbidden_target_field");
  expect(declare({ ttlSeconds: 86_400 })).toBe(86_400);
  for (let at = 0; at < 3; at += 1) declare({});
  for (let at = 0; at < 6; at += 1) expect(declare({})).toBe("budget_exceeded");
  expect(declare({})).toBe("declare_rate_exceeded");
  expect(declare({}, 1000)).toBe("budget_exceeded");
  expect(declare({ client: ref(2) }, 1000)).toBe(3600);
  expect(declare({ client: ref(3) }, 1000)).toBe(3600);
  expect(declare({ client: ref(4) }, 1000)).toBe("budget_exceeded");
  expect(declare({ tenant: "b" }, 1000)).toBe(3600);
  expect(declare({ tenant: "c" }, 1000)).toBe("advisory_unavailable");
  for (let at = 0; at < 300; at += 1) declare({ client: ref(1000 + at) }, 2000);
  expect(declare({ client: ref(5000) }, 2000)).toBe("declare_rate_exceeded");
});
